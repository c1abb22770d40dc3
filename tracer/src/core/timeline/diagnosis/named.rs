//! What a cause is more exactly, where that can be seen.

use tracer_ebpf::record::{LARGEST_RECEIVE_BUFFER, LARGEST_SEND_BUFFER};
use upload_protocol::timeline::{
    BlackHole, Diagnosis, DiagnosisEvidence, Exchange, HeldBackBy, NamedCause, Protocol, Share,
    Timeline,
};

use super::body::{Body, ratio};

/// A queue that segments stay in for longer is no burst: CoDel's interval (RFC 8289, section 4.3) …
const BLOATED_NS: u64 = 100_000_000;
/// … and a sender needs none that is longer than the path itself. Twice that is none that some sender needs.
const BLOATED_RTTS: u64 = 2;

/// From this part of the time on, in hundredths, a thread was busy all the while: the rest, it sent.
const BUSY: u64 = 80;

/// From this part of what the server took on, the disk explains it.
const DISK_SHARE: f64 = 0.5;

/// What names a cause, beside the measurements of the body.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Signs {
    pub(super) black_hole: Option<BlackHole>,
    pub(super) is_http2: bool,
    /// The window of a stream of HTTP/2, in bytes.
    pub(super) stream_window: Option<u32>,
    /// For how long the upload waited for the server's disk, by the server's word.
    pub(super) disk_ns: Option<u64>,
}

/// Adds the name of the verdict's cause to the evidence, and the numbers that it is known by.
pub(super) fn put(diagnosis: &mut Diagnosis, body: &Body, signs: Signs) {
    let evidence = &mut diagnosis.evidence;
    let is_path = diagnosis.verdict == Some(HeldBackBy::Path);
    evidence.queue_ns = queue_ns(body).filter(|_| is_path);
    evidence.black_hole = signs.black_hole;
    evidence.stream_window_bytes = signs.stream_window;
    evidence.processor_ns = body.client.as_ref().and_then(|client| client.processor_ns);
    evidence.disk_ns = signs.disk_ns;
    let is_largest = |fixed: u8, bit: u8| fixed & bit != 0;
    let (sender, receiver) = body.sockets();
    evidence.send_buffer_largest =
        sender.map(|client| is_largest(client.fixed_buffers, LARGEST_SEND_BUFFER));
    evidence.receive_buffer_largest =
        receiver.map(|server| is_largest(server.fixed_buffers, LARGEST_RECEIVE_BUFFER));
    let is_disk = is_disk(&diagnosis.shares, signs.disk_ns);
    evidence.named = diagnosis
        .verdict
        .and_then(|cause| name(cause, evidence, signs, body.length_ns))
        .or_else(|| {
            of_server(diagnosis.verdict?)
                .then_some(NamedCause::Disk)
                .filter(|_| is_disk)
        });
}

const fn of_server(cause: HeldBackBy) -> bool {
    matches!(
        cause,
        HeldBackBy::ServerNotReading | HeldBackBy::ServerThinks
    )
}

/// Whether the disk explains most of the time in which the server read late and worked.
fn is_disk(shares: &[Share], disk_ns: Option<u64>) -> bool {
    let by_server = shares.iter().filter(|share| of_server(share.cause));
    let server_ns: u64 = by_server.map(|share| share.ns).sum();
    disk_ns.is_some_and(|disk| ratio(disk, server_ns.max(1)) >= DISK_SHARE)
}

/// The client's end alone knows the mean.
fn queue_ns(body: &Body) -> Option<u64> {
    match (&body.client, &body.server) {
        (Some(client), _) => client.rtt_ns?.checked_sub(client.min_rtt_ns?),
        (None, server) => Some(server.as_ref()?.delay_ns).filter(|delay| *delay > 0),
    }
}

fn name(
    cause: HeldBackBy,
    evidence: &DiagnosisEvidence,
    signs: Signs,
    body_ns: u64,
) -> Option<NamedCause> {
    let is = |known: Option<bool>| known == Some(true);
    match cause {
        HeldBackBy::Loss => evidence.black_hole.map(|_| NamedCause::MtuBlackHole),
        HeldBackBy::Path => is_bloated(evidence).then_some(NamedCause::Bufferbloat),
        HeldBackBy::WaitsForPeer => signs.is_http2.then_some(NamedCause::Http2Window),
        HeldBackBy::ClientApplication => {
            let ran_ns = evidence.processor_ns?;
            (ran_ns >= body_ns / 100 * BUSY).then_some(NamedCause::Cpu)
        }
        HeldBackBy::ClientSendBuffer if is(evidence.send_buffer_fixed) => {
            Some(NamedCause::SoSndbuf)
        }
        HeldBackBy::ClientSendBuffer if is(evidence.send_buffer_largest) => {
            Some(NamedCause::TcpWmem)
        }
        HeldBackBy::ServerWindow if evidence.window_scaling == Some(false) => {
            Some(NamedCause::NoWindowScaling)
        }
        HeldBackBy::ServerWindow if is(evidence.receive_buffer_fixed) => Some(NamedCause::SoRcvbuf),
        HeldBackBy::ServerWindow if is(evidence.receive_buffer_largest) => {
            Some(NamedCause::TcpRmem)
        }
        _ => None,
    }
}

fn is_bloated(evidence: &DiagnosisEvidence) -> bool {
    let both = evidence.queue_ns.zip(evidence.min_rtt_ns);
    both.is_some_and(|(queue, rtt)| queue > BLOATED_NS && queue > rtt.saturating_mul(BLOATED_RTTS))
}

/// Whether an upload went over HTTP/2: in clear text, or by the server's word.
pub(super) fn is_http2(timeline: &Timeline, exchange: Option<&Exchange>) -> bool {
    let protocol = timeline.maintenance().map(|phase| phase.protocol);
    protocol == Some(Protocol::Http2)
        || exchange.is_some_and(|exchange| exchange.request.is_multiplexed())
}
