//! Infers uploads that no server reported: from HTTP in clear text, else from the direction of the
//! bytes.

use upload_protocol::{
    ConnectionId,
    timeline::{Certainty, Ending, Exchange, Timeline, UploadSummary},
    upload::Outcome,
};

/// With fewer bytes to the server it may be anything: about one TLS record.
const LEAST_BYTES: u64 = 16 * 1024;
/// An upload sends at least this many times the bytes that it receives.
const LEAST_RATIO: u64 = 4;

/// Infers the uploads, and names them in their exchanges.
pub(super) fn infer(timeline: &mut Timeline) {
    let was_reset = timeline
        .termination()
        .is_some_and(|phase| phase.ending == Some(Ending::Rst));
    let connection = timeline.connection;
    let Some(maintenance) = timeline.maintenance_mut() else {
        return;
    };
    let mut found = Vec::new();
    for exchange in &mut maintenance.exchanges {
        if let Some(upload) = of_exchange(exchange, connection, was_reset) {
            exchange.upload = Some(upload.id.clone());
            found.push(upload);
        }
    }
    if maintenance.exchanges.is_empty() {
        found.extend(by_volume(timeline));
    }
    timeline.uploads = found;
}

/// Much to the server, and little back.
fn by_volume(timeline: &Timeline) -> Option<UploadSummary> {
    let up = timeline.bytes.client_to_server?;
    let down = timeline.bytes.server_to_client?;
    (up >= LEAST_BYTES && up >= down.saturating_mul(LEAST_RATIO)).then(|| UploadSummary {
        id: format!("{}/1", timeline.connection),
        name: None,
        bytes: Some(up),
        status: None,
        outcome: None,
        certainty: Certainty::Inferred,
    })
}

/// A request with a body, and a method meant for one (RFC 9110, section 9.3).
fn of_exchange(
    exchange: &Exchange,
    connection: ConnectionId,
    was_reset: bool,
) -> Option<UploadSummary> {
    let request = &exchange.request;
    if !matches!(&*request.method, "PUT" | "POST" | "PATCH") {
        return None;
    }
    let announced = request.content_length;
    let bytes = exchange.body.bytes;
    if announced.unwrap_or(0) == 0 && exchange.body.span.start_ns.is_none() {
        return None;
    }
    Some(UploadSummary {
        id: format!("{connection}/{}", exchange.sequence),
        name: (request.method == "PUT")
            .then(|| last_segment(&request.target))
            .flatten(),
        bytes,
        status: exchange.response.status,
        outcome: outcome(exchange.response.status, announced, bytes, was_reset),
        certainty: Certainty::Inferred,
    })
}

/// How an upload ended, from its announced and its received bytes.
fn outcome(
    status: Option<u16>,
    announced: Option<u64>,
    bytes: Option<u64>,
    was_reset: bool,
) -> Option<Outcome> {
    let whole = announced.is_none_or(|announced| bytes == Some(announced));
    let cut = announced.zip(bytes).is_some_and(|(all, came)| came < all);
    match status {
        Some(413) => Some(Outcome::TooLarge),
        Some(408) => Some(Outcome::TimedOut),
        Some(507) => Some(Outcome::DiskFull),
        Some(500..) => Some(Outcome::Failed),
        Some(400..) => Some(Outcome::Refused),
        Some(200..300) if whole => Some(Outcome::Complete),
        None if was_reset => Some(Outcome::Reset),
        None if cut => Some(Outcome::Aborted),
        _ => None,
    }
}

/// The last segment of a target's path, still percent-encoded.
fn last_segment(target: &str) -> Option<String> {
    let path = target.split(['?', '#']).next()?;
    let (_, name) = path.rsplit_once('/')?;
    (!name.is_empty()).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use upload_protocol::upload::Outcome;

    use super::{last_segment, outcome};

    #[test]
    fn outcomes() {
        let check = |status, announced, bytes, was_reset, expected| {
            assert_eq!(outcome(status, announced, bytes, was_reset), expected);
        };
        check(Some(201), Some(9), Some(9), false, Some(Outcome::Complete));
        check(Some(201), Some(9), Some(8), false, None);
        check(Some(201), Some(9), None, false, None);
        check(Some(201), None, None, false, Some(Outcome::Complete));
        check(Some(413), Some(9), Some(0), false, Some(Outcome::TooLarge));
        check(None, Some(9), Some(8), false, Some(Outcome::Aborted));
        // Without a length, a cut cannot be detected.
        check(None, Some(9), None, false, None);
        check(None, Some(9), None, true, Some(Outcome::Reset));
    }

    #[test]
    fn names_in_targets() {
        let check = |target, expected: Option<&str>| {
            assert_eq!(last_segment(target).as_deref(), expected, "{target}");
        };
        check("/cat.png", Some("cat.png"));
        check("/a/b%20c?x=/y", Some("b%20c"));
        check("http://host/a/b", Some("b"));
        check("/", None);
        check("*", None);
    }
}
