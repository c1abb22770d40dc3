//! Where a capture was taken: the handshake shows how far each end is.

use upload_protocol::{End, Flags};

use crate::core::dialogue::Milestone;

/// A round trip to an end, and what it adds to the order of events, is not seen below this.
pub(super) const NEAR_NS: u64 = 1_000_000;

/// The round trips from where a capture was taken to each end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vantage {
    client_ns: u64,
    server_ns: u64,
}

impl Vantage {
    /// By the handshake: from SYN to SYN-ACK it is to the server and back, from SYN-ACK to ACK to the client and
    /// back. `None` unless each was seen.
    #[must_use]
    pub fn of(steps: &[Milestone]) -> Option<Self> {
        let ack = Flags::ACK;
        let is_third = |step: &Milestone| {
            step.from == End::Client && step.flags.has(ack) && !step.flags.has(Flags::SYN)
        };
        let third = steps.iter().position(is_third)?;
        let before = &steps[..third];
        let syn_ack = before.iter().rposition(|step| {
            step.from == End::Server && step.flags.has(Flags::SYN | Flags::ACK)
        })?;
        let syn = before[..syn_ack]
            .iter()
            .rfind(|step| step.from == End::Client && step.flags.has(Flags::SYN))?;
        let between = |from: &Milestone, to: &Milestone| to.mono_ns.saturating_sub(from.mono_ns);
        Some(Self {
            client_ns: between(&before[syn_ack], &steps[third]),
            server_ns: between(syn, &before[syn_ack]),
        })
    }

    /// The end that it is near.
    #[must_use]
    pub const fn end(self) -> End {
        if self.client_ns <= self.server_ns || self.client_ns <= NEAR_NS {
            End::Client
        } else {
            End::Server
        }
    }

    /// Whether it is near this one. In a small network it is near both.
    #[must_use]
    pub fn is_near(self, end: End) -> bool {
        self.end() == end || self.to(end) <= NEAR_NS
    }

    /// How much later than an end it sees what arrives there, and so how much earlier what that causes.
    pub(super) const fn to(self, end: End) -> u64 {
        match end {
            End::Client => self.client_ns,
            End::Server => self.server_ns,
        }
    }

    /// The handshake's round-trip time.
    #[must_use]
    pub const fn rtt_ns(self) -> u64 {
        self.client_ns.saturating_add(self.server_ns)
    }
}
