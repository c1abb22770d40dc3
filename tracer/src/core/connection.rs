//! One conversation: what each of its two sockets went through, as far as it was seen. Facts only;
//! what they mean is the [`timeline`](upload_protocol::timeline)'s business.

mod closing;
mod incidents;
mod owner;
mod transition;
mod view;

use upload_protocol::{AcceptQueue, ConnectionId, End, RolesFrom};

pub use self::{
    incidents::{HeldBack, Incidents, Reset},
    owner::{Owner, Task},
    transition::{Counted, Opened, Transition},
    view::View,
};
use crate::core::dialogue::Dialogue;

/// A TCP connection as this machine saw it.
#[derive(Clone, Debug, PartialEq)]
pub struct Connection {
    /// What it is called in every output.
    pub id: ConnectionId,
    /// The client's socket, if it is on this machine.
    pub client: Option<Box<View>>,
    /// The server's socket, if it is on this machine.
    pub server: Option<Box<View>>,
    /// Whether anything was seen to happen on it, rather than that it was there.
    pub active: bool,
    /// The listener's accept queue whenever a SYN came.
    pub accept_queue: Option<AcceptQueues>,
    /// How it is known which end is the client.
    pub roles_from: RolesFrom,
    /// Its segments.
    pub dialogue: Dialogue,
    /// Records lost while the connection was open, of whichever connection: an upper bound.
    pub lost: u64,
    /// Whether nothing is certain to have been lost.
    pub lost_at_most: bool,
    /// Whether anything had been lost, or dropped, before it was first seen.
    pub after_loss: bool,
    /// Whether the machine was suspended meanwhile.
    pub suspended: bool,
    /// When anything was last seen of it, CLOCK_MONOTONIC.
    pub last_ns: u64,
    /// Why it is told without its end.
    pub unfinished: Option<Unfinished>,
}

/// Why a connection is told without its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfinished {
    /// There were too many connections, and it had been idle for the longest time.
    Evicted,
    /// Its sockets are gone; the record of that was lost.
    Gone,
}

/// A listener's accept queue whenever a SYN of one connection came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AcceptQueues {
    /// The queue when the most connections waited.
    pub longest: AcceptQueue,
    /// Whether it was full each time.
    pub always_full: bool,
}

impl Connection {
    /// A connection of which nothing is known but what it is called.
    #[must_use]
    pub fn new(id: ConnectionId) -> Self {
        Self {
            id,
            client: None,
            server: None,
            active: false,
            accept_queue: None,
            roles_from: RolesFrom::Ports,
            dialogue: Dialogue::default(),
            lost: 0,
            lost_at_most: false,
            after_loss: false,
            suspended: false,
            last_ns: 0,
            unfinished: None,
        }
    }

    /// Counts lost records against it; `at_most` where it may have been fewer.
    pub(crate) const fn record_loss(&mut self, count: u64, at_most: bool) {
        self.lost_at_most = at_most && (self.lost == 0 || self.lost_at_most);
        self.lost = self.lost.saturating_add(count);
    }

    /// Notes that the listener sent the SYN-ACK again.
    pub(crate) fn record_syn_ack_retransmit(&mut self, mono_ns: u64) {
        if let Some(view) = self.client.as_mut().or(self.server.as_mut()) {
            view.record_syn_ack_retransmit(mono_ns);
        }
    }

    /// Notes how full the accept queue was when a SYN came.
    pub(crate) fn record_accept_queue(&mut self, queue: AcceptQueue) {
        let known = self.accept_queue.get_or_insert(AcceptQueues {
            longest: queue,
            always_full: true,
        });
        if queue.waiting >= known.longest.waiting {
            known.longest = queue;
        }
        known.always_full &= queue.is_full();
    }

    /// The view of one end.
    #[must_use]
    pub fn view(&self, end: End) -> Option<&View> {
        match end {
            End::Client => self.client.as_deref(),
            End::Server => self.server.as_deref(),
        }
    }

    /// The end that has this socket.
    #[must_use]
    pub fn end_of(&self, cookie: u64) -> Option<End> {
        let (end, _) = self.views().find(|(_, view)| view.cookie == cookie)?;
        Some(end)
    }

    pub(crate) const fn view_mut(&mut self, end: End) -> &mut Option<Box<View>> {
        match end {
            End::Client => &mut self.client,
            End::Server => &mut self.server,
        }
    }

    /// The ends that were seen, the client first.
    pub fn views(&self) -> impl Iterator<Item = (End, &View)> {
        [End::Client, End::Server]
            .into_iter()
            .filter_map(|end| self.view(end).map(|view| (end, view)))
    }

    /// When the first record of it was made, or when it was found.
    #[must_use]
    pub fn first_ns(&self) -> Option<u64> {
        let first = |view: &View| view.transitions.first().map(|first| first.mono_ns);
        self.views()
            .filter_map(|(_, view)| view.found_ns.or_else(|| first(view)))
            .min()
    }

    /// Whether every end that was seen is closed, and when the last of them was.
    #[must_use]
    pub fn closed_ns(&self) -> Option<u64> {
        let mut latest = None;
        for (_, view) in self.views() {
            if !view.is_closed() {
                return None;
            }
            latest = latest.max(view.last().map(|last| last.mono_ns));
        }
        latest
    }
}

#[cfg(test)]
mod tests;
