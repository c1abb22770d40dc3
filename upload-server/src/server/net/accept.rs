//! Accepts connections, up to as many as the server can hold.

use std::{io, sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{Instant, sleep},
};
use tracing::{debug, warn};

use super::{
    connection_limit::{ConnectionSlots, Slot},
    event_loops::EventLoops,
    http::HttpServer,
    serve,
};
use crate::server::clock;

/// How many connections beyond the limit may get their refusal at a time. Further ones wait in the
/// kernel.
const TURNED_AWAY: usize = 16;

/// How long to wait when the process cannot accept a connection, for lack of descriptors for example.
const BACK_OFF: Duration = Duration::from_millis(500);

/// How often the log reports that.
const REPORT_EVERY: Duration = Duration::from_secs(60);

/// Accepts connections, and serves each in a task of its own.
#[derive(Clone)]
pub(crate) struct Acceptor {
    http: HttpServer,
    event_loops: Arc<EventLoops>,
    slots: Arc<ConnectionSlots>,
    turned_away: Arc<Semaphore>,
}

impl Acceptor {
    pub(crate) fn new(http: HttpServer, event_loops: Arc<EventLoops>, connections: usize) -> Self {
        Self {
            http,
            event_loops,
            slots: Arc::new(ConnectionSlots::new(connections)),
            turned_away: Arc::new(Semaphore::new(TURNED_AWAY)),
        }
    }

    /// Accepts from this listener until the shutdown.
    pub(crate) fn spawn(&self, listener: TcpListener) {
        let acceptor = self.clone();
        self.http.tasks.spawn(async move {
            tokio::select! {
                () = acceptor.accept_all(&listener) => (),
                () = acceptor.http.stop.cancelled() => (),
            }
        });
    }

    /// Lets the requests in flight finish, until `grace` is over or `stop_now` completes, and drops the
    /// rest. No connection is left afterwards.
    pub(crate) async fn shut_down(self, grace: Duration, stop_now: impl Future<Output = ()>) {
        let HttpServer {
            stop,
            abandon,
            tasks,
            ..
        } = self.http;
        stop.cancel();
        tasks.close();
        tokio::select! {
            () = tasks.wait() => return,
            () = sleep(grace) => (),
            () = stop_now => (),
        }
        warn!(
            connections = tasks.len(),
            "dropping the connections that still have requests in flight"
        );
        abandon.cancel();
        tasks.wait().await;
    }

    async fn accept_all(&self, listener: &TcpListener) {
        let mut reported: Option<Instant> = None;
        loop {
            if let Err(error) = self.accept(listener).await {
                if concerns_one_connection(&error) {
                    debug!(%error, "a connection broke before it was accepted");
                } else {
                    if reported.is_none_or(|at| at.elapsed() >= REPORT_EVERY) {
                        warn!(%error, "cannot accept connections");
                        reported = Some(Instant::now());
                    }
                    sleep(BACK_OFF).await;
                }
            }
        }
    }

    async fn accept(&self, listener: &TcpListener) -> io::Result<()> {
        let (stream, client) = listener.accept().await?;
        let accepted_ns = clock::now_ns();
        let (permit, http, slots) = match self.slots.acquire().await {
            Some(permit) => {
                let slots = Arc::clone(&self.slots);
                (Some(permit), self.http.clone(), Some(slots))
            }
            None => {
                self.http.journal.metrics.connections_refused.inc();
                let permit = Arc::clone(&self.turned_away).acquire_owned().await;
                (permit.ok(), self.http.refusing(), None)
            }
        };
        let slot = Slot::new(slots, permit);
        let stream = stream.into_std()?;
        let place = self.event_loops.place();
        let handle = place.handle.clone();
        let serving = async move {
            let _place = place;
            let opened = TcpStream::from_std(stream)
                .and_then(|stream| http.open(stream, client, accepted_ns, slot));
            match opened {
                Ok((socket, connection)) => serve::serve(&http, socket, connection).await,
                Err(error) => debug!(%error, "a connection broke before it was served"),
            }
        };
        self.http.tasks.spawn_on(serving, &handle);
        Ok(())
    }
}

/// `accept` also reports errors of the connection that it returns (accept(2)).
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
