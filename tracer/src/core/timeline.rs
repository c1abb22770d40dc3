//! What a connection's states mean: its three phases and their steps. Each number is observed,
//! inferred or unknown, and each step says what it is known by.

mod endpoint;
mod exchange;
mod initiation;
mod maintenance;
mod step;
mod termination;
mod tls;
mod upload;

use serde::Serialize;
use upload_server::record::Upload;

pub use self::{
    endpoint::{Endpoint, Process},
    exchange::{Body, Exchange, KnownBy, Request, Response, Span},
    initiation::{Failure, Initiation, Options, WindowScale},
    maintenance::Maintenance,
    step::{Certainty, Step},
    termination::{How, Termination},
    tls::{TlsAlert, TlsHandshake, TlsRecord, TlsStep},
    upload::UploadSummary,
};
use crate::core::{
    connection::{Connection, ConnectionId, RolesFrom, Transition, Unfinished, View},
    end::End,
    host::Host,
    moment::Moment,
    segment::Flags,
};

/// One connection, told from its beginning to its end. All `*_ns` within it count from its
/// beginning, which is its own `mono_ns`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Timeline {
    /// When the first record of the connection was made.
    #[serde(flatten)]
    pub at: Moment,
    /// The connection's name in every output.
    pub connection: ConnectionId,
    /// Who opened it.
    pub client: Endpoint,
    /// Who was called.
    pub server: Endpoint,
    /// Initiation; maintenance and termination too where it opened.
    pub phases: Vec<Phase>,
    /// The uploads it carried.
    pub uploads: Vec<UploadSummary>,
    /// Payload that arrived in order.
    pub bytes: Bytes,
    /// Segments that each end retransmitted, as its kernel counts them (`tcpi_total_retrans`):
    /// SYNs, SYN-ACKs and FINs included. `null` for an end that is not on this machine.
    pub retransmits_by: Retransmits,
    /// The same of the ends that were seen, together.
    pub retransmits: u64,
    /// How it is known which end is the client: observed where it was seen to open, else inferred.
    pub roles: Certainty,
    /// … and from what.
    pub roles_from: RolesFrom,
    /// Records lost meanwhile, of whichever connection.
    pub lost: u64,
    /// Whether there may have been fewer, or none.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub lost_at_most: bool,
    /// Whether everything that there was to see of it was seen.
    pub complete: bool,
    /// Why not, where it was not.
    pub incomplete: Vec<&'static str>,
    /// Whether the connection was still open when this was written.
    pub open: bool,
    /// Where it was: how long it had been seen to be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open_for_ns: Option<u64>,
}

/// Why a timeline is not complete, where it began too early.
const BEGAN_BEFORE: &str = "it began before the tracer did";
/// The same where records had been lost.
const BEGIN_UNSEEN: &str = "its beginning was not seen: it was lost, or before the tracer's";

/// Payload bytes that arrived in order, for each direction; `null` where unknown, as while the
/// connection is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Bytes {
    /// From the client to the server.
    pub client_to_server: Option<u64>,
    /// From the server to the client.
    pub server_to_client: Option<u64>,
}

impl Bytes {
    /// The counters are those of the last change of state, and so say nothing of a connection that is
    /// open.
    fn of(connection: &Connection, closed_ns: Option<u64>) -> Self {
        let is_closed = closed_ns.is_some();
        let from = |end| is_closed.then(|| payload(connection, end)).flatten();
        Self {
            client_to_server: from(End::Client),
            server_to_client: from(End::Server),
        }
    }
}

/// Segments retransmitted, by end; `null` where unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Retransmits {
    /// By the client.
    pub client: Option<u64>,
    /// By the server.
    pub server: Option<u64>,
}

/// A phase, told apart by `name`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "name", rename_all = "lowercase")]
#[expect(missing_docs, reason = "each variant is its struct")]
pub enum Phase {
    Initiation(Initiation),
    Maintenance(Box<Maintenance>),
    Termination(Termination),
}

impl Phase {
    fn maintenance_mut(&mut self) -> Option<&mut Maintenance> {
        match self {
            Self::Maintenance(found) => Some(found),
            Self::Initiation(_) | Self::Termination(_) => None,
        }
    }
}

/// The beginning of a connection, from which a timeline's times count.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin(u64);

impl Origin {
    /// The time since the beginning.
    pub(crate) const fn since(self, mono_ns: u64) -> u64 {
        mono_ns.saturating_sub(self.0)
    }
}

impl Timeline {
    /// The timeline of a connection, with the uploads that its server reported; without a server
    /// that reports, uploads are inferred. It is told at `now_ns`, CLOCK_MONOTONIC. `None` for a
    /// connection of which nothing was seen.
    #[must_use]
    pub fn of(
        connection: &Connection,
        reported: Option<&[Upload]>,
        host: &Host,
        now_ns: u64,
    ) -> Option<Self> {
        let uploads = reported.unwrap_or_default();
        let first_ns = first_known(connection.first_ns()?, uploads);
        let origin = Origin(first_ns);
        let closed_ns = connection.closed_ns();
        let bytes = Bytes::of(connection, closed_ns);
        let initiation = Initiation::of(connection, uploads, origin);
        let mut phases = Vec::with_capacity(3);
        let opened = initiation.failure.is_none();
        phases.push(Phase::Initiation(initiation));
        if opened {
            let maintenance = Maintenance::of(connection, uploads, bytes, origin);
            phases.push(Phase::Maintenance(Box::new(maintenance)));
            let termination = Termination::of(connection, closed_ns, origin);
            phases.push(Phase::Termination(termination));
        }
        let incomplete = why_incomplete(connection, closed_ns);
        let is_gone = connection.unfinished == Some(Unfinished::Gone);
        let is_open = closed_ns.is_none() && !is_gone;
        let mut timeline = Self {
            at: host.clock.moment(first_ns),
            connection: connection.id,
            client: Endpoint::of(connection, End::Client, host)?,
            server: Endpoint::of(connection, End::Server, host)?,
            phases,
            uploads: uploads.iter().map(UploadSummary::reported).collect(),
            bytes,
            retransmits_by: Retransmits {
                client: connection.client.as_deref().map(retransmits),
                server: connection.server.as_deref().map(retransmits),
            },
            retransmits: connection.views().map(|(_, view)| retransmits(view)).sum(),
            roles: match connection.roles_from {
                RolesFrom::Opening => Certainty::Observed,
                RolesFrom::Listener | RolesFrom::Ports => Certainty::Inferred,
            },
            roles_from: connection.roles_from,
            lost: connection.lost,
            lost_at_most: connection.lost_at_most,
            complete: incomplete.is_empty(),
            incomplete,
            open: is_open,
            open_for_ns: is_open.then(|| origin.since(now_ns)),
        };
        if reported.is_none() {
            timeline.infer_uploads();
        }
        Some(timeline)
    }

    /// Whether it was open already when the tracer began.
    #[must_use]
    pub fn began_before(&self) -> bool {
        self.incomplete.contains(&BEGAN_BEFORE)
    }

    /// Whether its beginning was not seen, for whatever reason.
    #[must_use]
    pub fn lacks_begin(&self) -> bool {
        self.began_before() || self.incomplete.contains(&BEGIN_UNSEEN)
    }

    /// Its initiation.
    #[must_use]
    pub fn initiation(&self) -> Option<&Initiation> {
        self.phases.iter().find_map(|phase| match phase {
            Phase::Initiation(found) => Some(found),
            _ => None,
        })
    }

    /// Its maintenance, if it opened.
    #[must_use]
    pub fn maintenance(&self) -> Option<&Maintenance> {
        self.phases.iter().find_map(|phase| match phase {
            Phase::Maintenance(found) => Some(&**found),
            _ => None,
        })
    }

    /// Its termination, if it opened.
    #[must_use]
    pub fn termination(&self) -> Option<&Termination> {
        self.phases.iter().find_map(|phase| match phase {
            Phase::Termination(found) => Some(found),
            _ => None,
        })
    }
}

/// When the first was seen of a connection, or its server tells of it: that may have been before the
/// tracer.
fn first_known(seen_ns: u64, uploads: &[Upload]) -> u64 {
    let told = uploads.iter().flat_map(|upload| {
        let times = &upload.times;
        let head = (times.head_ns > 0).then_some(times.head_ns);
        let accepted = (times.accepted_ns > 0).then_some(times.accepted_ns);
        [accepted, times.first_byte_ns, head, times.body_first_ns]
    });
    told.flatten().fold(seen_ns, u64::min)
}

/// The first RST, who sent it, when, and the tracepoint it is known by.
fn first_reset(connection: &Connection) -> Option<(End, u64, &'static str)> {
    let resets = connection.views().flat_map(|(end, view)| {
        view.incidents().resets.iter().map(move |reset| {
            if reset.sent {
                (end, reset.mono_ns, "tcp_send_reset")
            } else {
                (end.other(), reset.mono_ns, "tcp_receive_reset")
            }
        })
    });
    resets.min_by_key(|(_, at, _)| *at)
}

fn why_incomplete(connection: &Connection, closed_ns: Option<u64>) -> Vec<&'static str> {
    let mut reasons = Vec::new();
    if connection.views().any(|(_, view)| !view.began()) {
        reasons.push(if connection.after_loss || connection.lost > 0 {
            BEGIN_UNSEEN
        } else {
            BEGAN_BEFORE
        });
    }
    match (closed_ns, connection.unfinished, connection.lost) {
        (Some(_), ..) => {}
        (None, Some(Unfinished::Dropped), _) => {
            reasons.push("it was idle, and there were too many connections");
        }
        (None, None, 0) => reasons.push("it was still open"),
        (None, Some(Unfinished::Gone) | None, _) => reasons.push("its end was not seen"),
    }
    if connection.suspended {
        reasons.push("the machine was suspended meanwhile, and its clock stood still");
    }
    if connection.lost > 0 {
        reasons.push(if connection.lost_at_most {
            "records may have been lost while it was open"
        } else {
            "records were lost while it was open"
        });
    }
    reasons
}

/// The kernel's count at the last change of state, or what was seen of it since.
fn retransmits(view: &View) -> u64 {
    let counted = view.counted.total_retrans;
    u64::from(view.retransmits.max(counted))
}

/// Payload that `from` sent and the other end received in order: by the receiver's count where its
/// socket was seen, else by what the sender saw acknowledged.
fn payload(connection: &Connection, from: End) -> Option<u64> {
    let to = from.other();
    if let Some(receiver) = connection.view(to) {
        let last = receiver.last()?;
        let fin = u64::from(received_fin(connection, to));
        return last
            .bytes_received
            .checked_sub(fin)
            .filter(|_| receiver.began());
    }
    let sender = connection.view(from)?;
    sender.last()?;
    let syn = u64::from(from == End::Client);
    let fin = u64::from(fin_was_acknowledged(sender));
    let acknowledged = sender.counted.bytes_acked;
    acknowledged
        .checked_sub(syn + fin)
        .filter(|_| sender.began())
}

/// Whether the socket of `end` received its peer's FIN, which takes one sequence number and which
/// the kernel's counters count as a byte.
///
/// CLOSE after FIN_WAIT2 alone does not say so: when nobody holds the socket any more, the kernel
/// replaces it by a TIME_WAIT entry without waiting (`tcp_time_wait` with `TCP_FIN_WAIT2`).
fn received_fin(connection: &Connection, end: End) -> bool {
    use crate::core::event::State::{CloseWait, Closing};
    connection.view(end).is_some_and(|view| {
        view.entered(CloseWait).is_some()
            || view.entered(Closing).is_some()
            || fin_after_fin_wait2(connection, end).is_some()
    })
}

/// The transition to CLOSE in which the peer's FIN came, if it came in FIN_WAIT2: its segment was
/// seen before; without segments, the counter of received bytes has moved since.
fn fin_after_fin_wait2(connection: &Connection, end: End) -> Option<&Transition> {
    use crate::core::event::State::{Close, FinWait2};
    let view = connection.view(end)?;
    let waiting = view.entered(FinWait2)?;
    let last = view.last()?;
    let steps = &connection.dialogue.steps;
    let came = if steps.is_empty() {
        last.bytes_received > waiting.bytes_received
    } else {
        steps.iter().any(|told| {
            told.from == end.other() && told.flags.has(Flags::FIN) && told.mono_ns <= last.mono_ns
        })
    };
    (last.old == FinWait2 && last.new == Close && came && !was_reset(view)).then_some(last)
}

/// Whether the peer acknowledged the socket's FIN. From LAST_ACK and CLOSING the kernel goes to
/// CLOSE then, or with an error when it has given up.
fn fin_was_acknowledged(view: &View) -> bool {
    use crate::core::event::State::{Close, Closing, FinWait2, LastAck};
    view.entered(FinWait2).is_some()
        || view.transitions.iter().any(|seen| {
            matches!(seen.old, LastAck | Closing)
                && seen.new == Close
                && seen.error == 0
                && !was_reset(view)
        })
}

fn was_reset(view: &View) -> bool {
    !view.incidents().resets.is_empty()
}
