//! Facts that few sockets have. Boxed, so that they take no room in the others.

use upload_protocol::timeline::ResetReason;

use super::{Owner, PassedOn, Relays, Stalls};
use crate::core::address::Address;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Incidents {
    /// Every process that acted on the socket, in order, each with its first action. Empty if only the
    /// owner did.
    pub holders: Vec<Owner>,
    /// When the socket retransmitted its SYN.
    pub syn_retransmits: Vec<u64>,
    /// When it retransmitted another segment, the first times.
    pub retransmits: Vec<u64>,
    /// When it could not retransmit its SYN, and why.
    pub held_back_syns: Vec<HeldBack>,
    /// When the listener retransmitted the SYN-ACK.
    pub syn_ack_retransmits: Vec<u64>,
    /// Each RST that it sent or received.
    pub resets: Vec<Reset>,
    /// The first error (errno) that the socket reported to its process.
    pub error: Option<u32>,
    /// Payload bytes that it sent again, by its last change of state.
    pub retransmitted_bytes: u64,
    /// What the retransmission timer sent again in vain.
    pub stalls: Stalls,
    /// Whether an ICMP message came in SYN_SENT.
    pub icmp_in_syn_sent: bool,
    /// Whether a process restored its state (`TCP_REPAIR`): another socket made the handshake.
    pub restored: bool,
    /// Its address and its peer's in the packets that leave, where NAT on this machine makes others of
    /// them.
    pub on_wire: Option<(Address, Address)>,
    /// The MPTCP socket whose subflow it is.
    pub mptcp: Option<SubflowOf>,
    /// From which sockets a thread had read before it acted on this one.
    pub relays: Relays,
    /// On which sockets a thread acted after it had read from this one: `read` names those.
    pub relayed: Relays,
    /// What a thread sent on Unix sockets after it had read from this one.
    pub passed_on: PassedOn,
    /// What came after those that are kept.
    pub left_out: IncidentsLeftOut,
}

/// How many incidents were not kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IncidentsLeftOut {
    pub holders: u64,
    pub resets: u64,
    /// SYNs and SYN-ACKs that were, or could not be, sent again.
    pub syns: u64,
}

/// An MPTCP socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubflowOf {
    /// The cookie of its first subflow that was seen.
    pub first: u64,
    pub token: u32,
}

/// A segment that did not leave this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldBack {
    /// When, CLOCK_MONOTONIC.
    pub mono_ns: u64,
    /// Why, an errno.
    pub error: u32,
}

/// A RST.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reset {
    /// When, CLOCK_MONOTONIC.
    pub mono_ns: u64,
    /// Whether this socket sent it; else it received it.
    pub sent: bool,
    /// Why it sent it; `None` where the kernel gives no reason.
    pub reason: Option<ResetReason>,
}

impl Incidents {
    pub(super) const NOTHING: &Self = &Self {
        holders: Vec::new(),
        syn_retransmits: Vec::new(),
        retransmits: Vec::new(),
        syn_ack_retransmits: Vec::new(),
        held_back_syns: Vec::new(),
        resets: Vec::new(),
        error: None,
        retransmitted_bytes: 0,
        stalls: Stalls::NONE,
        relays: Relays::NONE,
        relayed: Relays::NONE,
        passed_on: PassedOn::NONE,
        icmp_in_syn_sent: false,
        left_out: IncidentsLeftOut {
            holders: 0,
            resets: 0,
            syns: 0,
        },
        restored: false,
        on_wire: None,
        mptcp: None,
    };
}
