//! What the routes need, built once from the configuration.

use std::{io, net::SocketAddr, sync::Arc};

use axum::Router;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    Config,
    access::{Guard, WrongTokens},
    addresses::Addresses,
    digest::{Algorithm, DownloadDigests, UploadDigests},
    finisher::Finisher,
    intake::Intake,
    journal::Journal,
    limits::{ClientSlots, FreeSpace, admission::Admission},
    net::{
        answer_pace::MinRate, held_answers::HeldAnswers, http::HttpServer, http2, linger::MAX_TIME,
        read_ahead,
    },
    store::Store,
    tus::Tus,
    upload_log::{UploadLog, this_server},
};

pub(crate) struct App {
    pub(crate) intake: Intake,
    pub(crate) admission: Admission,
    pub(crate) guard: Arc<Guard>,
    pub(crate) tus: Tus,
    pub(crate) journal: Arc<Journal>,
    /// Ends the search for resumable uploads that have expired.
    sweep_over: CancellationToken,
}

impl App {
    /// For a server that listens on these addresses. Also starts the background work: removing
    /// resumable uploads that have expired.
    pub(crate) fn start(config: &Config, listen: Vec<SocketAddr>) -> io::Result<Self> {
        let addresses = if config.access.offer.listing {
            Addresses::open()
        } else {
            Addresses::sealed()?
        };
        let uploads = UploadLog::new(this_server(listen)?, config.history.clone());
        let journal = Arc::new(Journal::new(uploads, addresses));
        let store = Store::open(&config.directory, config.on_duplicate, config.fsync)?;
        let space = FreeSpace::new(
            Arc::clone(store.directory()),
            config.limits.min_free,
            config.limits.min_free_inodes,
        );
        let intake = Intake {
            space: space.clone(),
            finisher: Finisher::new(store.clone()),
            store,
            max_size: config.limits.max_size,
            idle: config.limits.idle,
            digest: config.sha256.then_some(Algorithm::Sha256),
            in_flight: journal.metrics.uploads_in_flight.clone(),
            downloads: Arc::new(ClientSlots::new(
                "downloads",
                config.limits.downloads_that_fit(),
                config.limits.downloads_per_client,
            )),
            digests: DownloadDigests::new(),
            upload_digests: UploadDigests::new(),
            abandon: CancellationToken::new(),
            finishing: TaskTracker::new(),
        };
        let tus = Tus::new(
            intake.clone(),
            &config.limits,
            config.resume_within,
            Arc::clone(&journal),
        );
        let sweep_over = CancellationToken::new();
        let sweep = tus.clone().sweep(sweep_over.clone());
        intake.finishing.spawn(sweep);
        let tls = config.tls.as_ref();
        Ok(Self {
            admission: Admission::new(config.limits.clone(), space, intake.in_flight.clone()),
            guard: Arc::new(Guard {
                access: config.access.clone(),
                wrong_tokens: WrongTokens::new(),
                publicly_trusted: tls.is_some_and(|tls| !tls.is_self_signed()),
            }),
            intake,
            tus,
            journal,
            sweep_over,
        })
    }

    /// The server for the connections to these routes.
    pub(crate) fn http_server(&self, router: Router, config: &Config) -> HttpServer {
        HttpServer {
            router,
            tls: config.tls.as_ref().map(|tls| tls.acceptor(config.http2)),
            http2: config.http2,
            read_ahead: read_ahead::budget(),
            streams: http2::stream_budget(),
            answers: HeldAnswers::new(),
            head: config.limits.head,
            idle: config.limits.idle,
            min_rate: MinRate {
                rate: config.limits.min_rate,
                window: config.limits.rate_window,
            },
            linger: MAX_TIME,
            stop: CancellationToken::new(),
            abandon: self.intake.abandon.clone(),
            tasks: TaskTracker::new(),
            journal: Arc::clone(&self.journal),
            proxies: Arc::new(config.access.proxies.clone()),
        }
    }

    /// Completes when the background work, and every file on its way to its name, is done.
    pub(crate) async fn finish(&self) {
        self.sweep_over.cancel();
        self.intake.finishing.close();
        self.intake.finishing.wait().await;
    }
}
