//! A request and its response: from the segments where these show both in the clear, else from the
//! server's own clock readings. Uploads that the server reported are put to theirs.

use std::borrow::Cow;

use serde::Serialize;
use tracer_ebpf::record::{EGRESS, INGRESS};
use upload_server::record::Upload;

use super::{Bytes, Certainty, Origin};
use crate::core::{
    connection::Connection,
    end::End,
    payload::{HttpExchange, HttpRequest},
};

/// One request and its response.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Exchange {
    /// The request head.
    pub request: Request,
    /// The request body.
    pub body: Body,
    /// From the last byte of the body to the response: the server thinks.
    pub wait: Span,
    /// The response.
    pub response: Response,
    /// Who tells the times: the segments, where they show the whole exchange in the clear, or else
    /// the server's own clock readings.
    pub known_by: KnownBy,
    /// The upload it carried; the first of several; `null` for none, or none that a server reported.
    pub upload: Option<String>,
    /// All of them, where a form carried several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub uploads: Vec<String>,
    /// Which request on the connection, counted from 1. From 2 on, the handshake was paid by an
    /// earlier one.
    pub sequence: u32,
    /// What it means, in a sentence; where explanations were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub explain: Option<String>,
}

/// A stretch of time; an end that was not seen is `null`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Span {
    /// Its beginning.
    pub start_ns: Option<u64>,
    /// Its end.
    pub end_ns: Option<u64>,
    /// How the two are known.
    pub certainty: Certainty,
}

/// A request head: from its first segment to its last, or, where the server tells it, from the
/// first byte read to the last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Request {
    /// When.
    #[serde(flatten)]
    pub span: Span,
    /// The method.
    pub method: Cow<'static, str>,
    /// The target.
    pub target: String,
    /// The protocol version.
    pub version: Cow<'static, str>,
    /// The field Content-Length.
    pub content_length: Option<u64>,
    /// When the server said `100 Continue`, which the client waited for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub continue_ns: Option<u64>,
}

/// Who tells the times of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "said above")]
pub enum KnownBy {
    Server,
    Segments,
}

/// A request body: from its first segment to its last, or, where the server tells it, from the first
/// byte handed to it to the last. The last segment's time is that of its arrival where the server's
/// socket is on this machine, and that of its leaving where only the client's is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Body {
    /// When.
    #[serde(flatten)]
    pub span: Span,
    /// Bytes of the files in it that arrived, by the server's count; without a server's word, bytes
    /// of the body that arrived.
    pub bytes: Option<u64>,
    /// Bytes of TCP payload of the body that the server's end had acknowledged when it answered;
    /// `null` where the request is not in the clear, comes in chunks, or has more behind it.
    pub acknowledged: Option<u64>,
    /// The same as `bytes` per second; `null` for a body that took no time.
    pub bytes_per_second: Option<u64>,
}

/// A response: from its first segment to its last, or, where the server tells it, from ready to
/// handed to the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Response {
    /// When.
    #[serde(flatten)]
    pub span: Span,
    /// Its status; `null` where none was sent.
    pub status: Option<u16>,
}

impl Span {
    const fn is_whole(&self) -> bool {
        self.start_ns.is_some() && self.end_ns.is_some()
    }

    /// The last payload of the connection is taken for the last of this.
    const fn inferred(mut self) -> Self {
        if matches!(self.certainty, Certainty::Observed) {
            self.certainty = Certainty::Inferred;
        }
        self
    }

    fn new(start: Option<u64>, end: Option<u64>, origin: Origin) -> Self {
        Self {
            start_ns: start.map(|at| origin.since(at)),
            end_ns: end.map(|at| origin.since(at)),
            certainty: if start.is_some() && end.is_some() {
                Certainty::Observed
            } else {
                Certainty::Unknown
            },
        }
    }
}

/// The exchanges in their order, the uploads (the files of one form belong together) with theirs.
pub(super) fn exchanges(
    connection: &Connection,
    uploads: &[Upload],
    bytes: Bytes,
    origin: Origin,
) -> Vec<Exchange> {
    let mut uploads: Vec<&Upload> = uploads.iter().collect();
    uploads.sort_by_key(|upload| upload.request);
    let seen = connection.dialogue.payload.exchanges();
    let mut reports: Vec<Option<&[&Upload]>> = vec![None; seen.len()];
    let mut exchanges = Vec::with_capacity(seen.len());
    let mut next = 0;
    for files in uploads.chunk_by(|one, other| one.request == other.request) {
        let place = seen.iter().skip(next).position(|http| is_of(files, http));
        if let Some(place) = place {
            reports[next + place] = Some(files);
            next += place + 1;
        } else {
            exchanges.extend(reported(files, origin));
        }
    }
    let mut sequence = 0_u32;
    let last = seen.len().saturating_sub(1);
    for (number, (http, files)) in seen.iter().zip(reports).enumerate() {
        let flow = if number == last {
            Flow::of(connection, bytes)
        } else {
            Flow::default()
        };
        let shown = shown(http, &flow, origin);
        let told = files.and_then(|files| reported(files, origin));
        let exchange = match (shown, told) {
            (Some(shown), Some(told)) => Some(together(shown, told)),
            (shown, told) => shown.or(told),
        };
        if let Some(mut exchange) = exchange {
            if exchange.sequence == 0 {
                exchange.sequence = sequence.saturating_add(1);
            }
            sequence = exchange.sequence;
            exchanges.push(exchange);
        }
    }
    exchanges.sort_by_key(|exchange| exchange.sequence);
    exchanges
}

/// Whether a request that was seen is the one that these files came in.
fn is_of(files: &[&Upload], http: &HttpExchange) -> bool {
    let both = files.first().zip(http.request.as_ref());
    both.is_some_and(|(file, seen)| seen.method == file.method && seen.target == file.target)
}

/// What the segments show, with what only the server knows; what the server tells where the segments
/// do not show the whole of it.
fn together(shown: Exchange, told: Exchange) -> Exchange {
    let whole = shown.request.span.is_whole()
        && (told.body.bytes.unwrap_or(0) == 0 || shown.body.span.is_whole())
        && (told.response.status.is_none() || shown.response.span.start_ns.is_some());
    if !whole {
        return Exchange {
            request: Request {
                continue_ns: shown.request.continue_ns,
                ..told.request
            },
            body: Body {
                acknowledged: shown.body.acknowledged,
                ..told.body
            },
            ..told
        };
    }
    let bytes = told.body.bytes;
    Exchange {
        body: Body {
            acknowledged: shown.body.acknowledged,
            ..Body::new(shown.body.span, bytes)
        },
        upload: told.upload,
        uploads: told.uploads,
        sequence: told.sequence,
        ..shown
    }
}

/// What passed on the whole connection, where the last exchange's ends are sought.
#[derive(Debug, Default)]
struct Flow {
    /// When each end's last payload passed.
    client_last: Option<u64>,
    server_last: Option<u64>,
    /// Payload from the client that arrived.
    client_bytes: Option<u64>,
}

impl Flow {
    fn of(connection: &Connection, bytes: Bytes) -> Self {
        let last_by = |end: End| {
            let (view, direction) = match (connection.view(end), connection.view(end.other())) {
                (Some(view), _) => (view, EGRESS),
                (None, other) => (other?, INGRESS),
            };
            let passed = view.passed.as_ref()?.get(usize::from(direction)).copied()?;
            (passed.last_ns > 0).then_some(passed.last_ns)
        };
        Self {
            client_last: last_by(End::Client),
            server_last: last_by(End::Server),
            client_bytes: bytes.client_to_server,
        }
    }
}

/// An exchange from its segments. Where the other end spoke next, the last segment before that is
/// known; else, in the last exchange, when the last payload passed.
fn shown(http: &HttpExchange, flow: &Flow, origin: Origin) -> Option<Exchange> {
    let request = http.request.as_ref()?;
    let response = http.response.as_ref();
    let response_start = response.map(|response| response.start_ns);
    let body = Body {
        acknowledged: request.body_acknowledged,
        ..body_shown(request, response_start, flow, origin)
    };
    // What follows is another protocol's.
    let is_handed_over =
        request.method == "CONNECT" || response.is_some_and(|response| response.status == 101);
    let response_end = response.map(|response| {
        let server_last = flow.server_last.filter(|_| !is_handed_over);
        response.last_ns.max(server_last.unwrap_or_default())
    });
    let request_end = match request.body_first_ns {
        Some(_) => request.body_last_ns,
        None => request.head_end_ns,
    };
    // Of a response to half a request nobody knows since when it was in the making.
    let wait_start = request_end.filter(|end| response_start.is_some_and(|start| *end <= start));
    Some(Exchange {
        request: Request {
            span: Span::new(Some(request.start_ns), request.head_end_ns, origin),
            method: request.method.clone(),
            target: request.target.clone(),
            version: request.version.into(),
            content_length: request.content_length,
            continue_ns: http.continue_ns.map(|at| origin.since(at)),
        },
        body,
        wait: Span::new(wait_start, response_start, origin),
        response: Response {
            span: Span::new(response_start, response_end, origin),
            status: response.map(|response| response.status),
        },
        known_by: KnownBy::Segments,
        upload: None,
        uploads: Vec::new(),
        sequence: 0,
        explain: None,
    })
}

fn body_shown(
    request: &HttpRequest,
    response_start: Option<u64>,
    flow: &Flow,
    origin: Origin,
) -> Body {
    let bytes = body_bytes(request, flow);
    let Some(first) = request.body_first_ns else {
        return Body::new(Span::new(None, None, origin), bytes);
    };
    let span = match response_start {
        Some(_) => Span::new(Some(first), request.body_last_ns, origin),
        None => {
            let last = request.body_last_ns.max(flow.client_last);
            Span::new(Some(first), last, origin).inferred()
        }
    };
    Body::new(span, bytes)
}

/// How much of a body of known length arrived; `None` for chunks, whose own lines count as well.
fn body_bytes(request: &HttpRequest, flow: &Flow) -> Option<u64> {
    let announced = request
        .content_length
        .filter(|length| *length > 0 && !request.chunked)?;
    if request.body_arrived {
        return Some(announced);
    }
    // In the connection's last exchange, what came after the head is the body's.
    let after_head = flow.client_bytes?.checked_sub(request.body_offset?)?;
    Some(after_head.min(announced))
}

/// An exchange by the server's clock.
fn reported(files: &[&Upload], origin: Origin) -> Option<Exchange> {
    let (first, last) = (files.first()?, files.last()?);
    let span = |start, end| Span::new(start, end, origin);
    let body_first = files
        .iter()
        .filter_map(|file| file.times.body_first_ns)
        .min();
    let body_last = files
        .iter()
        .filter_map(|file| file.times.body_last_ns)
        .max();
    let bytes = files
        .iter()
        .fold(0_u64, |bytes, file| bytes.saturating_add(file.bytes));
    // A response that was ready and never sent is none.
    let response_ns = last.status.and(last.times.response_ns);
    Some(Exchange {
        request: Request {
            span: span(first.times.first_byte_ns, Some(first.times.head_ns)),
            method: first.method.clone().into(),
            target: first.target.clone(),
            version: first.version.clone().into(),
            content_length: first.content_length,
            continue_ns: None,
        },
        body: Body::new(span(body_first, body_last), Some(bytes)),
        wait: span(body_last.or(Some(first.times.head_ns)), response_ns),
        response: Response {
            span: span(response_ns, last.times.sent_ns),
            status: last.status,
        },
        known_by: KnownBy::Server,
        upload: Some(first.id.clone()),
        uploads: if files.len() > 1 {
            files.iter().map(|file| file.id.clone()).collect()
        } else {
            Vec::new()
        },
        sequence: first.request,
        explain: None,
    })
}

impl Body {
    fn new(span: Span, bytes: Option<u64>) -> Self {
        let duration = span
            .start_ns
            .zip(span.end_ns)
            .and_then(|(start, end)| end.checked_sub(start));
        Self {
            span,
            bytes,
            acknowledged: None,
            bytes_per_second: bytes
                .zip(duration)
                .and_then(|(bytes, duration)| per_second(bytes, duration)),
        }
    }
}

fn per_second(bytes: u64, duration_ns: u64) -> Option<u64> {
    let scaled = u128::from(bytes) * 1_000_000_000;
    u64::try_from(scaled.checked_div(u128::from(duration_ns))?).ok()
}

#[cfg(test)]
mod tests;
