//! The TCP states of both ends, inferred from the segments between them (RFC 9293, section 3.3.2). A segment
//! shows what its sender had received, and the acknowledgment of one what its receiver has.

use smallvec::SmallVec;
use upload_protocol::{End, Flags, State};

use crate::core::segment::Segment;

/// A change of state that a segment shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    pub end: End,
    pub old: State,
    pub new: State,
}

/// The states of a conversation's two ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct States {
    client: OneEnd,
    server: OneEnd,
    reset: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct OneEnd {
    /// `None` before its first segment.
    state: Option<State>,
    /// The sequence number after its FIN.
    after_fin: Option<u32>,
}

/// A segment changes at most as many states: a third ACK with a FIN opens two ends and closes one.
pub type Changes = SmallVec<[Change; 4]>;

impl States {
    /// The changes that a segment shows.
    pub fn advance(&mut self, from: End, segment: &Segment<&[u8]>) -> Changes {
        let mut changes = Changes::new();
        let flags = segment.flags;
        if flags.has(Flags::RST) {
            self.reset(&mut changes);
            return changes;
        }
        if flags.has(Flags::SYN) {
            self.open(from, flags.has(Flags::ACK), &mut changes);
        } else if segment.len > 0 || !self.may_answer_badly(from) {
            self.establish(&mut changes);
        }
        if flags.has(Flags::ACK) {
            self.acknowledge(from, segment.ack, &mut changes);
        }
        if flags.has(Flags::FIN) {
            let after = segment.seq.wrapping_add(segment.sequence_length());
            self.close(from, after, &mut changes);
        }
        changes
    }

    /// Whether anything is known of the end.
    pub const fn is_known(&mut self, end: End) -> bool {
        self.of(end).state.is_some()
    }

    /// Whether a RST ended it.
    #[must_use]
    pub const fn were_reset(&self) -> bool {
        self.reset
    }

    const fn of(&mut self, end: End) -> &mut OneEnd {
        match end {
            End::Client => &mut self.client,
            End::Server => &mut self.server,
        }
    }

    /// Takes a SYN: the first segment of an end, or that segment again.
    fn open(&mut self, from: End, has_ack: bool, changes: &mut Changes) {
        let new = match (self.of(from).state, has_ack) {
            (None, false) => State::SynSent,
            (None | Some(State::SynSent), true) => State::SynRecv,
            _ => return,
        };
        self.enter(from, new, changes);
    }

    /// Whether a segment without payload may come from an end that knows nothing of the connection: an
    /// acknowledgment that answers a SYN, instead of a SYN-ACK (RFC 9293, section 3.5.1).
    const fn may_answer_badly(&mut self, from: End) -> bool {
        let opens = matches!(self.of(from.other()).state, Some(State::SynSent));
        opens && matches!(self.of(from).state, None | Some(State::SynRecv))
    }

    /// Takes a segment that follows the handshake: both ends have opened.
    fn establish(&mut self, changes: &mut Changes) {
        for end in [End::Client, End::Server] {
            let state = self.of(end).state;
            if matches!(state, None | Some(State::SynSent | State::SynRecv)) {
                self.enter(end, State::Established, changes);
            }
        }
    }

    /// Takes a RST. Without a segment before it, both ends were open.
    fn reset(&mut self, changes: &mut Changes) {
        if self.client.state.is_none() && self.server.state.is_none() {
            self.establish(changes);
        }
        for end in [End::Client, End::Server] {
            if self.of(end).state.is_some_and(|now| now != State::Close) {
                self.reset = true;
                self.enter(end, State::Close, changes);
            }
        }
    }

    /// Takes an acknowledgment, which may be of the peer's FIN.
    fn acknowledge(&mut self, from: End, ack: u32, changes: &mut Changes) {
        let peer = from.other();
        let is_of_fin = |after: u32| ack.wrapping_sub(after).cast_signed() >= 0;
        if !self.of(peer).after_fin.is_some_and(is_of_fin) {
            return;
        }
        let received = match self.of(from).state {
            Some(State::Established) => Some(State::CloseWait),
            Some(State::FinWait1) => Some(State::Closing),
            // TIME_WAIT: the kernel reports it as CLOSE.
            Some(State::FinWait2) => Some(State::Close),
            _ => None,
        };
        if let Some(state) = received {
            self.enter(from, state, changes);
        }
        let acknowledged = match self.of(peer).state {
            Some(State::FinWait1) => Some(State::FinWait2),
            Some(State::LastAck | State::Closing) => Some(State::Close),
            _ => None,
        };
        if let Some(state) = acknowledged {
            self.enter(peer, state, changes);
        }
    }

    /// Takes a FIN; `after` is the sequence number after it.
    fn close(&mut self, from: End, after: u32, changes: &mut Changes) {
        let new = match self.of(from).state {
            Some(State::Established | State::SynRecv) => State::FinWait1,
            Some(State::CloseWait) => State::LastAck,
            _ => return,
        };
        self.of(from).after_fin = Some(after);
        self.enter(from, new, changes);
    }

    fn enter(&mut self, end: End, new: State, changes: &mut Changes) {
        let before = self.of(end).state.replace(new);
        let old = before.unwrap_or(match new {
            State::SynSent => State::Close,
            State::SynRecv => State::Listen,
            _ => State::Established,
        });
        if old != new {
            changes.push(Change { end, old, new });
        }
    }
}

#[cfg(test)]
mod tests;
