//! The server: uploads come in over HTTP, their records go out through the control socket. The caller
//! opens the sockets and decides when to stop.

mod access;
mod addresses;
mod app;
mod blocking;
mod clock;
mod content_coding;
mod control;
mod digest;
mod encoding;
mod error;

mod form;

mod file_lock;
mod files;
mod finisher;
mod forwarded;
mod history;
mod intake;
mod journal;
mod limits;
mod metrics;
mod name;
mod net;
mod observed_body;
mod page;
mod preconditions;
mod publisher;
mod put;
mod relative;
mod routes;
mod show_metrics;
mod store;
mod timeline;
mod transfer;
mod tus;
mod upload_log;
mod writer;

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, UnixListener},
    task::spawn_blocking,
};

pub use self::{
    access::{Access, AllowedOrigin, Hosts, Offer, OriginError, Origins, Token, TokenError},
    forwarded::TrustedProxies,
    history::{History, HistoryError},
    limits::Limits,
    net::{pulse::Pulse, tls::TlsIdentity},
    store::OnDuplicate,
};
use self::{
    app::App,
    control::ControlServer,
    net::{accept::Acceptor, event_loops::EventLoops, pulse},
};

/// The configuration of a server.
#[derive(Clone, Debug)]
pub struct Config {
    pub directory: PathBuf,
    pub on_duplicate: OnDuplicate,
    /// Whether an upload is complete only once its file is on the disk.
    pub fsync: bool,
    /// Whether to compute the SHA-256 of every file, even when the client does not ask for it.
    pub sha256: bool,
    /// How long an interrupted upload can be resumed (tus).
    pub resume_within: Duration,
    /// Keeps uploads across restarts.
    pub history: Option<History>,
    /// Absent for clear text.
    pub tls: Option<TlsIdentity>,
    /// Whether clients may speak HTTP/2: negotiated within TLS, or with prior knowledge in clear text.
    pub http2: bool,
    pub access: Access,
    pub limits: Limits,
    /// How long requests in flight may take to finish once the server is to stop.
    pub grace: Duration,
    /// Absent where no service manager watches the process.
    pub pulse: Option<Pulse>,
}

impl Config {
    /// Stores files in this directory for every client, within the default limits, over HTTP in clear
    /// text.
    #[must_use]
    pub fn new(directory: PathBuf) -> Self {
        Self {
            directory,
            on_duplicate: OnDuplicate::default(),
            fsync: false,
            sha256: false,
            resume_within: Duration::from_secs(24 * 3_600),
            history: None,
            tls: None,
            http2: false,
            access: Access::default(),
            limits: Limits::default(),
            grace: Duration::from_secs(30),
            pulse: None,
        }
    }
}

/// Serves until `stop`. Then finishes the requests in flight, until the grace period is over or
/// `stop_now` completes. The feed ends last, when every upload and every connection has its line.
///
/// # Errors
/// When the directory cannot be opened, or a listener has no address.
pub async fn run(
    listeners: Vec<TcpListener>,
    control: UnixListener,
    config: Config,
    stop: impl Future<Output = ()>,
    stop_now: impl Future<Output = ()>,
) -> io::Result<()> {
    let addresses: io::Result<_> = listeners.iter().map(TcpListener::local_addr).collect();
    let app = App::start(&config, addresses?)?;
    let control = ControlServer::spawn(control, Arc::clone(&app.journal));
    let connections = config.limits.connections_that_fit();
    let event_loops = Arc::new(EventLoops::start()?);
    let http = app.http_server(routes::router(&app), &config);
    let acceptor = Acceptor::new(http, Arc::clone(&event_loops), connections);
    for listener in listeners {
        acceptor.spawn(listener);
    }

    tokio::select! {
        () = stop => (),
        never = pulse::beat(config.pulse, &event_loops) => match never {},
    }
    app.journal.publisher.close();
    acceptor.shut_down(config.grace, stop_now).await;
    app.finish().await;
    drop(event_loops);
    app.journal.uploads.close();
    control.finish().await;
    if let Some(history) = config.history {
        spawn_blocking(move || history.close()).await?;
    }
    Ok(())
}
