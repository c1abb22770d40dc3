//! The command itself: how it starts, refuses to start, and stops.

use std::{
    fs,
    net::SocketAddr,
    os::unix::{
        fs::{FileTypeExt, PermissionsExt},
        net::UnixListener,
    },
    path::{Path, PathBuf},
    process::Output,
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::{
    net::UnixDatagram,
    process::{Child, Command},
};
use upload_server::record::Outcome;

use crate::{client::Client, client::content, feed::Feed, test_server::within_limit};

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_upload-server");

/// A running server, once it has reported that it is ready.
pub(crate) struct Running {
    child: Child,
    pub(crate) address: SocketAddr,
    /// The socket on which the server notifies systemd.
    notifications: UnixDatagram,
}

impl Running {
    pub(crate) async fn start(root: &Path) -> Self {
        Self::start_as(Command::new(PROGRAM), root).await
    }

    pub(crate) async fn start_with(arguments: &[&str], root: &Path) -> Self {
        let mut command = Command::new(PROGRAM);
        command.args(arguments);
        Self::start_as(command, root).await
    }

    pub(crate) async fn start_as(mut command: Command, root: &Path) -> Self {
        command.arg("--control").arg(control(root));
        Self::start_without_control(command, root).await
    }

    /// With the control socket where it is by default.
    pub(crate) async fn start_without_control(mut command: Command, root: &Path) -> Self {
        let ready_path = root.join("ready");
        let _ = fs::remove_file(&ready_path);
        let notifications = UnixDatagram::bind(&ready_path).unwrap();
        let child = with_arguments(&mut command, root)
            .env("NOTIFY_SOCKET", ready_path)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let message = receive(&notifications).await;
        assert!(message.contains("READY=1\n"), "{message}");
        let (_, url) = message.split_once("STATUS=listening on http").unwrap();
        let (_, address) = url.split_once("://").unwrap();
        let address = address.split([',', ' ']).next().unwrap().parse().unwrap();
        Self {
            child,
            address,
            notifications,
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id().unwrap()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().unwrap().cast_signed()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// The next notification to systemd.
    pub(crate) async fn next_notification(&self) -> String {
        receive(&self.notifications).await
    }

    pub(crate) async fn end(mut self) -> Option<i32> {
        within_limit(self.child.wait()).await.unwrap().code()
    }

    pub(crate) async fn stop_with(self, signal: Signal) -> Option<i32> {
        self.signal(signal);
        self.end().await
    }
}

async fn receive(notifications: &UnixDatagram) -> String {
    let mut message = vec![0; 4096];
    let length = within_limit(notifications.recv(&mut message))
        .await
        .unwrap();
    String::from_utf8(message[..length].to_vec()).unwrap()
}

fn with_arguments<'a>(command: &'a mut Command, root: &Path) -> &'a mut Command {
    let has = |option: &str| command.as_std().get_args().any(|word| word == option);
    let (listen, state) = (!has("--listen"), !has("--state"));
    if listen {
        command.args(["--listen", "127.0.0.1:0"]);
    }
    if state {
        command.arg("--state").arg(root.join("state"));
    }
    command
        .arg("--dir")
        .arg(root.join("files"))
        .env_remove("NOTIFY_SOCKET")
        .stderr(fs::File::create(root.join("stderr")).unwrap())
}

pub(crate) fn control(root: &Path) -> PathBuf {
    root.join("control")
}

/// The server's log so far.
pub(crate) fn stderr(root: &Path) -> String {
    fs::read_to_string(root.join("stderr")).unwrap()
}

pub(crate) fn tempdir() -> TempDir {
    tempfile::tempdir().unwrap()
}

#[tokio::test]
async fn stops_when_asked_and_cleans_up() {
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let root = tempdir();
        let server = Running::start(root.path()).await;
        let socket = fs::metadata(control(root.path())).unwrap();
        assert!(socket.file_type().is_socket());
        assert_eq!(socket.permissions().mode() & 0o777, 0o600);
        assert_eq!(server.stop_with(signal).await, Some(0), "{signal:?}");
        assert!(!control(root.path()).exists());
    }
}

#[tokio::test]
async fn takes_uploads_from_curl() {
    let root = tempdir();
    let server = Running::start(root.path()).await;
    let mut feed = Feed::open(&control(root.path())).await;
    let file = root.path().join("sent.bin");
    fs::write(&file, content(3_000_000)).unwrap();
    let url = format!("http://{}/", server.address);

    let put = curl(&["-v", "-T", file.to_str().unwrap(), &url]).await;
    let log = String::from_utf8(put.stderr).unwrap();
    assert!(
        log.contains("Expect: 100-continue") && log.contains("100 Continue"),
        "{log}"
    );
    assert_eq!(feed.upload().await.outcome, Outcome::Complete);
    assert!(fs::read(root.path().join("files/sent.bin")).unwrap() == content(3_000_000));
    feed.connection().await;

    curl(&[
        "-F",
        &format!("file=@{};filename=form.bin", file.display()),
        &url,
    ])
    .await;
    assert_eq!(feed.upload().await.bytes, 3_000_000);
    assert!(fs::read(root.path().join("files/form.bin")).unwrap() == content(3_000_000));
    assert_eq!(feed.server.comm, "upload-server");
}

pub(crate) async fn curl(arguments: &[&str]) -> Output {
    let output = within_limit(Command::new("curl").args(arguments).output())
        .await
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    output
}

/// A limit on the size of files has the effect of a full disk.
#[tokio::test]
async fn survives_a_full_disk() {
    let root = tempdir();
    let mut limited = Command::new("sh");
    limited.args(["-c", "ulimit -f 128 && exec \"$0\" \"$@\"", PROGRAM]);
    let server = Running::start_as(limited, root.path()).await;
    let mut feed = Feed::open(&control(root.path())).await;

    let mut client = Client::connect(server.address).await;
    assert_eq!(client.put("large", &content(4_000_000)).await.status, 507);
    assert_eq!(feed.upload().await.outcome, Outcome::DiskFull);
    let mut client = Client::connect(server.address).await;
    assert_eq!(client.put("small", b"fits").await.status, 201);
    let entries = fs::read_dir(root.path().join("files")).unwrap();
    assert_eq!(entries.count(), 1);
}

#[tokio::test]
async fn survives_running_out_of_descriptors() {
    let root = tempdir();
    let mut limited = Command::new("sh");
    limited.args(["-c", "ulimit -n 40 && exec \"$0\" \"$@\"", PROGRAM]);
    let server = Running::start_as(limited, root.path()).await;
    let mut clients = Vec::new();
    for _ in 0..60 {
        clients.push(Client::connect(server.address).await);
    }
    drop(clients);
    let mut client = Client::connect(server.address).await;
    assert_eq!(client.put("file", b"after all").await.status, 201);
}

#[tokio::test]
async fn takes_over_from_a_dead_server_only() {
    let root = tempdir();
    // A listener that is dropped leaves its file behind.
    drop(UnixListener::bind(control(root.path())).unwrap());
    let _server = Running::start(root.path()).await;

    let stderr = refusal(&["--control", control(root.path()).to_str().unwrap()]).await;
    assert!(stderr.contains("another server answers at"), "{stderr}");
    Feed::open(&control(root.path())).await;
}

#[tokio::test]
async fn a_failed_start_has_a_one_line_reason() {
    let root = tempdir();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken_address = taken.local_addr().unwrap().to_string();
    let file = root.path().join("file");
    fs::write(&file, "").unwrap();
    let file = file.to_str().unwrap();

    check(
        &["--listen", &taken_address],
        &format!(
            "{taken_address} is already in use: stop what listens there, or choose another port \
             with --listen"
        ),
    )
    .await;
    check(
        &["--listen", "192.0.2.1:5000", "--public"],
        "192.0.2.1:5000 is not an address of this machine",
    )
    .await;
    check(
        &["--dir", &format!("{file}/below")],
        "cannot create the directory",
    )
    .await;
    check(&["--dir", "/proc"], "cannot write to the directory /proc").await;
    check(&["--control", file], "exists and is not a socket").await;
    check(
        &["--control", "/missing/control"],
        "cannot make the control socket",
    )
    .await;
    check(
        &["--control", &"x".repeat(200)],
        "cannot make the control socket",
    )
    .await;

    async fn check(arguments: &[&str], expected: &str) {
        let stderr = refusal(arguments).await;
        assert!(
            stderr.starts_with("upload-server: ") && stderr.contains(expected),
            "{stderr}"
        );
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
    }
}

/// The stderr of a server that does not start with these arguments, and harmless others.
pub(crate) async fn refusal(arguments: &[&str]) -> String {
    let (status, stderr) = refusal_and_status(arguments).await;
    assert_eq!(status, Some(1), "{stderr}");
    stderr
}

/// The same with the exit status.
pub(crate) async fn refusal_and_status(arguments: &[&str]) -> (Option<i32>, String) {
    let root = tempdir();
    let mut command = Command::new(PROGRAM);
    for (option, value) in [
        ("--listen", "127.0.0.1:0"),
        ("--dir", "files"),
        ("--control", "control"),
        ("--state", "state"),
    ] {
        if !arguments.contains(&option) {
            command.args([option, value]);
        }
    }
    let output = command
        .args(arguments)
        .current_dir(root.path())
        .kill_on_drop(true)
        .output();
    let output = within_limit(output).await.unwrap();
    assert!(output.stdout.is_empty());
    assert!(!control(root.path()).exists(), "a socket file is left");
    let stderr = String::from_utf8(output.stderr).unwrap();
    (output.status.code(), stderr)
}

#[tokio::test]
async fn a_usage_error_has_its_own_exit_status() {
    check(&["--max-size", "lots"]).await;
    check(&["--tls", "--cert", "a", "--key", "b"]).await;
    check(&["--cert", "a"]).await;
    check(&["--key", "b"]).await;

    async fn check(arguments: &[&str]) {
        let output = Command::new(PROGRAM).args(arguments).output();
        let status = within_limit(output).await.unwrap().status;
        assert_eq!(status.code(), Some(2), "{arguments:?}");
    }
}
