//! OTLP over HTTP/1.1, with binary protobuf.

use std::{
    io::{self, Write as _},
    time::Duration,
};

use flate2::{Compression, write::GzEncoder};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    Request, StatusCode,
    body::Bytes,
    client::conn::http1::{SendRequest, handshake},
    header::{CONTENT_ENCODING, CONTENT_TYPE, HOST, HeaderValue, RETRY_AFTER, USER_AGENT},
};
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message as _;

use super::{Failure, MAX_ANSWER, MAX_PAUSE, Stream, Taken, chain, taken, temporary};
use crate::sink::otlp::{agent, batch::Signal, endpoint::Endpoint};

const PROTOBUF: HeaderValue = HeaderValue::from_static("application/x-protobuf");

pub(super) struct Http(SendRequest<Full<Bytes>>);

impl Http {
    pub(super) async fn begin(stream: TokioIo<Stream>) -> io::Result<Self> {
        let (sender, connection) = handshake(stream).await.map_err(io::Error::other)?;
        // How it ended is known from the next request.
        tokio::spawn(connection);
        Ok(Self(sender))
    }

    pub(super) fn is_open(&self) -> bool {
        !self.0.is_closed()
    }

    pub(super) async fn export(
        &mut self,
        endpoint: &Endpoint,
        signal: Signal,
        request: Bytes,
    ) -> Result<Taken, Failure> {
        let ended = |error: hyper::Error| temporary(chain(&error));
        let path = match signal {
            Signal::Traces => &endpoint.path,
            Signal::Metrics => &endpoint.metrics_path,
        };
        let body = if endpoint.is_compressed {
            gzip(&request).map_err(|error| Failure::Final(error.to_string()))?
        } else {
            request
        };
        let mut request = Request::post(path.as_str())
            .header(HOST, &*endpoint.authority)
            .header(CONTENT_TYPE, PROTOBUF)
            .header(USER_AGENT, agent())
            .body(Full::new(body))
            .map_err(|error| Failure::Final(error.to_string()))?;
        if endpoint.is_compressed {
            let gzip = HeaderValue::from_static("gzip");
            request.headers_mut().insert(CONTENT_ENCODING, gzip);
        }
        for (name, value) in &endpoint.headers {
            request.headers_mut().insert(name, value.clone());
        }
        self.0.ready().await.map_err(ended)?;
        let answer = self.0.send_request(request).await.map_err(ended)?;
        let status = answer.status();
        let after = answer.headers().get(RETRY_AFTER).and_then(pause);
        let body = Limited::new(answer.into_body(), MAX_ANSWER).collect().await;
        let body = body
            .map_err(|error| temporary(error.to_string()))?
            .to_bytes();
        if status.is_success() {
            // Whatever its body is, the answer is that all was taken.
            let answer = ExportTraceServiceResponse::decode(body).unwrap_or_default();
            return Ok(taken(answer));
        }
        let why = format!("the collector answers {status}");
        Err(match status {
            StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => Failure::Temporary { why, after },
            _ => Failure::Final(why),
        })
    }
}

fn gzip(plain: &[u8]) -> io::Result<Bytes> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(plain)?;
    Ok(encoder.finish()?.into())
}

/// The pause that the field `Retry-After` asks for in seconds (RFC 9110, section 10.2.3).
fn pause(value: &HeaderValue) -> Option<Duration> {
    let seconds = value.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(MAX_PAUSE))
}
