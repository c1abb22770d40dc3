//! Infers uploads that no server reported: from HTTP and FTP in clear text, else from the direction of
//! the bytes.

use upload_protocol::{
    ConnectionId, End,
    timeline::{Certainty, Ending, Exchange, Timeline, UploadSummary},
    upload::Outcome,
};

use super::{exchange, transfer};
use crate::core::payload::{Finished, FormFile, HttpRequest, Payload, Transfer};

/// With fewer bytes to the server it may be anything: about one TLS record.
const LEAST_BYTES: u64 = 16 * 1024;
/// An upload sends at least this many times the bytes that it receives.
const LEAST_RATIO: u64 = 4;

/// Where an FTP server opens data connections from in active mode (RFC 959, section 3.2).
const FTP_DATA_PORT: u16 = 20;

/// Infers the uploads, and names them in their exchanges.
pub(super) fn infer(timeline: &mut Timeline, payload: &Payload, transfer: Option<&Transfer>) {
    let was_reset = timeline
        .termination()
        .is_some_and(|phase| phase.ending == Some(Ending::Rst));
    let connection = timeline.connection;
    let volume = Volume::of(timeline, payload);
    let client_port = timeline.client.port;
    let Some(maintenance) = timeline.maintenance_mut() else {
        return;
    };
    let served = transfer.and_then(|transfer| {
        transfer::uploads(transfer, connection, (volume.up, volume.down), was_reset)
    });
    if let Some(uploads) = served {
        timeline.uploads = uploads;
        return;
    }
    let requests = payload.exchanges().iter();
    let requests: Vec<_> = requests.filter_map(|http| http.request.as_ref()).collect();
    let mut found = Vec::new();
    for exchange in &mut maintenance.exchanges {
        let place = exchange.sequence.checked_sub(1);
        let request = place.and_then(|place| requests.get(place as usize).copied());
        let uploads = of_exchange(exchange, connection, was_reset, request);
        exchange.upload = uploads.first().map(|upload| upload.id.clone());
        if uploads.len() > 1 {
            exchange.uploads = uploads.iter().map(|upload| upload.id.clone()).collect();
        }
        found.extend(uploads);
    }
    let last = maintenance.exchanges.last_mut();
    match (payload.unread_from(), last) {
        (None, None) => found.extend(volume.of_file(client_port).upload(connection, 1)),
        // Another protocol after `101` or `CONNECT`, or something that is no HTTP.
        (Some(from), Some(last)) => {
            let number = last.sequence + u32::from(last.upload.is_some());
            if let Some(upload) = volume.since(from).upload(connection, number) {
                last.upload.get_or_insert_with(|| upload.id.clone());
                found.push(upload);
            }
        }
        (None, Some(_)) | (Some(_), None) => {}
    }
    timeline.uploads = found;
}

/// The end that sends the bodies of a timeline's uploads. In active mode of FTP the server opens the
/// connection.
pub(super) fn sender(timeline: &Timeline, transfer: Option<&Transfer>) -> End {
    let is_active = transfer.is_some_and(|transfer| transfer.listens == End::Client);
    let from_data_port = timeline.client.port == FTP_DATA_PORT && timeline.exchanges().is_empty();
    if is_active || transfer.is_none() && from_data_port {
        End::Server
    } else {
        End::Client
    }
}

/// The uploads of an exchange on a connection that is still open, or that has more exchanges than are
/// kept.
#[must_use]
pub fn of_finished(finished: &Finished, connection: ConnectionId) -> Vec<UploadSummary> {
    let Some(mut exchange) = exchange::alone(&finished.exchange) else {
        return Vec::new();
    };
    exchange.sequence = finished.sequence;
    let request = finished.exchange.request.as_ref();
    of_exchange(&exchange, connection, false, request)
}

/// Whether the bytes that were sent so far, and that are not read as HTTP, are an upload.
#[must_use]
pub fn has_upload(payload: &Payload) -> bool {
    let (up, down) = payload.lengths();
    let volume = Volume { up, down };
    match payload.unread_from() {
        Some(from) => volume.since(from).is_upload(),
        None => payload.exchanges().is_empty() && volume.is_upload(),
    }
}

/// Whether so many bytes to the server, and so many back, look like an upload.
#[must_use]
pub const fn is_much(up: u64, down: u64) -> bool {
    Volume { up, down }.is_upload()
}

/// Payload in each direction.
#[derive(Clone, Copy, Debug)]
struct Volume {
    up: u64,
    down: u64,
}

impl Volume {
    /// By the kernel's counters, which are known once the connection is closed; before, as far as
    /// segments show it.
    fn of(timeline: &Timeline, payload: &Payload) -> Self {
        let (client, server) = payload.lengths();
        let bytes = timeline.bytes;
        Self {
            up: bytes.client_to_server.unwrap_or(client),
            down: bytes.server_to_client.unwrap_or(server),
        }
    }

    /// What a server of FTP gets over a connection that it opened itself, from a port of its own.
    const fn of_file(self, from_port: u16) -> Self {
        match from_port {
            FTP_DATA_PORT => Self {
                up: self.down,
                down: self.up,
            },
            _ => self,
        }
    }

    const fn since(self, (up, down): (u64, u64)) -> Self {
        Self {
            up: self.up.saturating_sub(up),
            down: self.down.saturating_sub(down),
        }
    }

    /// Much to the server, and little back.
    const fn is_upload(self) -> bool {
        self.up >= LEAST_BYTES && self.up >= self.down.saturating_mul(LEAST_RATIO)
    }

    fn upload(self, connection: ConnectionId, number: u32) -> Option<UploadSummary> {
        self.is_upload().then(|| UploadSummary {
            id: format!("{connection}/{number}"),
            name: None,
            bytes: Some(self.up),
            status: None,
            outcome: None,
            certainty: Certainty::Inferred,
            disk_ns: None,
            diagnosis: None,
            hops: Vec::new(),
            ambiguous_hops: None,
            passed_to: None,
        })
    }
}

/// A request with a body, and a method meant for one (RFC 9110, section 9.3), or each file of a form.
fn of_exchange(
    exchange: &Exchange,
    connection: ConnectionId,
    was_reset: bool,
    request: Option<&HttpRequest>,
) -> Vec<UploadSummary> {
    if !matches!(&*exchange.request.method, "PUT" | "POST" | "PATCH") {
        return Vec::new();
    }
    let content = request.and_then(|request| request.content.as_ref());
    let files = content.and_then(|content| content.form.as_ref());
    let files: Vec<FormFile> = files.map_or_else(Vec::new, |form| form.files().collect());
    if files.is_empty() {
        let head_cut = request.is_some_and(|request| request.head_cut);
        return of_body(exchange, connection, was_reset, head_cut)
            .into_iter()
            .collect();
    }
    let first = format!("{connection}/{}", exchange.sequence);
    let ids = std::iter::once(first.clone()).chain((2..).map(|number| format!("{first}.{number}")));
    let status = exchange.response.status;
    files
        .into_iter()
        .zip(ids)
        .map(|(file, id)| UploadSummary {
            id,
            name: Some(file.name),
            bytes: Some(file.bytes),
            status,
            // Without its end, more was to come.
            outcome: outcome(
                status,
                Some(file.bytes.saturating_add((!file.is_whole).into())),
                Some(file.bytes),
                was_reset,
            ),
            certainty: Certainty::Inferred,
            disk_ns: None,
            diagnosis: None,
            hops: Vec::new(),
            ambiguous_hops: None,
            passed_to: None,
        })
        .collect()
}

/// A request's body. If the head was not read to the end, that may have announced the body.
fn of_body(
    exchange: &Exchange,
    connection: ConnectionId,
    was_reset: bool,
    head_cut: bool,
) -> Option<UploadSummary> {
    let request = &exchange.request;
    let announced = request.content_length;
    let bytes = exchange.body.bytes;
    if announced.unwrap_or(0) == 0 && exchange.body.span.start_ns.is_none() && !head_cut {
        return None;
    }
    // Whether all of it came is unknown if its length is.
    let is_counted = announced.is_some() || !head_cut;
    Some(UploadSummary {
        id: format!("{connection}/{}", exchange.sequence),
        name: (request.method == "PUT")
            .then(|| last_segment(&request.target))
            .flatten(),
        bytes,
        status: exchange.response.status,
        outcome: outcome(exchange.response.status, announced, bytes, was_reset)
            .filter(|outcome| is_counted || *outcome != Outcome::Complete),
        certainty: Certainty::Inferred,
        disk_ns: None,
        diagnosis: None,
        hops: Vec::new(),
        ambiguous_hops: None,
        passed_to: None,
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
