//! What few sockets have: kept apart, it takes no room in the others.

use super::Owner;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Incidents {
    /// Every process that acted on the socket, in the order in which they were seen to, each with
    /// what it did first. Empty where that is the owner alone.
    pub holders: Vec<Owner>,
    /// When the socket sent its SYN again.
    pub syn_retransmits: Vec<u64>,
    /// When it could not, and why.
    pub held_back_syns: Vec<HeldBack>,
    /// When the listener sent a SYN-ACK of the connection again.
    pub syn_ack_retransmits: Vec<u64>,
    /// Each RST that it sent or received.
    pub resets: Vec<Reset>,
    /// The first error that it had to report to its process, an errno.
    pub error: Option<u32>,
    /// Payload bytes that it sent again, by its last change of state.
    pub retransmitted_bytes: u64,
    /// Whether it had an ICMP message to report while it was in SYN_SENT.
    pub icmp_in_syn_sent: bool,
}

/// A segment that this machine did not let out.
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
}

impl Incidents {
    pub(super) const NOTHING: &Self = &Self {
        holders: Vec::new(),
        syn_retransmits: Vec::new(),
        syn_ack_retransmits: Vec::new(),
        held_back_syns: Vec::new(),
        resets: Vec::new(),
        error: None,
        retransmitted_bytes: 0,
        icmp_in_syn_sent: false,
    };
}
