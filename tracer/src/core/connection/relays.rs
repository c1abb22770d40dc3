//! From which sockets a thread had read before it acted on this one: what a proxy passes on.

use std::collections::VecDeque;

use crate::core::event::Relay;

/// A proxy's connection to its server may carry any number of requests. Of more than these, the oldest are
/// forgotten: an upload is joined soon after its response.
const MAX_RELAYS: usize = 256;

/// What was passed on, in order of time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Relays(VecDeque<(u64, Relay)>);

impl Relays {
    pub(super) const NONE: Self = Self(VecDeque::new());

    pub(crate) fn record(&mut self, mono_ns: u64, relay: Relay) {
        if self.0.len() == MAX_RELAYS {
            self.0.pop_front();
        }
        self.0.push_back((mono_ns, relay));
    }

    /// About how many bytes they take.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.0.capacity() * size_of::<(u64, Relay)>()
    }

    /// Those from `from_ns` to `to_ns`, CLOCK_MONOTONIC, with their times.
    pub fn between(&self, from_ns: u64, to_ns: u64) -> impl Iterator<Item = (u64, Relay)> {
        let all = self.0.iter().copied();
        all.filter(move |(at, _)| (from_ns..=to_ns).contains(at))
    }

    /// The one that connected the socket.
    #[must_use]
    pub fn connecting(&self) -> Option<(u64, Relay)> {
        self.0.iter().copied().find(|(_, relay)| relay.connects)
    }
}
