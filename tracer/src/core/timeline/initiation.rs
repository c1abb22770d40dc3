//! How the connection was opened: RFC 9293, section 3.5.

use upload_protocol::{
    End, Flags, RolesFrom, State,
    timeline::{
        AgreedOptions, Cause, Certainty, Failure, Initiation, SocketError, Step, StepName,
        WindowScale,
    },
    upload::Upload,
};

use super::{Origin, step};
use crate::core::{
    connection::{Connection, Transition, View},
    dialogue::Milestone,
};

/// A larger shift counts as this (RFC 7323, section 2.3).
const MAX_SHIFT: u8 = 14;

/// Linux's numbers, wherever a recording is replayed.
mod errno {
    use linux_raw_sys::errno::{EACCES, EHOSTDOWN, ENONET, ENOPROTOOPT, EOPNOTSUPP};
    pub(super) use linux_raw_sys::errno::{
        ECONNABORTED as ABORTED, ECONNREFUSED as REFUSED, ECONNRESET as RESET,
        EHOSTUNREACH as HOST_UNREACHABLE, ENETUNREACH as NET_UNREACHABLE, ETIMEDOUT as TIMED_OUT,
    };

    /// Other errors that the kernel makes of ICMP messages: a filter on the way, or no such host, network
    /// or protocol (`icmp_err_convert`, `tab_unreach`).
    pub(super) const OF_ICMP: [u32; 5] = [EACCES, EHOSTDOWN, ENONET, ENOPROTOOPT, EOPNOTSUPP];
}

pub(super) fn initiation(
    connection: &Connection,
    uploads: &[Upload],
    origin: Origin,
) -> Initiation {
    let client = connection.client.as_deref();
    let failed = failed(connection);
    let failure = failed.map(|(failure, _)| failure);
    let payload_ns = first_payload(connection, uploads);
    let steps = steps(connection, payload_ns, failure.is_some(), origin);
    let seen_from_start = client.is_some_and(View::began);
    let measured = client.and_then(|view| view.opened);
    let captured_rtt_ns = || captured_rtt(&steps).filter(|_| connection.captured.is_some());
    let accepted = uploads.first().map(|upload| upload.times.accepted_ns);
    let queued = connection
        .server
        .as_deref()
        .and_then(|view| view.entered(State::Established))
        .map(|seen| seen.mono_ns);
    Initiation {
        start_ns: 0,
        end_ns: end(connection, payload_ns, failure.is_some(), &steps, origin),
        certainty: if seen_from_start {
            Certainty::Observed
        } else {
            Certainty::Unknown
        },
        rtt_ns: measured
            .map(|opened| u64::from(opened.srtt_us_8) * 1000 / 8)
            .filter(|rtt| *rtt > 0)
            .or_else(captured_rtt_ns),
        steps,
        initial_numbers: connection.dialogue.initial_numbers(),
        options: options(connection),
        accepted_ns: accepted.map(|at| origin.since(at)),
        accept_wait_ns: accepted
            .zip(queued)
            .and_then(|(accepted, queued)| accepted.checked_sub(queued)),
        accept_queue: connection.accept_queue.map(|queue| queue.longest),
        failure,
        cause: failed.map(|(_, cause)| cause).unwrap_or_default(),
    }
}

/// The round-trip time that a handshake shows wherever it was captured: from there to the server and back,
/// and to the client and back. A segment that was sent again tells nothing (RFC 6298, section 3), and a third
/// ACK that carries payload may have waited for it.
fn captured_rtt(steps: &[Step]) -> Option<u64> {
    const NAMES: [StepName; 3] = [StepName::Syn, StepName::SynAck, StepName::Ack];
    if !steps.iter().map(|step| step.name).eq(NAMES) {
        return None;
    }
    let (syn, ack) = (steps.first()?, steps.last()?);
    let is_alone = ack.len.is_none_or(|len| len == 0);
    ack.at_ns?
        .checked_sub(syn.at_ns?)
        .filter(|rtt| *rtt > 0 && is_alone && !steps.iter().any(|step| step.retransmit))
}

/// When the handshake ended: with the third ACK, whatever the server made of it. With
/// `TCP_DEFER_ACCEPT` the server's end is ESTABLISHED after the first data, and after a lost third ACK after
/// any segment: payload shows that the handshake was over before.
fn end(
    connection: &Connection,
    payload_ns: Option<u64>,
    failed: bool,
    steps: &[Step],
    origin: Origin,
) -> Option<u64> {
    let established = |view: &View| view.entered(State::Established).map(|seen| seen.mono_ns);
    let third = steps.iter().rfind(|step| step.name == StepName::Ack);
    let third_ns = third.and_then(|step| step.at_ns);
    let client = || connection.client.as_deref().and_then(established);
    let server = || connection.server.as_deref().and_then(established);
    let end_ns = if failed {
        origin.since(connection.closed_ns()?)
    } else if let Some(at) = client() {
        origin.since(at).max(third_ns.unwrap_or_default())
    } else {
        let by_server = || {
            let at = server()?;
            Some(origin.since(payload_ns.unwrap_or(at).min(at)))
        };
        third_ns.or_else(by_server)?
    };
    let last_step = steps.iter().filter_map(|step| step.at_ns).max();
    Some(end_ns.max(last_step.unwrap_or_default()))
}

/// When the first request or record of TLS was sent, or the server read it.
fn first_payload(connection: &Connection, uploads: &[Upload]) -> Option<u64> {
    let payload = &connection.dialogue.payload;
    let request = payload
        .exchanges()
        .first()
        .and_then(|exchange| exchange.request.as_ref());
    let request = request.map(|request| request.start_ns);
    let record = payload
        .tls()
        .and_then(|tls| tls.records.first())
        .map(|record| record.mono_ns);
    let read = uploads
        .iter()
        .filter_map(|upload| upload.times.first_byte_ns);
    request.into_iter().chain(record).chain(read).min()
}

fn steps(
    connection: &Connection,
    payload_ns: Option<u64>,
    failed: bool,
    origin: Origin,
) -> Vec<Step> {
    let mut steps = seen_steps(connection, failed, origin);
    if steps.is_empty() && connection.captured.is_none() {
        steps = inferred_steps(connection, payload_ns, failed, origin);
    }
    let held_back = connection
        .client
        .iter()
        .flat_map(|view| &view.incidents().held_back_syns);
    for attempt in held_back {
        let at = origin.since(attempt.mono_ns);
        steps.push(Step {
            retransmit: true,
            held_back: Some(attempt.error),
            ..step::traced(StepName::Syn, End::Client, at, "tcp_retransmit_skb")
        });
    }
    steps.sort_by_key(|step| step.at_ns);
    steps
}

/// The handshake's own segments; empty if its beginning was not seen.
fn seen_steps(connection: &Connection, failed: bool, origin: Origin) -> Vec<Step> {
    let mut steps = Vec::new();
    for segment in &connection.dialogue.steps {
        let syn = segment.flags.has(Flags::SYN);
        let ack = segment.flags.has(Flags::ACK);
        let name = match (syn, ack) {
            (true, false) => StepName::Syn,
            (true, true) => StepName::SynAck,
            (false, _) if segment.flags.has(Flags::RST) && failed => StepName::Rst,
            // Two SYN-ACKs have opened it: the next segment is no third ACK.
            _ if connection.roles_from == RolesFrom::Simultaneous => break,
            (false, true) if is_third(connection, &steps, segment) => StepName::Ack,
            _ => break,
        };
        let may_begin =
            name == StepName::Syn || name == StepName::SynAck && connection.captured.is_some();
        if steps.is_empty() && !may_begin {
            return steps;
        }
        let mut step = step::seen(name, segment, origin);
        // If both ends open at once, each sends its SYN again as a SYN-ACK (RFC 9293, 3.5).
        step.retransmit &= steps
            .iter()
            .any(|before: &Step| (before.name, before.from) == (name, segment.from));
        steps.push(step);
        if name == StepName::Ack {
            break;
        }
    }
    steps
}

/// Whether an ACK ends the handshake. Any of the client's does that comes first. But if records were lost,
/// so may have been the first: then it is one that follows the SYN-ACK, and no byte that the SYN did not
/// carry lies between.
fn is_third(connection: &Connection, steps: &[Step], segment: &Milestone) -> bool {
    let first_after_syn = || {
        let answered = steps.iter().any(|step| step.name == StepName::SynAck);
        let syn = steps.iter().rfind(|step| step.name == StepName::Syn);
        let in_syn = syn.and_then(|step| step.len).unwrap_or_default();
        answered && segment.seq <= in_syn.saturating_add(1)
    };
    let nothing_lost = connection.lost == 0 && !connection.after_loss;
    segment.from == End::Client && segment.ack == 1 && (nothing_lost || first_after_syn())
}

fn inferred_steps(
    connection: &Connection,
    payload_ns: Option<u64>,
    failed: bool,
    origin: Origin,
) -> Vec<Step> {
    let client = connection.client.as_deref();
    let server = connection.server.as_deref();
    let restored = |(_, view): (End, &View)| view.incidents().restored;
    if connection.views().any(restored) {
        return Vec::new();
    }
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
    let established = step::state_change(End::Client, State::SynSent, State::Established);
    let mut steps = vec![step::inferred(
        StepName::Syn,
        End::Client,
        at(sent),
        step::state_change(End::Client, State::Close, State::SynSent),
    )];
    for again in client.map_or(&[][..], |view| &view.incidents().syn_retransmits) {
        let at = origin.since(*again);
        steps.push(Step {
            retransmit: true,
            ..step::traced(StepName::Syn, End::Client, at, "tcp_retransmit_skb")
        });
    }
    let syn_acks = connection
        .views()
        .flat_map(|(_, view)| &view.incidents().syn_ack_retransmits);
    for again in syn_acks {
        let at = origin.since(*again);
        steps.push(Step {
            retransmit: true,
            ..step::traced(StepName::SynAck, End::Server, at, "tcp_retransmit_synack")
        });
    }
    if answered.is_some() || opened.is_some() {
        steps.push(step::inferred(
            StepName::SynAck,
            End::Server,
            at(answered),
            established.clone(),
        ));
        // A server's end that defers is ESTABLISHED later, after the first payload.
        let in_time = |seen: &&Transition| payload_ns.is_none_or(|at| seen.mono_ns <= at);
        steps.push(match opened.filter(|_| answered.is_none()) {
            Some(opened) => step::inferred(
                StepName::Ack,
                End::Client,
                at(Some(opened).filter(in_time)),
                step::transition(End::Server, opened),
            ),
            None => step::inferred(StepName::Ack, End::Client, at(answered), established),
        });
        // What is sent again after the handshake belongs to none of its steps.
        let third_ns = steps.last().and_then(|step| step.at_ns);
        steps.retain(|step| third_ns.is_none() || step.at_ns <= third_ns);
    }
    if failed && let Some(reset) = connection.first_reset() {
        let at = origin.since(reset.mono_ns);
        steps.push(step::traced(
            StepName::Rst,
            reset.from,
            at,
            reset.tracepoint,
        ));
    }
    steps
}

fn options(connection: &Connection) -> Option<AgreedOptions> {
    let mut views = connection.views();
    let (end, opened) = views
        .find_map(|(end, view)| Some((end, view.opened.filter(|_| !view.incidents().restored)?)))?;
    let (own, peer) = (
        opened.rcv_wscale.min(MAX_SHIFT),
        opened.snd_wscale.min(MAX_SHIFT),
    );
    let (client, server) = match end {
        End::Client => (own, peer),
        End::Server => (peer, own),
    };
    Some(AgreedOptions {
        mss: opened.mss_clamp,
        window_scale: opened
            .window_scaling
            .then_some(WindowScale { client, server }),
        sack_permitted: opened.sack,
        timestamps: opened.timestamps,
    })
}

/// Why it never opened, with the facts behind it; `None` if it did, or may still.
fn failed(connection: &Connection) -> Option<(Failure, Cause)> {
    let opened = connection
        .views()
        .any(|(_, view)| view.entered(State::Established).is_some() || !view.began());
    if opened {
        return None;
    }
    if connection.captured.is_some() {
        // RFC 9293, section 3.10.7.3: a RST answers the SYN.
        let failure = match connection.first_reset()?.from {
            End::Server => Failure::Refused,
            End::Client => Failure::Reset,
        };
        return Some((failure, Cause::default()));
    }
    let (view, end) = connection
        .views()
        .find_map(|(_, view)| view.entered(State::Close).map(|end| (view, end)))?;
    // The process may have read the error (SO_ERROR), which clears it, before it closed the socket.
    let error = match end.error {
        0 => view.incidents().error.unwrap_or(0),
        error => error,
    };
    let cause = Cause {
        error: (error > 0).then_some(SocketError(error)),
        user_timeout: error == errno::TIMED_OUT && end.closing.has_user_timeout(),
        ..view.cause()
    };
    Some((failure(connection, view, error), cause))
}

fn failure(connection: &Connection, view: &View, error: u32) -> Failure {
    let unanswered = matches!(error, 0 | errno::TIMED_OUT);
    let queue = connection.accept_queue;
    if unanswered && queue.is_some_and(|queue| queue.always_full) {
        return Failure::AcceptQueueFull;
    }
    if error == 0 && view.incidents().icmp_in_syn_sent {
        return Failure::Unreachable;
    }
    // An ICMP port unreachable message sets the same error as a RST.
    let is_refusal = connection.first_reset().is_some() || connection.lost > 0;
    match error {
        0 => Failure::GivenUp,
        errno::REFUSED if is_refusal => Failure::Refused,
        errno::REFUSED => Failure::Unreachable,
        error if errno::OF_ICMP.contains(&error) => Failure::Unreachable,
        errno::TIMED_OUT => Failure::TimedOut,
        errno::HOST_UNREACHABLE | errno::NET_UNREACHABLE => Failure::Unreachable,
        errno::RESET => Failure::Reset,
        errno::ABORTED => Failure::Aborted,
        _ => Failure::Failed,
    }
}

#[cfg(test)]
mod tests;
