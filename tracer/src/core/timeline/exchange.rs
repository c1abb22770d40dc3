//! A request and its response. Times are from the segments if these show the whole exchange in clear
//! text, which works with any server; else from the server's own clock readings. Names and sizes of
//! files come from the server's reports.

mod missing;

use tracer_ebpf::record::{EGRESS, INGRESS};
use upload_protocol::{
    End,
    timeline::{Body, Bytes, Certainty, Exchange, KnownBy, Request, Response, Span},
    upload::Upload,
};

use super::Origin;
use crate::core::{
    connection::Connection,
    payload::{Content, HttpExchange, HttpRequest},
};

/// The exchanges in order, each with its uploads (a form may carry several files).
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
            exchanges.extend(by_server_clock(files, origin));
        }
    }
    let mut sequence = 0_u32;
    let last = seen.len().saturating_sub(1);
    for (number, (http, files)) in seen.iter().zip(reports).enumerate() {
        // If the payload is whole, the bodies themselves were counted.
        let is_whole = connection.dialogue.payload.is_whole();
        let traffic = if number == last && !is_whole {
            BodyTraffic::of(connection, bytes)
        } else {
            BodyTraffic::default()
        };
        let mut by_segments = by_segments(http, &traffic, origin);
        if let Some(exchange) = &mut by_segments {
            missing::mark(exchange, http, connection);
        }
        let by_server = files.and_then(|files| by_server_clock(files, origin));
        let exchange = match (by_segments, by_server) {
            (Some(by_segments), Some(by_server)) => Some(together(by_segments, by_server)),
            (by_segments, by_server) => by_segments.or(by_server),
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

/// Whether a seen request is the one that carried these files.
fn is_of(files: &[&Upload], http: &HttpExchange) -> bool {
    let both = files.first().zip(http.request.as_ref());
    both.is_some_and(|(file, seen)| seen.method == file.method && file.has_target(&seen.target))
}

/// Combines both sources. If the segments show the whole exchange, their times and the server's names
/// and sizes; else the server's times. Times are not mixed: the two clocks read different moments.
fn together(by_segments: Exchange, by_server: Exchange) -> Exchange {
    let whole = by_segments.request.span.is_whole()
        && (by_server.body.bytes.unwrap_or(0) == 0 || by_segments.body.span.is_whole())
        && (by_server.response.status.is_none() || by_segments.response.span.start_ns.is_some());
    if !whole {
        return Exchange {
            request: Request {
                expect_continue: by_segments.request.expect_continue,
                continue_ns: by_segments.request.continue_ns,
                traceparent: by_segments.request.traceparent,
                ..by_server.request
            },
            body: Body {
                acknowledged: by_segments.body.acknowledged,
                ..by_server.body
            },
            ..by_server
        };
    }
    let bytes = by_server.body.bytes;
    Exchange {
        body: Body {
            acknowledged: by_segments.body.acknowledged,
            ..body(by_segments.body.span, bytes)
        },
        upload: by_server.upload,
        uploads: by_server.uploads,
        sequence: by_server.sequence,
        ..by_segments
    }
}

/// The connection's traffic counters, used to find where the last exchange ends.
//
// Only the heads of bursts are captured. A burst's end is known when the other end sends next; after the
// last exchange nothing does, so its end is the time of the last payload on the connection.
#[derive(Debug, Default)]
struct BodyTraffic {
    /// When each end's last payload passed.
    client_last: Option<u64>,
    server_last: Option<u64>,
    /// Payload from the client that arrived.
    client_bytes: Option<u64>,
}

impl BodyTraffic {
    fn of(connection: &Connection, bytes: Bytes) -> Self {
        let passed = |end: End, direction: u8| {
            let passed = connection.view(end)?.passed.as_ref()?;
            let passed = passed.get(usize::from(direction)).copied()?;
            (passed.last_ns > 0).then_some(passed.last_ns)
        };
        // What left after the last of it had arrived was sent again, and never arrived.
        let last_by = |end: End| {
            let times = [passed(end, EGRESS), passed(end.other(), INGRESS)];
            times.into_iter().flatten().min()
        };
        Self {
            client_last: last_by(End::Client),
            server_last: last_by(End::Server),
            client_bytes: bytes.client_to_server,
        }
    }
}

/// An exchange from its segments. The end of a body or response is the last segment before the other
/// end sends next; in the last exchange, the last payload on the connection.
fn by_segments(http: &HttpExchange, traffic: &BodyTraffic, origin: Origin) -> Option<Exchange> {
    let request = http.request.as_ref()?;
    let response = http.response.as_ref();
    let response_start = response.map(|response| response.start_ns);
    let body = Body {
        acknowledged: request.body_acknowledged,
        ..body_shown(request, response_start, traffic, origin)
    };
    // After a successful CONNECT and 101, the bytes that follow belong to another protocol.
    let connects = request.method == "CONNECT";
    let is_handed_over = response.map_or(connects, |response| {
        let is_success = (200..300).contains(&response.status);
        connects && is_success || response.status == 101
    });
    let response_end = response.map(|response| {
        let server_last = traffic.server_last.filter(|_| !is_handed_over);
        // The kernel counts a segment just before it stamps its record: without `max`, a response of one
        // segment would end a microsecond before it begins.
        response.last_ns.max(server_last.unwrap_or_default())
    });
    let request_end = match request.body_first_ns {
        Some(_) => request.body_last_ns,
        None => request.head_end_ns,
    };
    // If the response came before the end of the request, the beginning of its wait is unknown.
    let wait_start = request_end.filter(|end| response_start.is_some_and(|start| *end <= start));
    Some(Exchange {
        request: Request {
            span: span(Some(request.start_ns), request.head_end_ns, origin),
            method: request.method.clone(),
            target: request.target.clone(),
            version: request.version.into(),
            content_length: request.content_length,
            expect_continue: request.expect_continue,
            continue_ns: http.continue_ns.map(|at| origin.since(at)),
            traceparent: request.marks.as_ref().and_then(|marks| marks.trace_parent),
        },
        body,
        wait: span(wait_start, response_start, origin),
        response: Response {
            span: span(response_start, response_end, origin),
            status: response.map(|response| response.status),
            bytes: response
                .and_then(|response| known_bytes(response.content.as_deref()))
                .filter(|_| !is_handed_over),
            missing_end: None,
        },
        known_by: KnownBy::Segments,
        upload: None,
        uploads: Vec::new(),
        sequence: 0,
    })
}

/// An exchange whose connection is not over: without what its last payload shows.
pub(super) fn alone(http: &HttpExchange) -> Option<Exchange> {
    by_segments(http, &BodyTraffic::default(), Origin(0))
}

fn body_shown(
    request: &HttpRequest,
    response_start: Option<u64>,
    traffic: &BodyTraffic,
    origin: Origin,
) -> Body {
    let bytes = body_bytes(request, traffic);
    let Some(first) = request.body_first_ns else {
        return body(span(None, None, origin), bytes);
    };
    let span = match response_start {
        Some(_) => span(Some(first), request.body_last_ns, origin),
        None => {
            let last = request.body_last_ns.max(traffic.client_last);
            inferred(span(Some(first), last, origin))
        }
    };
    body(span, bytes)
}

/// How much of a body of known length arrived; `None` for a chunked body, whose bytes include the chunk
/// headers.
fn body_bytes(request: &HttpRequest, traffic: &BodyTraffic) -> Option<u64> {
    if let Some(content) = &request.content {
        return known_bytes(Some(content));
    }
    let announced = request
        .content_length
        .filter(|length| *length > 0 && !request.chunked)?;
    if request.body_arrived {
        return Some(announced);
    }
    // In the last exchange, all bytes after the head are the body's. Not the announced length: an upload
    // that was refused or cut off has sent less.
    let after_head = traffic.client_bytes?.checked_sub(request.body_offset?)?;
    Some(after_head.min(announced))
}

/// How long the content is; `None` if a part of unknown length was not captured.
fn known_bytes(content: Option<&Content>) -> Option<u64> {
    let content = content?;
    (content.is_over || !content.has_hole).then_some(content.bytes)
}

/// An exchange by the server's clock.
fn by_server_clock(files: &[&Upload], origin: Origin) -> Option<Exchange> {
    let (first, last) = (files.first()?, files.last()?);
    let span = |start, end| span(start, end, origin);
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
    // A response that was never sent has no status, and is left out.
    let response_ns = last.status.and(last.times.response_ns);
    Some(Exchange {
        request: Request {
            span: span(first.times.first_byte_ns, Some(first.times.head_ns)),
            method: first.method.clone().into(),
            target: first.target.clone(),
            version: first.version.clone().into(),
            content_length: first.content_length,
            expect_continue: false,
            continue_ns: None,
            traceparent: None,
        },
        body: body(span(body_first, body_last), Some(bytes)),
        wait: span(body_last.or(Some(first.times.head_ns)), response_ns),
        response: Response {
            span: span(response_ns, last.times.sent_ns),
            status: last.status,
            ..Response::default()
        },
        known_by: KnownBy::Server,
        upload: Some(first.id.clone()),
        uploads: if files.len() > 1 {
            files.iter().map(|file| file.id.clone()).collect()
        } else {
            Vec::new()
        },
        sequence: first.request,
    })
}

fn span(start: Option<u64>, end: Option<u64>, origin: Origin) -> Span {
    Span {
        start_ns: start.map(|at| origin.since(at)),
        end_ns: end.map(|at| origin.since(at)),
        certainty: if start.is_some() && end.is_some() {
            Certainty::Observed
        } else {
            Certainty::Unknown
        },
    }
}

/// A span whose end is taken from the connection's last payload.
fn inferred(span: Span) -> Span {
    Span {
        certainty: match span.certainty {
            Certainty::Observed => Certainty::Inferred,
            unsure => unsure,
        },
        ..span
    }
}

fn body(span: Span, bytes: Option<u64>) -> Body {
    let duration = span.ends().and_then(|(start, end)| end.checked_sub(start));
    Body {
        span,
        bytes,
        acknowledged: None,
        bytes_per_second: bytes
            .zip(duration)
            .and_then(|(bytes, duration)| per_second(bytes, duration)),
        missing_end: None,
    }
}

fn per_second(bytes: u64, duration_ns: u64) -> Option<u64> {
    let scaled = u128::from(bytes) * 1_000_000_000;
    u64::try_from(scaled.checked_div(u128::from(duration_ns))?).ok()
}

#[cfg(test)]
mod tests;
