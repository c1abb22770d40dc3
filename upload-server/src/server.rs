//! The server: uploads come in over HTTP, their records go out through the control socket. Opening
//! the sockets and deciding when to stop is the caller's.

mod accept;
mod clock;
mod connection;
mod control;
mod download;
mod error;
mod form;
mod form_body;
mod http;
mod identity;
mod intake;
mod journal;
mod json;
mod name;
mod page;
mod put;
mod routes;
mod store;
mod timed_stream;
mod transfer;
mod writer;

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, UnixListener},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use self::{accept::Acceptor, intake::Intake, journal::Journal, store::Store};

/// How long readers of the control socket may take for the end of what they asked for.
const CONTROL_GRACE: Duration = Duration::from_secs(1);

/// What the server does with uploads.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where files are stored.
    pub directory: PathBuf,
    /// The most bytes that a file may have.
    pub max_size: Option<u64>,
    /// How long a client may pause within a body.
    pub idle: Duration,
    /// How long requests may go on once the server is to stop.
    pub grace: Duration,
}

impl Config {
    /// Stores files of any size in this directory.
    #[must_use]
    pub fn new(directory: PathBuf) -> Self {
        Self {
            directory,
            max_size: None,
            idle: Duration::from_secs(60),
            grace: Duration::from_secs(5),
        }
    }
}

/// Serves until `shutdown`, then finishes what is under way. The feed ends last, when every upload
/// and connection has its line.
///
/// # Errors
/// When the kernel does not say what a listener or this process is.
pub async fn run(
    listeners: Vec<TcpListener>,
    control: UnixListener,
    config: Config,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let addresses = listeners
        .iter()
        .map(TcpListener::local_addr)
        .collect::<io::Result<_>>()?;
    let journal = Arc::new(Journal::new(identity::server(addresses)?));
    let feed_over = CancellationToken::new();
    let stop_control = feed_over.clone().cancelled_owned();
    let control = tokio::spawn(control::serve(control, Arc::clone(&journal), stop_control));

    let store = Store::new(config.directory);
    let intake = Intake {
        store,
        max_size: config.max_size,
        idle: config.idle,
    };
    let acceptor = Acceptor::new(routes::router(intake), Arc::clone(&journal));
    for listener in listeners {
        acceptor.spawn(listener);
    }

    shutdown.await;
    acceptor.shut_down(config.grace).await;
    journal.close();
    feed_over.cancel();
    let abort_control = control.abort_handle();
    if timeout(CONTROL_GRACE, control).await.is_err() {
        abort_control.abort();
    }
    Ok(())
}
