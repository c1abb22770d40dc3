//! The observed facts about one socket of a connection.

use std::sync::Arc;

use smallvec::SmallVec;
use tracer_ebpf::record::{Counters, Limits, Passed};
use upload_protocol::{OwnerFrom, State};

use super::{
    Closing, Counted, HeldBack, Incidents, LimitLog, Opened, Owner, Reset, SubflowOf, Task,
    Transition,
};
use crate::core::{
    address::Address,
    event::{Addresses, Relay, UnixRelay},
};

#[derive(Clone, Debug, PartialEq)]
pub struct View {
    /// The socket's cookie.
    pub cookie: u64,
    pub addresses: Addresses,
    /// The best candidate among the processes that acted on it; `None` if none did.
    pub owner: Option<Owner>,
    /// When it was found, if it was opened before the tracer, CLOCK_MONOTONIC.
    pub found_ns: Option<u64>,
    /// Each change of state, in order. An open socket has two.
    pub transitions: SmallVec<[Transition; 2]>,
    /// Its counters when it first became ESTABLISHED.
    pub opened: Option<Opened>,
    /// Its counters at the last change of state.
    pub counted: Counted,
    /// Segments retransmitted, SYNs included.
    pub retransmits: u32,
    /// Facts that few sockets have.
    incidents: Option<Box<Incidents>>,
    /// Payload that passed it, sent and received; known once it is closed.
    pub passed: Option<Box<[Passed; 2]>>,
    /// What held it back; `None` where that is unknown, or it was too short for it.
    pub limits: Option<Box<LimitLog>>,
}

/// A socket may be inherited by any number of processes.
const MAX_HOLDERS: usize = 16;
/// A socket sends and receives a RST once; more are a broken peer's.
const MAX_RESETS: usize = 8;
/// Times of retransmissions that are kept.
const MAX_RETRANSMITS: usize = 64;
/// `net.ipv4.tcp_syn_retries` and `net.ipv4.tcp_synack_retries` may be up to 127.
const MAX_SYN_RETRANSMITS: usize = 127;

impl View {
    #[must_use]
    pub fn new(cookie: u64, addresses: Addresses) -> Self {
        Self {
            cookie,
            addresses,
            owner: None,
            found_ns: None,
            transitions: SmallVec::new(),
            opened: None,
            counted: Counted::NOTHING,
            retransmits: 0,
            incidents: None,
            passed: None,
            limits: None,
        }
    }

    /// The first time it entered `state`.
    #[must_use]
    pub fn entered(&self, state: State) -> Option<&Transition> {
        self.transitions.iter().find(|seen| seen.new == state)
    }

    /// Its last change of state.
    #[must_use]
    pub fn last(&self) -> Option<&Transition> {
        self.transitions.last()
    }

    /// Whether it has entered CLOSE.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.last().is_some_and(|last| last.new == State::Close)
    }

    /// Whether its beginning was seen: `connect`, or the third ACK of a passive open.
    #[must_use]
    pub fn began(&self) -> bool {
        self.found_ns.is_none()
            && !self.incidents().restored
            && self.transitions.first().is_some_and(|first| {
                first.new == State::SynSent
                    || first.new == State::SynRecv
                    || first.old == State::SynRecv
            })
    }

    /// Whether its counters count from the beginning that is told: that of the connection, seen or not,
    /// or of a restored socket.
    #[must_use]
    pub fn counts_all(&self) -> bool {
        let opens = |first: &Transition| first.old == State::SynSent;
        let is_opening = self.transitions.first().is_some_and(opens);
        self.began() || self.incidents().restored || self.found_ns.is_none() && is_opening
    }

    /// Whether it sent a SYN without ACK, which the kernel counts as an acknowledged byte.
    #[must_use]
    pub fn sent_syn(&self) -> bool {
        let sent = |seen: &Transition| seen.new == State::SynSent || seen.old == State::SynSent;
        self.transitions.iter().any(sent) && !self.incidents().restored
    }

    /// Whether it is connected to itself.
    #[must_use]
    pub fn is_its_own_peer(&self) -> bool {
        let Addresses { local, remote, .. } = self.addresses;
        local == remote && local.port() != 0
    }

    #[must_use]
    pub fn incidents(&self) -> &Incidents {
        self.incidents.as_deref().unwrap_or(Incidents::NOTHING)
    }

    /// Records an acting process; it becomes the owner if no better candidate is known.
    pub fn learn_owner(&mut self, task: Arc<Task>, from: OwnerFrom) {
        let acted = Owner { task, from };
        let Some(owner) = &self.owner else {
            self.owner = Some(acted);
            return;
        };
        let is_better = acted.from < owner.from;
        if !is_better && acted.task.is_same_process(&owner.task) {
            return;
        }
        let owner = owner.clone();
        let incidents = self.incidents_mut();
        let holders = &mut incidents.holders;
        if holders.is_empty() {
            holders.push(owner);
        }
        let is_new = !holders
            .iter()
            .any(|known| known.task.is_same_process(&acted.task));
        if is_new {
            if holders.len() < MAX_HOLDERS {
                holders.push(acted.clone());
            } else {
                incidents.left_out.holders += 1;
            }
        }
        if is_better {
            self.owner = Some(acted);
        }
    }

    /// Records a change of state at `mono_ns`, with the socket's counters and `sk_err`.
    pub(crate) fn record_transition(
        &mut self,
        mono_ns: u64,
        (old, new): (State, State),
        counters: &Counters,
        error: u32,
    ) {
        // Before the handshake the counters mean nothing.
        let counts = !matches!(new, State::SynSent | State::SynRecv);
        self.transitions.push(Transition {
            mono_ns,
            bytes_received: if counts { counters.bytes_received } else { 0 },
            error,
            old,
            new,
            closing: Closing::default(),
        });
        self.counted = if counts {
            Counted::of(counters)
        } else {
            Counted::NOTHING
        };
        if counts && counters.bytes_retrans > 0 {
            self.incidents_mut().retransmitted_bytes = counters.bytes_retrans;
        }
        if new == State::Established && self.opened.is_none() {
            self.opened = Some(Opened::of(counters));
        }
    }

    pub(crate) fn record_retransmit(&mut self, mono_ns: u64, state: State) {
        self.retransmits = self.retransmits.saturating_add(1);
        if state == State::SynSent {
            let incidents = self.incidents_mut();
            if incidents.syn_retransmits.len() < MAX_SYN_RETRANSMITS {
                incidents.syn_retransmits.push(mono_ns);
            } else {
                incidents.left_out.syns += 1;
            }
        } else if state != State::SynRecv {
            let times = &mut self.incidents_mut().retransmits;
            // How many there are is counted above.
            if times.len() < MAX_RETRANSMITS {
                times.push(mono_ns);
            }
        }
    }

    pub(crate) fn record_time_out(&mut self, mono_ns: u64, bytes_acked: u64, length: u32) {
        let stalls = &mut self.incidents_mut().stalls;
        stalls.record(mono_ns, bytes_acked, length);
    }

    pub(super) fn record_syn_ack_retransmit(&mut self, mono_ns: u64) {
        let incidents = self.incidents_mut();
        if incidents.syn_ack_retransmits.len() < MAX_SYN_RETRANSMITS {
            incidents.syn_ack_retransmits.push(mono_ns);
        } else {
            incidents.left_out.syns += 1;
        }
    }

    pub(crate) fn record_held_back(&mut self, mono_ns: u64, state: State, error: u32) {
        if state == State::SynSent {
            let incidents = self.incidents_mut();
            if incidents.held_back_syns.len() < MAX_SYN_RETRANSMITS {
                incidents.held_back_syns.push(HeldBack { mono_ns, error });
            } else {
                incidents.left_out.syns += 1;
            }
        }
    }

    /// Of too many, the last is kept: it is the one that may have ended the connection.
    pub(crate) fn record_reset(&mut self, reset: Reset) {
        let incidents = self.incidents_mut();
        if incidents.resets.len() == MAX_RESETS {
            incidents.resets.pop();
            incidents.left_out.resets += 1;
        }
        incidents.resets.push(reset);
    }

    /// Records what stood at the socket at its last change of state.
    pub(crate) fn record_closing(&mut self, closing: Closing) {
        if let Some(last) = self.transitions.last_mut() {
            last.closing = closing;
        }
    }

    /// Records an errno; 0 for an ICMP message that has not become an error.
    pub(crate) fn record_error(&mut self, error: u32) {
        let opening = self.last().is_some_and(|last| last.new == State::SynSent);
        let incidents = self.incidents_mut();
        match error {
            0 => incidents.icmp_in_syn_sent |= opening,
            error => _ = incidents.error.get_or_insert(error),
        }
    }

    pub(crate) fn record_restored(&mut self) {
        self.incidents_mut().restored = true;
    }

    pub(crate) fn record_on_wire(&mut self, local: Address, remote: Address) {
        self.incidents_mut().on_wire = Some((local, remote));
    }

    pub(crate) fn record_mptcp(&mut self, of: SubflowOf) {
        self.incidents_mut().mptcp = Some(of);
    }

    pub(crate) fn record_relay(&mut self, mono_ns: u64, relay: Relay) {
        self.incidents_mut().relays.record(mono_ns, relay);
    }

    /// The same for the socket that was read from: `cookie` is the other one's.
    pub(crate) fn record_relayed(&mut self, mono_ns: u64, relay: Relay, cookie: u64) {
        let to = Relay {
            read: cookie,
            ..relay
        };
        self.incidents_mut().relayed.record(mono_ns, to);
    }

    /// A thread sent on a Unix socket after it had read from this one.
    pub(crate) fn record_passed_on(
        &mut self,
        mono_ns: u64,
        relay: &UnixRelay,
        listener: Option<Arc<Task>>,
    ) {
        let incidents = self.incidents_mut();
        incidents.passed_on.record(mono_ns, relay, listener);
    }

    /// It sent so much more on it.
    pub(crate) fn record_more_passed_on(&mut self, socket: u64, bytes: u64) {
        self.incidents_mut().passed_on.record_more(socket, bytes);
    }

    pub(crate) fn record_limits(&mut self, mono_ns: u64, limits: &Limits) {
        self.limits.get_or_insert_default().record(mono_ns, *limits);
    }

    /// Counts payload that passed, by [`EGRESS`](tracer_ebpf::record::EGRESS) or
    /// [`INGRESS`](tracer_ebpf::record::INGRESS).
    pub(crate) fn record_passed(&mut self, direction: u8, len: u32, mono_ns: u64) {
        let nothing = Passed {
            bytes: 0,
            last_ns: 0,
        };
        let passed = self.passed.get_or_insert_with(|| Box::new([nothing; 2]));
        if let Some(passed) = passed.get_mut(usize::from(direction)) {
            passed.bytes = passed.bytes.saturating_add(len.into());
            passed.last_ns = mono_ns;
        }
    }

    fn incidents_mut(&mut self) -> &mut Incidents {
        self.incidents.get_or_insert_default()
    }
}
