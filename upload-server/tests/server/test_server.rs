//! A server of its own for each test: a free port, an empty directory.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use tempfile::TempDir;
use tokio::{
    net::{TcpListener, UnixListener},
    sync::oneshot,
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;
use upload_server::server::{self, Config};

use crate::{client::Client, feed::Feed};

/// Longer than any event takes in a test that succeeds.
const LIMIT: Duration = Duration::from_secs(20);

pub(crate) async fn within_limit<T>(event: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, event).await.unwrap()
}

pub(crate) struct TestServer {
    pub(crate) address: SocketAddr,
    root: TempDir,
    stop: oneshot::Sender<()>,
    stop_now: CancellationToken,
    task: JoinHandle<()>,
}

impl TestServer {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| ()).await
    }

    pub(crate) async fn start_with(adjust: impl FnOnce(&mut Config)) -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("files")).unwrap();
        let mut config = Config::new(root.path().join("files"));
        adjust(&mut config);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let control = UnixListener::bind(root.path().join("control")).unwrap();
        let (stop, stopped) = oneshot::channel();
        let stop_now = CancellationToken::new();
        let stopped_now = stop_now.clone().cancelled_owned();
        let task = tokio::spawn(async move {
            let stopped = async { stopped.await.unwrap_or_default() };
            server::run(vec![listener], control, config, stopped, stopped_now)
                .await
                .unwrap();
        });
        Self {
            address,
            root,
            stop,
            stop_now,
            task,
        }
    }

    pub(crate) async fn connect(&self) -> Client {
        Client::connect(self.address).await
    }

    pub(crate) async fn feed(&self) -> Feed {
        Feed::open(&self.control()).await
    }

    pub(crate) fn control(&self) -> PathBuf {
        self.root.path().join("control")
    }

    pub(crate) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.root.path().join("files").join(name)
    }

    /// Everything in the directory, hidden or not, except the server's own count of time. That file comes and goes
    /// when the server next looks for expired uploads.
    pub(crate) fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path("")).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| !name.starts_with(".tus-time"))
            .collect();
        names.sort();
        names
    }

    /// Cancel it to make the server stop at once.
    pub(crate) fn stop_now(&self) -> CancellationToken {
        self.stop_now.clone()
    }

    pub(crate) async fn stop(self) {
        self.stop.send(()).unwrap();
        within_limit(self.task).await.unwrap();
    }
}
