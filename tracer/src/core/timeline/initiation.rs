//! How the connection was opened: RFC 9293, section 3.5.

use serde::Serialize;
use upload_server::record::Upload;

use super::{Certainty, Origin, Step, first_reset};
use crate::core::{
    connection::{Connection, Transition, View},
    end::End,
    event::{AcceptQueue, State},
    segment::Flags,
};

/// The phase from the SYN to the third ACK.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Initiation {
    /// When the client's `connect` put its socket into SYN_SENT, or else the first thing seen.
    pub start_ns: u64,
    /// When the last end that was seen was ESTABLISHED, or when the attempt ended; `null` while
    /// neither has happened.
    pub end_ns: Option<u64>,
    /// How the two are known: observed with the client's socket, unknown without.
    pub certainty: Certainty,
    /// SYN, SYN-ACK, ACK.
    pub steps: Vec<Step>,
    /// What the two ends agreed on.
    pub options: Option<Options>,
    /// The client's first round-trip time, SYN to SYN-ACK, as the kernel measured it.
    pub rtt_ns: Option<u64>,
    /// When the server's `accept` returned the connection; `null` where unknown.
    pub accepted_ns: Option<u64>,
    /// How long it waited for that in the accept queue.
    pub accept_wait_ns: Option<u64>,
    /// The listener's accept queue when a SYN reached it: the fullest; absent where none was seen to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accept_queue: Option<AcceptQueue>,
    /// Why it never opened, where it did not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// What it means, in a sentence; where explanations were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub explain: Option<String>,
}

/// What was agreed on in the SYN and the SYN-ACK.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Options {
    /// Largest segment that the seen end may send, in bytes of payload (RFC 9293, 3.7.1).
    pub mss: u16,
    /// Window scale, where it was agreed on (RFC 7323).
    pub window_scale: Option<WindowScale>,
    /// Selective acknowledgments (RFC 2018).
    pub sack_permitted: bool,
    /// Timestamps (RFC 7323).
    pub timestamps: bool,
}

/// The shift that each end announced for its own window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "said above")]
pub struct WindowScale {
    pub client: u8,
    pub server: u8,
}

/// Why a connection never opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Failure {
    /// A RST answered the SYN: nobody listens there, or a firewall says so.
    Refused,
    /// No answer, however often the SYN was sent.
    #[serde(rename = "timed out")]
    TimedOut,
    /// No answer, because the listener's accept queue was full: the process there did not `accept`,
    /// and the kernel dropped each SYN.
    #[serde(rename = "accept queue full")]
    AcceptQueueFull,
    /// No route, or an ICMP message said so: a router's, or a firewall's.
    Unreachable,
    /// A RST while it was opening.
    Reset,
    /// The process gave up: it closed the socket before an answer came.
    #[serde(rename = "given up")]
    GivenUp,
    /// Another error of the socket.
    Failed,
}

/// A larger shift counts as this (RFC 7323, section 2.3).
const MOST_SHIFT: u8 = 14;

mod errno {
    use rustix::io::Errno;
    pub(super) const REFUSED: u32 = Errno::CONNREFUSED.raw_os_error().unsigned_abs();
    pub(super) const TIMED_OUT: u32 = Errno::TIMEDOUT.raw_os_error().unsigned_abs();
    pub(super) const HOST_UNREACHABLE: u32 = Errno::HOSTUNREACH.raw_os_error().unsigned_abs();
    pub(super) const NET_UNREACHABLE: u32 = Errno::NETUNREACH.raw_os_error().unsigned_abs();
    /// What the kernel makes of ICMP messages beside these: a filter on the way, or no such host,
    /// network or protocol (`icmp_err_convert`, `tab_unreach`).
    pub(super) const OF_ICMP: [u32; 4] = [
        Errno::ACCESS.raw_os_error().unsigned_abs(),
        Errno::HOSTDOWN.raw_os_error().unsigned_abs(),
        Errno::NONET.raw_os_error().unsigned_abs(),
        Errno::NOPROTOOPT.raw_os_error().unsigned_abs(),
    ];
    pub(super) const RESET: u32 = Errno::CONNRESET.raw_os_error().unsigned_abs();
}

impl Initiation {
    pub(super) fn of(connection: &Connection, uploads: &[Upload], origin: Origin) -> Self {
        let client = connection.client.as_deref();
        let established = |view: &View| view.entered(State::Established).map(|seen| seen.mono_ns);
        let opened = connection.views().filter_map(|(_, view)| established(view));
        let failure = failure(connection);
        let end_ns = match failure {
            Some(_) => connection.closed_ns(),
            None => opened.max(),
        };
        let seen_from_start = client.is_some_and(View::began);
        let accepted = uploads.first().map(|upload| upload.times.accepted_ns);
        let queued = connection.server.as_deref().and_then(established);
        Self {
            start_ns: 0,
            end_ns: end_ns.map(|at| origin.since(at)),
            certainty: if seen_from_start {
                Certainty::Observed
            } else {
                Certainty::Unknown
            },
            steps: steps(connection, failure.is_some(), origin),
            options: options(connection),
            rtt_ns: client
                .and_then(|view| view.opened)
                .map(|opened| u64::from(opened.srtt_us_8) * 1000 / 8)
                .filter(|rtt| *rtt > 0),
            accepted_ns: accepted.map(|at| origin.since(at)),
            accept_wait_ns: accepted
                .zip(queued)
                .and_then(|(accepted, queued)| accepted.checked_sub(queued)),
            accept_queue: connection.accept_queue.map(|queue| queue.longest),
            failure,
            explain: None,
        }
    }
}

fn steps(connection: &Connection, failed: bool, origin: Origin) -> Vec<Step> {
    let mut steps = seen_steps(connection, failed, origin);
    if steps.is_empty() {
        steps = inferred_steps(connection, failed, origin);
    }
    let held_back = connection
        .client
        .iter()
        .flat_map(|view| &view.incidents().held_back_syns);
    for attempt in held_back {
        let at = origin.since(attempt.mono_ns);
        let syn = Step::observed("SYN", End::Client, at, "tcp_retransmit_skb");
        steps.push(syn.again().held_back(attempt.error));
    }
    steps.sort_by_key(|step| step.at_ns);
    steps
}

/// The handshake's own segments; none where its beginning was not seen.
fn seen_steps(connection: &Connection, failed: bool, origin: Origin) -> Vec<Step> {
    let mut steps = Vec::new();
    for told in &connection.dialogue.steps {
        let syn = told.flags.has(Flags::SYN);
        let ack = told.flags.has(Flags::ACK);
        let name = match (syn, ack) {
            (true, false) => "SYN",
            (true, true) => "SYN-ACK",
            (false, _) if told.flags.has(Flags::RST) && failed => "RST",
            (false, true) if told.from == End::Client && told.ack == 1 => "ACK",
            _ => break,
        };
        if steps.is_empty() && name != "SYN" {
            return steps;
        }
        let mut step = Step::seen(name, told, origin);
        // Where both ends open at once, each sends its SYN once more as a SYN-ACK (RFC 9293, 3.5).
        step.retransmit &= steps
            .iter()
            .any(|before: &Step| (before.name, before.from) == (name, told.from));
        steps.push(step);
        if name == "ACK" {
            break;
        }
    }
    steps
}

fn inferred_steps(connection: &Connection, failed: bool, origin: Origin) -> Vec<Step> {
    let client = connection.client.as_deref();
    let server = connection.server.as_deref();
    let at = |seen: Option<&Transition>| seen.map(|seen| origin.since(seen.mono_ns));
    let sent = client.and_then(|view| view.entered(State::SynSent));
    let answered = client
        .and_then(|view| view.entered(State::Established))
        .filter(|seen| seen.old == State::SynSent);
    let opened = server.and_then(|view| {
        view.entered(State::SynRecv)
            .or_else(|| view.entered(State::Established))
    });

    if sent.is_none() && answered.is_none() && opened.is_none() {
        return Vec::new();
    }
    let mut steps = vec![Step::inferred(
        "SYN",
        End::Client,
        at(sent),
        "client CLOSE→SYN_SENT",
    )];
    for again in client.map_or(&[][..], |view| &view.incidents().syn_retransmits) {
        let at = origin.since(*again);
        steps.push(Step::observed("SYN", End::Client, at, "tcp_retransmit_skb").again());
    }
    let syn_acks = connection
        .views()
        .flat_map(|(_, view)| &view.incidents().syn_ack_retransmits);
    for again in syn_acks {
        let at = origin.since(*again);
        steps.push(Step::observed("SYN-ACK", End::Server, at, "tcp_retransmit_synack").again());
    }
    if answered.is_some() || opened.is_some() {
        steps.push(Step::inferred(
            "SYN-ACK",
            End::Server,
            at(answered),
            "client SYN_SENT→ESTABLISHED",
        ));
        steps.push(match opened {
            Some(opened) => Step::inferred(
                "ACK",
                End::Client,
                at(Some(opened)),
                format!("server {}→{}", opened.old, opened.new),
            ),
            None => Step::inferred(
                "ACK",
                End::Client,
                at(answered),
                "client SYN_SENT→ESTABLISHED",
            ),
        });
    }
    if failed && let Some((from, at, tracepoint)) = first_reset(connection) {
        steps.push(Step::observed("RST", from, origin.since(at), tracepoint));
    }
    steps
}

fn options(connection: &Connection) -> Option<Options> {
    let mut views = connection.views();
    let (end, opened) = views.find_map(|(end, view)| Some((end, view.opened?)))?;
    let (own, peer) = (
        opened.rcv_wscale.min(MOST_SHIFT),
        opened.snd_wscale.min(MOST_SHIFT),
    );
    let (client, server) = match end {
        End::Client => (own, peer),
        End::Server => (peer, own),
    };
    Some(Options {
        mss: opened.mss_clamp,
        window_scale: opened
            .window_scaling
            .then_some(WindowScale { client, server }),
        sack_permitted: opened.sack,
        timestamps: opened.timestamps,
    })
}

fn failure(connection: &Connection) -> Option<Failure> {
    let opened = connection
        .views()
        .any(|(_, view)| view.entered(State::Established).is_some() || !view.began());
    if opened {
        return None;
    }
    let (view, end) = connection
        .views()
        .find_map(|(_, view)| view.entered(State::Close).map(|end| (view, end)))?;
    // A process that asked for the error has cleared it before it closed the socket.
    let error = match end.error {
        0 => view.incidents().error.unwrap_or(0),
        error => error,
    };
    let unanswered = matches!(error, 0 | errno::TIMED_OUT);
    let queue = connection.accept_queue;
    if unanswered && queue.is_some_and(|queue| queue.always_full) {
        return Some(Failure::AcceptQueueFull);
    }
    if error == 0 && view.incidents().icmp_in_syn_sent {
        return Some(Failure::Unreachable);
    }
    // An ICMP message that nobody is at the port makes the same error as a RST.
    let is_refusal = first_reset(connection).is_some() || connection.lost > 0;
    Some(match error {
        0 => Failure::GivenUp,
        errno::REFUSED if is_refusal => Failure::Refused,
        errno::REFUSED => Failure::Unreachable,
        error if errno::OF_ICMP.contains(&error) => Failure::Unreachable,
        errno::TIMED_OUT => Failure::TimedOut,
        errno::HOST_UNREACHABLE | errno::NET_UNREACHABLE => Failure::Unreachable,
        errno::RESET => Failure::Reset,
        _ => Failure::Failed,
    })
}

#[cfg(test)]
mod tests;
