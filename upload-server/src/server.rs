//! The server: uploads come in over HTTP, their records go out through the control socket. Opening
//! the sockets and deciding when to stop is the caller's.

mod access;
mod addresses;
mod blocking;
mod clock;
mod control;
mod digest;
mod encoding;
mod error;

mod form;

mod file_lock;
mod files;
mod history;
mod identity;
mod intake;
mod journal;
mod limits;
mod metrics;
mod name;
mod net;
mod observed_body;
mod page;
mod publisher;
mod put;
mod routes;
mod store;
mod timeline;
mod transfer;
mod tus;
mod writer;

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, UnixListener},
    task::spawn_blocking,
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{
    access::Guard,
    addresses::Addresses,
    digest::Algorithm,
    intake::Intake,
    journal::Journal,
    limits::admission::Admission,
    metrics::Metrics,
    net::{accept::Acceptor, http::HttpServer},
    store::Store,
    tus::Tus,
};
pub use self::{
    access::{Access, Hosts, Offer, Token, TokenError},
    history::{History, HistoryError},
    limits::Limits,
    net::tls::TlsIdentity,
    store::OnDuplicate,
};

/// How long readers of the control socket may take for the end of what they asked for.
const CONTROL_GRACE: Duration = Duration::from_secs(1);

/// What the server does with uploads.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where files are stored.
    pub directory: PathBuf,
    /// What becomes of a file whose name is taken.
    pub on_duplicate: OnDuplicate,
    /// Whether a file is on the disk before its upload is said to be complete.
    pub fsync: bool,
    /// Whether the SHA-256 of every file is computed, and not only where a client asks for it.
    pub sha256: bool,
    /// How long an interrupted upload may be resumed (tus).
    pub resume_within: Duration,
    /// Where uploads are kept over restarts, if they are.
    pub history: Option<History>,
    /// TLS instead of clear text.
    pub tls: Option<TlsIdentity>,
    /// Whether clients may speak HTTP/2: negotiated within TLS, with prior knowledge in clear text.
    pub http2: bool,
    /// Who may do what.
    pub access: Access,
    /// What the server bears.
    pub limits: Limits,
    /// How long requests may go on once the server is to stop.
    pub grace: Duration,
}

impl Config {
    /// Stores files in this directory for whoever reaches the server, within the usual limits, over
    /// HTTP in clear text.
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
        }
    }
}

/// Serves until `shutdown`, then finishes what is under way, until the grace is over or `hurry`. The
/// feed ends last, when every upload and connection has its line.
///
/// # Errors
/// When the directory cannot be opened, or the kernel does not say what a listener or this process
/// is.
pub async fn run(
    listeners: Vec<TcpListener>,
    control: UnixListener,
    config: Config,
    shutdown: impl Future<Output = ()>,
    hurry: impl Future<Output = ()>,
) -> io::Result<()> {
    let addresses = listeners
        .iter()
        .map(TcpListener::local_addr)
        .collect::<io::Result<_>>()?;
    let journal = Arc::new(Journal::new(
        identity::server(addresses)?,
        config.history.clone(),
        match config.access.offer.listing {
            true => Addresses::open(),
            false => Addresses::sealed()?,
        },
    ));
    let feed_over = CancellationToken::new();
    let stop_control = feed_over.clone().cancelled_owned();
    let control = tokio::spawn(control::serve(control, Arc::clone(&journal), stop_control));

    let limits = config.limits;
    let connections = limits.connections_that_fit();
    let finishing = TaskTracker::new();
    let metrics = Arc::new(Metrics::new());
    let intake = Intake {
        store: Store::open(&config.directory, config.on_duplicate, config.fsync)?,
        max_size: limits.max_size,
        idle: limits.idle,
        digest: config.sha256.then_some(Algorithm::Sha256),
        in_flight: metrics.uploads_in_flight.clone(),
        finishing: finishing.clone(),
    };
    let guard = Guard {
        access: config.access,
        trusted: config.tls.as_ref().is_some_and(|tls| !tls.is_self_signed()),
    };
    let (head, idle) = (limits.head, limits.idle);
    let (journal_of_tus, metrics_of_tus) = (Arc::clone(&journal), Arc::clone(&metrics));
    let tus = Tus::new(
        intake.clone(),
        config.resume_within,
        journal_of_tus,
        metrics_of_tus,
    );
    let sweep_over = CancellationToken::new();
    finishing.spawn(tus.clone().sweep(sweep_over.clone()));
    let admission = Admission::new(limits, config.directory, Arc::clone(&metrics));
    let http = HttpServer {
        tls: config.tls.map(|tls| tls.acceptor(config.http2)),
        http2: config.http2,
        head,
        idle,
        router: routes::router(
            intake,
            admission,
            guard,
            Arc::clone(&metrics),
            tus,
            Arc::clone(&journal),
        ),
        stop: CancellationToken::new(),
        abandon: CancellationToken::new(),
        tasks: TaskTracker::new(),
        journal: Arc::clone(&journal),
        metrics,
    };
    let acceptor = Acceptor::new(http, connections);
    for listener in listeners {
        acceptor.spawn(listener);
    }

    shutdown.await;
    journal.events().close();
    acceptor.shut_down(config.grace, hurry).await;
    sweep_over.cancel();
    finishing.close();
    finishing.wait().await;
    journal.close();
    feed_over.cancel();
    let abort_control = control.abort_handle();
    if timeout(CONTROL_GRACE, control).await.is_err() {
        abort_control.abort();
    }
    if let Some(history) = config.history {
        spawn_blocking(move || history.close()).await?;
    }
    Ok(())
}
