//! The connection to the collector, and one request after the other on it.

mod grpc;
mod http;
mod stream;

use std::{error::Error, io, time::Duration};

use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

pub(super) use self::stream::OwnSockets;
use self::{grpc::Grpc, http::Http, stream::Stream};
use super::{
    batch::Signal,
    endpoint::{Endpoint, Protocol},
};

/// The most that is read of an answer.
const MAX_ANSWER: usize = 64 << 10;
/// A server may ask for so long a pause at most.
const MAX_PAUSE: Duration = Duration::from_secs(30);

pub(super) struct Collector {
    endpoint: Endpoint,
    tls: Option<TlsConnector>,
    /// The open connection, if there is one.
    connection: Option<Connection>,
    own: OwnSockets,
}

enum Connection {
    Grpc(Grpc),
    Http(Http),
}

/// What became of a request that was answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Taken {
    /// Spans or points that the collector did not take, by its answer.
    pub(super) rejected: u64,
}

/// Why nothing was taken.
#[derive(Debug)]
pub(super) enum Failure {
    /// The collector may take them later; after this pause, if it asks for one.
    Temporary {
        why: String,
        after: Option<Duration>,
    },
    /// It will not take them.
    Final(String),
}

impl Collector {
    pub(super) fn new(endpoint: Endpoint, tls: Option<TlsConnector>) -> Self {
        Self {
            endpoint,
            tls,
            connection: None,
            own: OwnSockets::default(),
        }
    }

    /// The sockets of the latest connections to it.
    pub(super) const fn own_sockets(&self) -> &OwnSockets {
        &self.own
    }

    /// Sends an encoded request of OTLP, and waits for the answer.
    pub(super) async fn export(
        &mut self,
        signal: Signal,
        request: Bytes,
    ) -> Result<Taken, Failure> {
        let most = self.endpoint.timeout;
        match timeout(most, self.export_now(signal, request)).await {
            Ok(Ok(taken)) => Ok(taken),
            Ok(Err(failure)) => Err(failure),
            Err(_) => {
                // An answer that comes later belongs to no request any more.
                self.connection = None;
                Err(temporary(format!(
                    "no answer within {} s",
                    most.as_secs_f64()
                )))
            }
        }
    }

    async fn export_now(&mut self, signal: Signal, request: Bytes) -> Result<Taken, Failure> {
        let mut connection = match self.connection.take().filter(Connection::is_open) {
            Some(connection) => connection,
            None => self
                .connect()
                .await
                .map_err(|error| temporary(chain(&error)))?,
        };
        let taken = match &mut connection {
            Connection::Grpc(grpc) => grpc.export(&self.endpoint, signal, request).await,
            Connection::Http(http) => http.export(&self.endpoint, signal, request).await,
        };
        self.connection = Some(connection);
        taken
    }

    async fn connect(&mut self) -> io::Result<Connection> {
        let stream = Stream::connect(&self.endpoint, self.tls.as_ref(), &mut self.own).await?;
        let stream = TokioIo::new(stream);
        Ok(match self.endpoint.protocol {
            Protocol::Grpc => Connection::Grpc(Grpc::begin(stream).await?),
            Protocol::Http => Connection::Http(Http::begin(stream).await?),
        })
    }
}

impl Connection {
    fn is_open(&self) -> bool {
        match self {
            Self::Grpc(grpc) => grpc.is_open(),
            Self::Http(http) => http.is_open(),
        }
    }
}

/// An error with what it comes from.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

fn temporary(why: String) -> Failure {
    Failure::Temporary { why, after: None }
}

/// What the answer to a request means. Those of all signals have the same fields with the same numbers.
fn taken(answer: ExportTraceServiceResponse) -> Taken {
    let rejected = answer.partial_success.map_or(0, |partial| {
        if !partial.error_message.is_empty() {
            tracing::warn!(
                rejected = partial.rejected_spans,
                "the collector answers: {}",
                super::attributes::shortened(&partial.error_message)
            );
        }
        partial.rejected_spans
    });
    Taken {
        rejected: u64::try_from(rejected).unwrap_or_default(),
    }
}
