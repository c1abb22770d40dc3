//! Takes connections off the listeners, no more at a time than the server can hold.

use std::{io, sync::Arc, time::Duration};

use axum::Router;
use tokio::{
    net::TcpListener,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::sleep,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{debug, warn};

use super::{clock, http, journal::Journal};

/// How many connections are served at a time; more wait in the kernel.
const MAX_CONNECTIONS: usize = 1_024;

/// How long to wait when the process can take no further connection.
const BACK_OFF: Duration = Duration::from_millis(500);

/// Accepts, and serves each connection in a task of its own.
#[derive(Clone)]
pub(crate) struct Acceptor {
    router: Router,
    journal: Arc<Journal>,
    slots: Arc<Semaphore>,
    tasks: TaskTracker,
    /// Take nothing more and finish.
    stop: CancellationToken,
    /// Drop everything.
    abandon: CancellationToken,
}

impl Acceptor {
    pub(crate) fn new(router: Router, journal: Arc<Journal>) -> Self {
        Self {
            router,
            journal,
            slots: Arc::new(Semaphore::new(MAX_CONNECTIONS)),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
            abandon: CancellationToken::new(),
        }
    }

    /// Accepts connections of this listener until the shutdown.
    pub(crate) fn spawn(&self, listener: TcpListener) {
        let acceptor = self.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                () = acceptor.accept_all(&listener) => (),
                () = acceptor.stop.cancelled() => (),
            }
        });
    }

    /// Lets requests under way finish, for as long as `grace`. No connection is left afterwards.
    pub(crate) async fn shut_down(self, grace: Duration) {
        self.stop.cancel();
        self.tasks.close();
        if tokio::time::timeout(grace, self.tasks.wait())
            .await
            .is_err()
        {
            warn!(
                connections = self.tasks.len(),
                "still busy: dropping what is under way"
            );
            self.abandon.cancel();
            self.tasks.wait().await;
        }
    }

    async fn accept_all(&self, listener: &TcpListener) {
        while let Ok(slot) = Arc::clone(&self.slots).acquire_owned().await {
            if let Err(error) = self.accept(listener, slot).await {
                if concerns_one_connection(&error) {
                    debug!(%error, "a connection was gone before it was accepted");
                } else {
                    warn!(%error, "cannot accept connections");
                    sleep(BACK_OFF).await;
                }
            }
        }
    }

    async fn accept(&self, listener: &TcpListener, slot: OwnedSemaphorePermit) -> io::Result<()> {
        let (stream, client) = listener.accept().await?;
        let accepted_ns = clock::now_ns();
        let journal = Arc::clone(&self.journal);
        let (stream, connection) = http::open(stream, client, accepted_ns, journal)?;
        let serve = http::serve(stream, connection, self.router.clone(), self.stop.clone());
        let abandon = self.abandon.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                () = serve => (),
                () = abandon.cancelled() => (),
            }
            drop(slot);
        });
        Ok(())
    }
}

/// `accept` also reports what befell a connection that was waiting (see accept(2)).
fn concerns_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::NotConnected
            | io::ErrorKind::InvalidInput
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::NetworkDown
            | io::ErrorKind::Interrupted
    )
}
