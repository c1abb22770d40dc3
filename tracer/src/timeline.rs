//! What a connection's states mean: its three phases and their steps. Each number is observed,
//! inferred or unknown, and each step says what it is known by.

mod initiation;
mod maintenance;
mod termination;
mod tls;

use std::net::IpAddr;

use serde::Serialize;
use upload_server::record::{Cookie, Outcome, Upload};

pub use self::{
    initiation::{Failure, Initiation, Options, WindowScale},
    maintenance::{Body, Exchange, KnownBy, Maintenance, Request, Response, Span},
    termination::{How, Termination},
    tls::{TlsAlert, TlsHandshake, TlsRecord, TlsStep},
};
use crate::{
    connection::{Connection, End, Learned, Transition, View},
    dialogue::{Remark, Told},
    moment::{Clock, Moment},
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
    pub connection: String,
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
    /// Segments retransmitted by the ends that were seen, as the kernel counts them
    /// (`tcpi_total_retrans`): SYNs, SYN-ACKs and FINs included.
    pub retransmits: u64,
    /// Records lost meanwhile, of whichever connection.
    pub lost: u64,
    /// Whether everything that there was to see of it was seen.
    pub complete: bool,
    /// Why not, where it was not.
    pub incomplete: Vec<&'static str>,
    /// Whether the connection was still open when this was written.
    pub open: bool,
}

/// One end of a connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Endpoint {
    /// IP address; IPv4 on a dual-stack socket as IPv4.
    pub addr: IpAddr,
    /// Port.
    pub port: u16,
    /// The owner's process id; `null` where unknown.
    pub pid: Option<u32>,
    /// The owner's process name; `null` where unknown.
    pub comm: Option<String>,
    /// The owner's user id; `null` where unknown.
    pub uid: Option<u32>,
    /// How the owner was learned.
    pub owner_from: Option<Learned>,
    /// The socket's cookie; `null` where the socket is not on this machine or was not seen.
    pub cookie: Option<Cookie>,
}

/// Payload bytes that arrived in order, for each direction; `null` where unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Bytes {
    /// From the client to the server.
    pub client_to_server: Option<u64>,
    /// From the server to the client.
    pub server_to_client: Option<u64>,
}

/// An upload as a timeline lists it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UploadSummary {
    /// The server's name for the upload.
    pub id: String,
    /// The file's name.
    pub name: Option<String>,
    /// Bytes of the file that arrived.
    pub bytes: u64,
    /// Status of the response; `null` where none was sent.
    pub status: Option<u16>,
    /// How it ended.
    pub outcome: Outcome,
}

/// How a number or a step is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Certainty {
    /// Seen to happen.
    Observed,
    /// Follows from what was seen.
    Inferred,
    /// Not seen.
    Unknown,
}

/// One step of a phase: a segment, or several that belong together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// `SYN`, `SYN-ACK`, `ACK`, `FIN`, `FIN-ACK` or `RST`.
    pub name: &'static str,
    /// When; `null` where unknown.
    pub at_ns: Option<u64>,
    /// Who sent it.
    pub from: End,
    /// How it is known.
    pub certainty: Certainty,
    /// The kernel's event that it is known by, at the end named first.
    pub known_by: String,
    /// Whether it was sent before and is sent again.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub retransmit: bool,
    /// Its relative sequence number; absent where the segment itself was not seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seq: Option<u32>,
    /// Its relative acknowledgment number, likewise; absent without the flag ACK.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ack: Option<u32>,
    /// Bytes of payload that it carries, likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub len: Option<u32>,
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

/// The beginning of a connection, from which a timeline's times count.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin(u64);

impl Origin {
    /// The time since the beginning; 0 for what came before, which only a server's own clock
    /// reading can.
    pub(crate) const fn since(self, mono_ns: u64) -> u64 {
        mono_ns.saturating_sub(self.0)
    }
}

impl Timeline {
    /// The timeline of a connection, with the uploads it carried. `None` for a connection of which
    /// no change of state was seen.
    #[must_use]
    pub fn of(connection: &Connection, uploads: &[Upload], clock: Clock) -> Option<Self> {
        let first_ns = connection.first_ns()?;
        let origin = Origin(first_ns);
        let initiation = Initiation::of(connection, uploads, origin);
        let mut phases = Vec::with_capacity(3);
        let opened = initiation.failure.is_none();
        phases.push(Phase::Initiation(initiation));
        if opened {
            let maintenance = Maintenance::of(connection, uploads, origin);
            phases.push(Phase::Maintenance(Box::new(maintenance)));
            phases.push(Phase::Termination(Termination::of(connection, origin)));
        }
        let incomplete = why_incomplete(connection);
        Some(Self {
            at: clock.moment(first_ns),
            connection: connection.id.clone(),
            client: endpoint(connection, End::Client)?,
            server: endpoint(connection, End::Server)?,
            phases,
            uploads: uploads.iter().map(UploadSummary::of).collect(),
            bytes: Bytes {
                client_to_server: payload(connection, End::Client),
                server_to_client: payload(connection, End::Server),
            },
            retransmits: connection.views().map(|(_, view)| retransmits(view)).sum(),
            lost: connection.lost,
            complete: incomplete.is_empty(),
            incomplete,
            open: connection.closed_ns().is_none(),
        })
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

impl UploadSummary {
    fn of(upload: &Upload) -> Self {
        Self {
            id: upload.id.clone(),
            name: upload.name.clone(),
            bytes: upload.bytes,
            status: upload.status,
            outcome: upload.outcome,
        }
    }
}

impl Step {
    fn inferred(name: &'static str, from: End, at_ns: Option<u64>, known_by: String) -> Self {
        Self {
            name,
            at_ns,
            from,
            certainty: if at_ns.is_some() {
                Certainty::Inferred
            } else {
                Certainty::Unknown
            },
            known_by,
            retransmit: false,
            seq: None,
            ack: None,
            len: None,
        }
    }

    /// The segment itself, seen where it was sent or where it arrived.
    fn seen(name: &'static str, told: &Told, origin: Origin) -> Self {
        let known_by = if told.seen_leaving {
            format!("cgroup_skb egress, {}", told.from.name())
        } else {
            format!("cgroup_skb ingress, {}", told.from.other().name())
        };
        Self {
            name,
            at_ns: Some(origin.since(told.mono_ns)),
            from: told.from,
            certainty: Certainty::Observed,
            known_by,
            retransmit: told.analysis.contains(&Remark::Retransmission),
            seq: Some(told.seq),
            ack: told.flags.has(Flags::ACK).then_some(told.ack),
            len: Some(told.len),
        }
    }

    fn observed(name: &'static str, from: End, at_ns: u64, tracepoint: &str) -> Self {
        Self {
            name,
            at_ns: Some(at_ns),
            from,
            certainty: Certainty::Observed,
            known_by: tracepoint.to_owned(),
            retransmit: false,
            seq: None,
            ack: None,
            len: None,
        }
    }

    /// The same segment, sent once more.
    fn again(mut self) -> Self {
        self.retransmit = true;
        self
    }
}

/// The first RST, who sent it, when, and the tracepoint it is known by.
fn first_reset(connection: &Connection) -> Option<(End, u64, &'static str)> {
    let resets = connection.views().flat_map(|(end, view)| {
        view.resets.iter().map(move |reset| {
            if reset.sent {
                (end, reset.mono_ns, "tcp_send_reset")
            } else {
                (end.other(), reset.mono_ns, "tcp_receive_reset")
            }
        })
    });
    resets.min_by_key(|(_, at, _)| *at)
}

fn why_incomplete(connection: &Connection) -> Vec<&'static str> {
    let mut reasons = Vec::new();
    if connection.views().any(|(_, view)| !view.began()) {
        reasons.push("it began before the tracer did");
    }
    if connection.closed_ns().is_none() {
        reasons.push("it was still open");
    }
    if connection.lost > 0 {
        reasons.push("records were lost while it was open");
    }
    reasons
}

fn endpoint(connection: &Connection, end: End) -> Option<Endpoint> {
    let view = connection.view(end);
    let address = match view {
        Some(view) => view.addresses.local,
        None => connection.view(end.other())?.addresses.remote,
    };
    let owner = view.and_then(|view| view.owner.as_ref());
    Some(Endpoint {
        addr: address.ip(),
        port: address.port(),
        pid: owner.map(|owner| owner.task.pid),
        comm: owner.map(|owner| owner.task.comm.clone()),
        uid: owner
            .filter(|owner| owner.learned != Learned::Server)
            .map(|owner| owner.task.uid),
        owner_from: owner.map(|owner| owner.learned),
        cookie: view.map(|view| Cookie(view.cookie)),
    })
}

/// The kernel's count at the last change of state, or what was seen of it since.
fn retransmits(view: &View) -> u64 {
    let counted = view.last().map_or(0, |last| last.counters.total_retrans);
    view.retransmits.max(u64::from(counted))
}

/// Payload that `from` sent and the other end received in order: by the receiver's count where its
/// socket was seen, else by what the sender saw acknowledged.
fn payload(connection: &Connection, from: End) -> Option<u64> {
    if let Some(receiver) = connection.view(from.other()) {
        let last = receiver.last()?;
        let fin = u64::from(received_fin(receiver));
        return last
            .counters
            .bytes_received
            .checked_sub(fin)
            .filter(|_| receiver.began());
    }
    let sender = connection.view(from)?;
    let last = sender.last()?;
    let syn = u64::from(from == End::Client);
    let fin = u64::from(fin_was_acknowledged(sender));
    last.counters
        .bytes_acked
        .checked_sub(syn + fin)
        .filter(|_| sender.began())
}

/// A FIN takes one sequence number, which the kernel's counters count as a byte.
///
/// CLOSE after FIN_WAIT2 alone does not say that one came: when nobody holds the socket any more,
/// the kernel replaces it by a TIME_WAIT entry without waiting (`tcp_time_wait` with
/// `TCP_FIN_WAIT2`). Then the counter has not moved since FIN_WAIT2.
fn received_fin(view: &View) -> bool {
    use crate::event::State::{CloseWait, Closing};
    view.entered(CloseWait).is_some()
        || view.entered(Closing).is_some()
        || fin_after_fin_wait2(view).is_some()
}

/// The transition to CLOSE in which the peer's FIN came, if it came in FIN_WAIT2.
fn fin_after_fin_wait2(view: &View) -> Option<&Transition> {
    use crate::event::State::{Close, FinWait2};
    let waiting = view.entered(FinWait2)?;
    let last = view.last()?;
    let moved = last.counters.bytes_received > waiting.counters.bytes_received;
    (last.old == FinWait2 && last.new == Close && moved && !was_reset(view)).then_some(last)
}

fn fin_was_acknowledged(view: &View) -> bool {
    use crate::event::State::{Close, Closing, FinWait2, LastAck};
    view.entered(FinWait2).is_some()
        || view.transitions.iter().any(|seen| {
            matches!(seen.old, LastAck | Closing) && seen.new == Close && !was_reset(view)
        })
}

fn was_reset(view: &View) -> bool {
    !view.resets.is_empty()
}
