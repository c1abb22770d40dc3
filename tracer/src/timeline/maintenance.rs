//! What the open connection was used for.

use serde::Serialize;
use upload_server::record::Upload;

use tracer_ebpf::record::{EGRESS, INGRESS};

use super::{Certainty, Origin, tls::TlsHandshake};
use crate::{
    connection::Connection,
    end::End,
    event::State,
    payload::{HttpExchange, Malformed, Protocol},
};

/// The phase from ESTABLISHED to the first FIN or RST.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Maintenance {
    /// When the last end that was seen was ESTABLISHED; `null` where that was before the tracer.
    pub start_ns: Option<u64>,
    /// When the first end left it; `null` where none has.
    pub end_ns: Option<u64>,
    /// How the two are known.
    pub certainty: Certainty,
    /// What the payload is.
    pub protocol: Protocol,
    /// The TLS handshake, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsHandshake>,
    /// The requests, in order: those whose uploads the server reported, and those in clear text.
    pub exchanges: Vec<Exchange>,
    /// How many requests in clear text came after those that are kept.
    #[serde(skip_serializing_if = "is_zero")]
    pub exchanges_left_out: usize,
    /// What the payload's bytes lie about.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub malformed: Vec<Malformed>,
    /// Smoothed round-trip time at the end, of the client's socket, or else of the server's.
    pub rtt_ns: Option<u64>,
    /// The smallest, likewise.
    pub min_rtt_ns: Option<u64>,
}

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
    /// Who tells it: the server's own clock readings, or the segments.
    pub known_by: KnownBy,
    /// The upload it carried; the first of several; `null` for none, or none that a server reported.
    pub upload: Option<String>,
    /// All of them, where a form carried several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub uploads: Vec<String>,
    /// Which request on the connection, counted from 1. From 2 on, the handshake was paid by an
    /// earlier one.
    pub sequence: u32,
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

/// A request head: from the first byte read to the last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Request {
    /// When.
    #[serde(flatten)]
    pub span: Span,
    /// The method.
    pub method: String,
    /// The target.
    pub target: String,
    /// The protocol version.
    pub version: String,
    /// The field Content-Length.
    pub content_length: Option<u64>,
}

/// Who tells an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "said above")]
pub enum KnownBy {
    Server,
    Segments,
}

/// A request body: from the first byte handed to the server to the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Body {
    /// When.
    #[serde(flatten)]
    pub span: Span,
    /// Bytes of the files in it that arrived, by the server's count.
    pub bytes: Option<u64>,
    /// The same per second; `null` for a body that took no time.
    pub bytes_per_second: Option<u64>,
}

/// A response: from ready to handed to the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Response {
    /// When.
    #[serde(flatten)]
    pub span: Span,
    /// Its status; `null` where none was sent.
    pub status: Option<u16>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands it over so")]
const fn is_zero(count: &usize) -> bool {
    *count == 0
}

impl Span {
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

impl Maintenance {
    pub(super) fn of(connection: &Connection, uploads: &[Upload], origin: Origin) -> Self {
        let established = connection
            .views()
            .filter_map(|(_, view)| view.entered(State::Established))
            .map(|seen| seen.mono_ns)
            .max();
        let left = connection
            .views()
            .flat_map(|(_, view)| &view.transitions)
            .filter(|seen| seen.old == State::Established)
            .map(|seen| seen.mono_ns)
            .min();
        let payload = &connection.dialogue.payload;
        let last = connection.views().find_map(|(_, view)| view.last());
        Self {
            start_ns: established.map(|at| origin.since(at)),
            end_ns: left.map(|at| origin.since(at)),
            certainty: if established.is_some() && left.is_some() {
                Certainty::Observed
            } else {
                Certainty::Unknown
            },
            protocol: payload.protocol(),
            tls: payload.tls().map(|tls| TlsHandshake::of(tls, origin)),
            exchanges: exchanges(connection, uploads, origin),
            exchanges_left_out: payload.exchanges_left_out(),
            malformed: payload.malformed().to_vec(),
            rtt_ns: last
                .map(|last| u64::from(last.counters.srtt_us_8) * 1000 / 8)
                .filter(|rtt| *rtt > 0),
            min_rtt_ns: last
                .map(|last| last.counters.min_rtt_us)
                .filter(|rtt| *rtt > 0 && *rtt < u32::MAX)
                .map(|rtt| u64::from(rtt) * 1000),
        }
    }
}

/// One exchange per request: the server's where it reported one (the files of one form belong
/// together), else what the segments show.
fn exchanges(connection: &Connection, uploads: &[Upload], origin: Origin) -> Vec<Exchange> {
    let mut uploads: Vec<&Upload> = uploads.iter().collect();
    uploads.sort_by_key(|upload| upload.request);
    let mut exchanges: Vec<Exchange> = uploads
        .chunk_by(|one, other| one.request == other.request)
        .filter_map(|files| exchange(files, origin))
        .collect();
    let seen = connection.dialogue.payload.exchanges();
    for (number, (http, sequence)) in seen.iter().zip(1..).enumerate() {
        if exchanges.iter().all(|known| known.sequence != sequence) {
            let is_last = number + 1 == seen.len();
            let ends = if is_last {
                last_payload(connection)
            } else {
                (None, None)
            };
            exchanges.extend(exchange_seen(http, sequence, ends, origin));
        }
    }
    exchanges.sort_by_key(|exchange| exchange.sequence);
    exchanges
}

/// When each end's last payload passed: the client's, the server's.
fn last_payload(connection: &Connection) -> (Option<u64>, Option<u64>) {
    let sent_by = |end: End| {
        let (view, direction) = match (connection.view(end), connection.view(end.other())) {
            (Some(view), _) => (view, EGRESS),
            (None, other) => (other?, INGRESS),
        };
        let passed = view.passed?.get(usize::from(direction)).copied()?;
        (passed.last_ns > 0).then_some(passed.last_ns)
    };
    (sent_by(End::Client), sent_by(End::Server))
}

/// An exchange from its segments. Of a body only the beginning is looked at, so its end is known
/// for the last exchange alone: when the last payload passed.
fn exchange_seen(
    http: &HttpExchange,
    sequence: u32,
    (client_last, server_last): (Option<u64>, Option<u64>),
    origin: Origin,
) -> Option<Exchange> {
    let request = http.request.as_ref()?;
    let response = http.response.as_ref();
    let response_start = response.map(|response| response.start_ns);
    // What follows is another protocol's.
    let is_handed_over =
        request.method == "CONNECT" || response.is_some_and(|response| response.status == 101);
    let server_last = server_last.filter(|_| !is_handed_over);
    let body_end = request
        .body_first_ns
        .and(client_last)
        .filter(|end| response_start.is_none_or(|start| *end <= start));
    Some(Exchange {
        request: Request {
            span: Span::new(Some(request.start_ns), request.head_end_ns, origin),
            method: request.method.clone(),
            target: request.target.clone(),
            version: request.version.to_owned(),
            content_length: request.content_length,
        },
        body: Body {
            span: Span::new(request.body_first_ns, body_end, origin).inferred(),
            bytes: None,
            bytes_per_second: None,
        },
        wait: Span::new(
            match request.body_first_ns {
                Some(_) => body_end,
                None => request.head_end_ns,
            },
            response_start,
            origin,
        ),
        response: Response {
            span: Span::new(response_start, response.and(server_last), origin).inferred(),
            status: response.map(|response| response.status),
        },
        known_by: KnownBy::Segments,
        upload: None,
        uploads: Vec::new(),
        sequence,
    })
}

fn exchange(files: &[&Upload], origin: Origin) -> Option<Exchange> {
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
    let bytes = files.iter().map(|file| file.bytes).sum();
    // A response that was ready and never sent is none.
    let response_ns = last.status.and(last.times.response_ns);
    Some(Exchange {
        request: Request {
            span: span(first.times.first_byte_ns, Some(first.times.head_ns)),
            method: first.method.clone(),
            target: first.target.clone(),
            version: first.version.clone(),
            content_length: first.content_length,
        },
        body: Body {
            span: span(body_first, body_last),
            bytes: Some(bytes),
            bytes_per_second: body_first
                .zip(body_last)
                .and_then(|(start, end)| per_second(bytes, end.checked_sub(start)?)),
        },
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
    })
}

fn per_second(bytes: u64, duration_ns: u64) -> Option<u64> {
    let scaled = u128::from(bytes) * 1_000_000_000;
    u64::try_from(scaled.checked_div(u128::from(duration_ns))?).ok()
}

#[cfg(test)]
mod tests {
    use super::per_second;

    #[test]
    fn rates() {
        assert_eq!(per_second(1_000_000, 500_000_000), Some(2_000_000));
        assert_eq!(per_second(u64::MAX, 1_000_000_000), Some(u64::MAX));
        assert_eq!(per_second(1, 0), None);
    }
}
