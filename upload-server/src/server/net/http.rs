//! What all connections of the server share: the routes, TLS, timeouts, and the end.
//!
//! `axum::serve` has no timeout for a request's head. hyper-util's automatic choice of the version has no
//! timeout for the first bytes, and does not return the stream, from which the rest has to be drained.

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    http::{Request, Response, Version, header},
    routing::get,
};
use hyper::{
    body::Incoming,
    service::{Service, service_fn},
};
use rustix::net::sockopt::{set_tcp_user_timeout, socket_cookie};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::debug;

use super::{
    answer_pace::MinRate,
    connection::{Accepted, Connection},
    connection_limit::Slot,
    fields,
    held_answers::HeldAnswers,
    linger,
    read_ahead::ReadAhead,
    request::{self, ResponseBody},
    shared_budget::SharedBudget,
    socket::Socket,
};
use crate::{
    record::Cookie,
    server::{access::HEALTH, error::Error, forwarded::TrustedProxies, journal::Journal},
};

/// Serves connections.
#[derive(Clone)]
pub(crate) struct HttpServer {
    pub(crate) router: Router,
    /// Absent where HTTP is spoken in clear text.
    pub(crate) tls: Option<TlsAcceptor>,
    /// Whether a client may speak HTTP/2.
    pub(crate) http2: bool,
    /// How many bytes of bodies the connections of HTTP/2 may hold.
    pub(crate) read_ahead: SharedBudget,
    /// How many requests the connections of HTTP/2 may have in flight.
    pub(crate) streams: SharedBudget,
    /// The memory of answers.
    pub(crate) answers: HeldAnswers,
    /// Timeout for the TLS handshake, for a request's head, and between requests.
    pub(crate) head: Duration,
    /// How long a client may leave sent bytes unacknowledged.
    pub(crate) idle: Duration,
    /// How fast a client must take answers.
    pub(crate) min_rate: MinRate,
    /// How long a client may go on sending after its last response.
    pub(crate) linger: Duration,
    /// Cancelled when no further request is accepted.
    pub(crate) stop: CancellationToken,
    /// Cancelled when every connection is dropped, even one with requests in flight.
    pub(crate) abandon: CancellationToken,
    /// Every task that works on a connection.
    pub(crate) tasks: TaskTracker,
    pub(crate) journal: Arc<Journal>,
    pub(crate) proxies: Arc<TrustedProxies>,
}

impl HttpServer {
    /// The same for a connection without a slot: it answers 503 and closes. A health check succeeds: a server
    /// that is busy works.
    pub(crate) fn refusing(&self) -> Self {
        let answering = self.answering(|| Error::Busy);
        let healthy = get(async || ([(header::CONNECTION, "close")], "ok\n"));
        Self {
            linger: linger::SHORT_TIME,
            router: answering.router.clone().route(HEALTH, healthy),
            ..answering
        }
    }

    /// The same, but it gives one answer to every request and closes the connection.
    pub(super) fn answering(&self, error: fn() -> Error) -> Self {
        let answer = async move || ([(header::CONNECTION, "close")], error());
        Self {
            router: Router::new().fallback(answer),
            ..self.clone()
        }
    }

    /// Turns an accepted socket into a connection.
    pub(crate) fn open(
        &self,
        stream: TcpStream,
        client: SocketAddr,
        accepted_ns: u64,
        slot: Slot,
    ) -> io::Result<(Socket, Arc<Connection>)> {
        stream.set_nodelay(true)?;
        // Also ends a client that keeps its window closed (tcp(7)).
        let idle = self.idle.as_millis().try_into().unwrap_or(u32::MAX);
        set_tcp_user_timeout(&stream, idle)?;
        let accepted = Accepted {
            cookie: Cookie(socket_cookie(&stream)?),
            client: SocketAddr::new(client.ip().to_canonical(), client.port()),
            local: stream.local_addr()?,
            accepted_ns,
            secure: self.tls.is_some(),
        };
        let journal = Arc::clone(&self.journal);
        let connection = Arc::new(Connection::new(accepted, slot, journal));
        let socket = Socket::new(stream, self.min_rate, Arc::clone(&connection));
        Ok((socket, connection))
    }

    /// Completes when everything on this connection is to be dropped. Sets the connection's mark
    /// first, so that the uploads dropped with it have the right reason.
    pub(super) async fn abandoned(&self, connection: &Connection) {
        tokio::select! {
            () = self.abandon.cancelled() => (),
            () = connection.dismissed.cancelled() => {
                self.journal.metrics.connections_dismissed.inc();
                debug!(cookie = %connection.cookie, "dismissed to make room");
            }
        }
        connection.abandon();
    }

    /// Answers the requests of a connection; of one of HTTP/2, with what it reads ahead.
    pub(super) fn service(
        &self,
        connection: Arc<Connection>,
        ahead: Option<ReadAhead>,
    ) -> impl Service<
        Request<Incoming>,
        Response = Response<ResponseBody>,
        Error = Infallible,
        Future: Future<Output = Result<Response<ResponseBody>, Infallible>>
                    + Send
                    + Unpin
                    + 'static,
    > + use<> {
        let (router, proxies) = (self.router.clone(), Arc::clone(&self.proxies));
        let answers = self.answers.clone();
        service_fn(move |mut request| {
            // At once: on many connections, many may be there before the first is answered.
            let too_many =
                request.version() == Version::HTTP_2 && fields::limit(request.headers_mut());
            let router = if too_many {
                Router::new().fallback(async || Error::ManyFields(fields::MOST))
            } else {
                router.clone()
            };
            let forwarded = proxies.read(connection.client.ip(), request.headers());
            Box::pin(request::answer(
                router,
                answers.clone(),
                Arc::clone(&connection),
                ahead.clone(),
                forwarded,
                request,
            ))
        })
    }

    /// Before HTTP begins, a client has as long as for a request's head; after the stop, no time.
    pub(super) async fn in_time<T>(
        &self,
        opening: impl Future<Output = io::Result<T>>,
    ) -> io::Result<T> {
        tokio::select! {
            opened = timeout(self.head, opening) => opened?,
            () = self.stop.cancelled() => Err(io::ErrorKind::ConnectionAborted.into()),
        }
    }
}
