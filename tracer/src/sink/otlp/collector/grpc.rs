//! OTLP over gRPC: unary calls on one connection of HTTP/2. tonic frames them and reads their status; its own
//! channel, which balances and reconnects, is not needed for one call at a time.

use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll},
};

use hyper::{
    Request, Response, Uri,
    body::{Bytes, Incoming},
    client::conn::http2::{Builder, SendRequest},
    http::{
        header::USER_AGENT,
        uri::{PathAndQuery, Scheme},
    },
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::{Message as _, bytes::BufMut as _};
use tonic::{
    Code, Status,
    body::Body,
    client::GrpcService,
    codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder},
};

use super::{Failure, MAX_ANSWER, Stream, Taken, chain, taken, temporary};
use crate::sink::otlp::{agent, attributes::shortened, batch::Signal, endpoint::Endpoint};

/// OTLP's services and methods.
const TRACES: PathAndQuery =
    PathAndQuery::from_static("/opentelemetry.proto.collector.trace.v1.TraceService/Export");
const METRICS: PathAndQuery =
    PathAndQuery::from_static("/opentelemetry.proto.collector.metrics.v1.MetricsService/Export");

pub(super) struct Grpc(Http2);

/// A connection as tonic asks for it.
#[derive(Clone)]
struct Http2(SendRequest<Body>);

impl Grpc {
    pub(super) async fn begin(stream: TokioIo<Stream>) -> io::Result<Self> {
        let handshake = Builder::new(TokioExecutor::new()).handshake(stream);
        let (sender, connection) = handshake.await.map_err(io::Error::other)?;
        // How it ended is known from the next call.
        tokio::spawn(connection);
        Ok(Self(Http2(sender)))
    }

    pub(super) fn is_open(&self) -> bool {
        !self.0.0.is_closed()
    }

    pub(super) async fn export(
        &mut self,
        endpoint: &Endpoint,
        signal: Signal,
        request: Bytes,
    ) -> Result<Taken, Failure> {
        let scheme = if endpoint.is_secure {
            Scheme::HTTPS
        } else {
            Scheme::HTTP
        };
        let origin = Uri::builder()
            .scheme(scheme)
            .authority(&*endpoint.authority)
            .path_and_query("/")
            .build()
            .map_err(|error| Failure::Final(error.to_string()))?;
        let mut client = tonic::client::Grpc::with_origin(self.0.clone(), origin)
            .max_decoding_message_size(MAX_ANSWER);
        if endpoint.is_compressed {
            client = client.send_compressed(CompressionEncoding::Gzip);
        }
        let mut call = tonic::Request::new(request);
        let mut fields = std::mem::take(call.metadata_mut()).into_headers();
        fields.insert(USER_AGENT, agent());
        for (name, value) in &endpoint.headers {
            fields.insert(name, value.clone());
        }
        *call.metadata_mut() = tonic::metadata::MetadataMap::from_headers(fields);
        client
            .ready()
            .await
            .map_err(|error| temporary(chain(&error)))?;
        let method = match signal {
            Signal::Traces => TRACES,
            Signal::Metrics => METRICS,
        };
        match client.unary(call, method, Answers).await {
            Ok(answer) => Ok(taken(answer.into_inner())),
            Err(status) => Err(failure(&status)),
        }
    }
}

/// Which codes are tried again, as OTLP's specification has it.
fn failure(status: &Status) -> Failure {
    /// The type of the detail that asks for a later try.
    const RETRY_INFO: &[u8] = b"google.rpc.RetryInfo";
    let source = std::error::Error::source(status);
    let text = shortened(status.message());
    let why = match source {
        Some(source) => chain(source),
        None if text.is_empty() => format!("the collector answers: {}", status.code()),
        None => format!("the collector answers: {text}"),
    };
    let mut details = status.details().windows(RETRY_INFO.len());
    match status.code() {
        Code::Cancelled
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unavailable
        | Code::DataLoss => temporary(why),
        Code::ResourceExhausted if details.any(|part| part == RETRY_INFO) => temporary(why),
        // The connection failed, and the collector answered nothing.
        Code::Unknown | Code::Internal if source.is_some() => temporary(why),
        _ => Failure::Final(why),
    }
}

impl GrpcService<Body> for Http2 {
    type ResponseBody = Incoming;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Incoming>, hyper::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), hyper::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.0.send_request(request))
    }
}

/// Sends what is encoded already: a request that is sent again is not encoded again.
#[derive(Default)]
struct Answers;

impl Codec for Answers {
    type Encode = Bytes;
    type Decode = ExportTraceServiceResponse;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Answers {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put(item);
        Ok(())
    }
}

impl Decoder for Answers {
    type Item = ExportTraceServiceResponse;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Self::Item>, Status> {
        let answer = ExportTraceServiceResponse::decode(from);
        answer
            .map(Some)
            .map_err(|error| Status::internal(error.to_string()))
    }
}
