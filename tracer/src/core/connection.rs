//! One connection: the observed facts about its two sockets. [`timeline`](upload_protocol::timeline)
//! interprets them.

mod captured;
mod cause;
mod closing;
mod estimate;
mod incidents;
mod limits;
mod owner;
mod passed_on;
mod relays;
mod samples;
mod stall;
mod transition;
mod view;

use upload_protocol::{AcceptQueue, ConnectionId, End, RolesFrom};

pub use self::{
    captured::Captured,
    cause::Ended,
    estimate::{Estimate, Vantage},
    incidents::{HeldBack, Incidents, IncidentsLeftOut, Reset, SubflowOf},
    limits::{Latest, LimitLog, Stretch, Times},
    owner::{Owner, Task},
    passed_on::{OnUnix, PassedOn},
    relays::Relays,
    samples::{Room, Samples, SegmentCourse, Thinned},
    stall::{Stall, Stalls},
    transition::{Closing, Counted, Opened, Transition},
    view::View,
};
use crate::core::dialogue::Dialogue;

/// A TCP connection as this machine saw it.
#[derive(Clone, Debug, PartialEq)]
pub struct Connection {
    /// Its name in every output.
    pub id: ConnectionId,
    /// The client's socket, if it is on this machine.
    pub client: Option<Box<View>>,
    /// The server's socket, if it is on this machine.
    pub server: Option<Box<View>>,
    /// Whether an event was seen; else the connection is only known to exist.
    pub active: bool,
    /// The listener's accept queue when SYNs came.
    pub accept_queue: Option<AcceptQueues>,
    /// How it is known which end is the client.
    pub roles_from: RolesFrom,
    pub dialogue: Dialogue,
    /// Records lost while it was open, of any connection: an upper bound.
    pub lost: u64,
    /// Whether possibly nothing was lost.
    pub lost_at_most: bool,
    /// Whether records were lost, or connections dropped, before it was first seen.
    pub after_loss: bool,
    /// Whether the machine was suspended while it was open.
    pub suspended: bool,
    /// Time of its last event, CLOCK_MONOTONIC.
    pub last_ns: u64,
    /// Why it is emitted without its end.
    pub unfinished: Option<Unfinished>,
    /// How many of its requests were reported, if they carried uploads, before its end.
    pub requests_reported: u32,
    /// What a capture's segments show of it; `None` if the kernel reports it.
    pub captured: Option<Box<Captured>>,
    /// How its payload went; `None` where no output shows that, or nothing is known of it.
    pub samples: Option<Box<Samples>>,
}

/// Why a connection is emitted without its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfinished {
    /// There were too many connections, and this was the idlest.
    Evicted,
    /// Its sockets are gone, and the record of their end was lost.
    Gone,
}

/// A listener's accept queue when the SYNs of one connection came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AcceptQueues {
    /// The queue when the most connections waited.
    pub longest: AcceptQueue,
    /// Whether it was full each time.
    pub always_full: bool,
}

impl Connection {
    /// A connection of which only the name is known.
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
            requests_reported: 0,
            captured: None,
            samples: None,
        }
    }

    /// Counts lost records against it; `at_most`: there may have been fewer.
    pub(crate) const fn record_loss(&mut self, count: u64, at_most: bool) {
        self.lost_at_most = at_most && (self.lost == 0 || self.lost_at_most);
        self.lost = self.lost.saturating_add(count);
    }

    pub(crate) fn record_syn_ack_retransmit(&mut self, mono_ns: u64) {
        if let Some(view) = self.client.as_mut().or(self.server.as_mut()) {
            view.record_syn_ack_retransmit(mono_ns);
        }
    }

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

    #[must_use]
    pub fn view(&self, end: End) -> Option<&View> {
        match end {
            End::Client => self.client.as_deref(),
            End::Server => self.server.as_deref(),
        }
    }

    /// Whether one socket is both ends. Then it is the client's view.
    #[must_use]
    pub fn is_its_own_peer(&self) -> bool {
        self.client.as_deref().is_some_and(View::is_its_own_peer)
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

    /// The observed ends, the client first.
    pub fn views(&self) -> impl Iterator<Item = (End, &View)> {
        [End::Client, End::Server]
            .into_iter()
            .filter_map(|end| self.view(end).map(|view| (end, view)))
    }

    /// Time of its first record, or when it was found. A server's socket comes after its SYN.
    #[must_use]
    pub fn first_ns(&self) -> Option<u64> {
        let first = |view: &View| view.transitions.first().map(|first| first.mono_ns);
        let views = self
            .views()
            .filter_map(|(_, view)| view.found_ns.or_else(|| first(view)));
        let segment = self.dialogue.steps.first().map(|first| first.mono_ns);
        Some(views.min()?.min(segment.unwrap_or(u64::MAX)))
    }

    /// When the last observed end closed; `None` if one is open.
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
