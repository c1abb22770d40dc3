//! Which uploads the server passed on to a Unix socket. A thread that read from the connection may send elsewhere,
//! too: to a database, or to a service that knows who may. So it must have sent as many bytes as the upload has,
//! once it has answered and all are counted.

use std::sync::Arc;

use upload_protocol::timeline::{
    Certainty, Exchange, HopEvidence, PassedTo, PassedToKind, Process, Timeline, UploadSummary,
};

use crate::core::connection::{Connection, OnUnix, Task};

/// What a head, and the framing of FastCGI or of chunks, may add to a body.
const MOST_HEAD: u64 = 64 * 1024;
const FRAMING_SHARE: u64 = 16;
/// What TLS and the compression of heads may take off a request: encrypted, it has more bytes than its body.
const LEAST_HANDSHAKE: u64 = 4 * 1024;
const ENCRYPTION_SHARE: u64 = 8;

/// The bytes of an upload's body.
#[derive(Clone, Copy)]
enum Body {
    /// In the clear.
    Counted(u64),
    /// With everything else that the client sent.
    Within(u64),
    Unknown,
}

/// Names the Unix socket of each upload.
pub(super) fn add(timeline: &mut Timeline, connection: &Connection) {
    let Some(server) = connection.server.as_deref() else {
        return;
    };
    let passed_on = &server.incidents().passed_on;
    if passed_on.is_empty() {
        return;
    }
    let began_ns = timeline.at.mono_ns;
    let moment = |since_ns: u64| began_ns.saturating_add(since_ns);
    let mut uploads = std::mem::take(&mut timeline.uploads);
    for upload in &mut uploads {
        let mut exchanges = timeline.exchanges().iter();
        let exchange = exchanges.find(|exchange| exchange.is_of(&upload.id));
        let from_ns = exchange.and_then(|exchange| exchange.request.span.start_ns);
        let until_ns = exchange.and_then(|exchange| exchange.response.span.start_ns);
        let within =
            passed_on.between(from_ns.map_or(0, moment), until_ns.map_or(u64::MAX, moment));
        upload.passed_to = choose(within, body(upload, exchange)).map(Box::new);
    }
    timeline.uploads = uploads;
}

fn body(upload: &UploadSummary, exchange: Option<&Exchange>) -> Body {
    let counted = exchange.map(|exchange| exchange.body.bytes.or(exchange.request.content_length));
    match (counted, upload.bytes) {
        (Some(Some(bytes)), _) => Body::Counted(bytes),
        (None, Some(bytes)) => Body::Within(bytes),
        (Some(None), _) | (None, None) => Body::Unknown,
    }
}

/// What went to one place.
struct Sent<'a> {
    to: &'a OnUnix,
    bytes: u64,
    is_all: bool,
}

/// The last place that may have got the body. A request goes to one socket, and to another one where that failed;
/// what a client sent, encrypted, may be several requests.
fn choose<'a>(passed_on: impl Iterator<Item = &'a OnUnix>, body: Body) -> Option<PassedTo> {
    let is_one_request = !matches!(body, Body::Within(_));
    let mut places: Vec<Sent<'_>> = Vec::new();
    for one in passed_on {
        let is_same = |known: &&mut Sent<'_>| {
            known.to.path == one.path && (known.to.socket == one.socket || !is_one_request)
        };
        match places.iter_mut().find(is_same) {
            Some(known) => {
                known.bytes = known.bytes.saturating_add(one.bytes);
                known.is_all = one.is_all;
            }
            None => places.push(Sent {
                to: one,
                bytes: one.bytes,
                is_all: one.is_all,
            }),
        }
    }
    let latest = || places.iter().rev();
    let fits = latest().find(|sent| sent.is_all && has_room(sent.bytes, body));
    let sent = fits.or_else(|| latest().find(|sent| !sent.is_all))?;
    let is_observed = sent.is_all && is_as_many(sent.bytes, body);
    let mut evidence = vec![HopEvidence::Request];
    if sent.is_all && !matches!(body, Body::Unknown) {
        evidence.push(HopEvidence::Bytes);
    }
    Some(PassedTo {
        kind: PassedToKind::Unix,
        path: sent.to.path.to_string(),
        process: sent.to.listener.as_deref().map(process),
        mono_ns: sent.to.mono_ns,
        bytes: sent.is_all.then_some(sent.bytes),
        certainty: if is_observed {
            Certainty::Observed
        } else {
            Certainty::Inferred
        },
        evidence,
    })
}

/// Whether a body may be within so many bytes.
const fn has_room(sent: u64, body: Body) -> bool {
    match body {
        Body::Counted(bytes) => sent >= bytes,
        Body::Within(bytes) => {
            sent >= bytes.saturating_sub(bytes / ENCRYPTION_SHARE + LEAST_HANDSHAKE)
        }
        Body::Unknown => true,
    }
}

/// Whether so many bytes are a body in the clear, its head and its framing, and nothing more.
const fn is_as_many(sent: u64, body: Body) -> bool {
    match body {
        Body::Counted(bytes) => sent >= bytes && sent - bytes <= MOST_HEAD + bytes / FRAMING_SHARE,
        Body::Within(_) | Body::Unknown => false,
    }
}

fn process(task: &Task) -> Process {
    Process {
        pid: task.id(),
        comm: Some(Arc::clone(&task.comm)).filter(|comm| !comm.is_empty()),
        uid: Some(task.uid),
        ..Process::default()
    }
}

#[cfg(test)]
mod tests;
