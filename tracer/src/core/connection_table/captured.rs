//! The connections of a capture: found by their number, opened by their first segment, and given the states
//! that their segments show.

use foldhash::HashMap;
use tracer_ebpf::record::{EGRESS, INGRESS};
use upload_protocol::{ConnectionId, End, Flags, RolesFrom, State};

use super::{
    ConnectionTable, Key,
    ended::{Ended, EndedConnections},
    points::AllCrossings,
    undecided::{Undecided, client_by, client_by_ports},
};
use crate::core::{
    address::Address,
    connection::{Captured, Connection, Reset, Vantage, View},
    dialogue::{Dialogue, RelativeSegment},
    event::Addresses,
    packet::{Change, Changes, fingerprint},
    points::Pair,
    segment::Segment,
    timeline::has_upload,
};

/// Payload that waits for the holes before it, of all connections together.
const MAX_HELD_BYTES: usize = 64 << 20;

/// The connections of a capture.
#[derive(Debug, Default)]
pub(super) struct CapturedConnections {
    pub(super) keys: HashMap<ConnectionId, Key>,
    ended: EndedConnections,
    held_bytes: usize,
    pub(super) crossings: AllCrossings,
    pub(super) undecided: Undecided,
}

/// A captured segment in its connection.
#[derive(Debug)]
pub struct Passed {
    /// `None` if the connection was emitted already.
    pub key: Option<Key>,
    pub segment: RelativeSegment,
    /// The changes of state that it shows.
    pub changes: Changes,
    /// Whether both ends are closed.
    pub is_closed: bool,
}

impl ConnectionTable {
    /// Takes a segment of the conversation with this name. Appends it to `passed`, or those that waited for it;
    /// none if it is held.
    pub fn pass(&mut self, id: ConnectionId, segment: Segment<&[u8]>, passed: &mut Vec<Passed>) {
        self.pass_of((id, None), segment, passed);
    }

    /// The same of a conversation that may be in two captures.
    pub(super) fn pass_of(
        &mut self,
        (id, pair): (ConnectionId, Option<&Pair>),
        mut segment: Segment<&[u8]>,
        passed: &mut Vec<Passed>,
    ) {
        self.now_ns = segment.mono_ns;
        let known = self.captured.keys.get(&id).copied();
        if known.is_none()
            && let Some(ended) = self.captured.ended.find(id)
        {
            let from = sender(&segment, ended.client);
            passed.push(Passed {
                key: None,
                segment: ended
                    .dialogue
                    .pass(from, segment.keep(self.segments), self.segments),
                changes: Changes::new(),
                is_closed: true,
            });
            return;
        }
        let key = known.unwrap_or_else(|| self.open_captured((id, pair), &segment));
        let Some(connection) = self.connections.get_mut(&key) else {
            return;
        };
        // A capture merged of two may go back in time: the order is the file's.
        segment.mono_ns = segment.mono_ns.max(connection.last_ns);
        connection.last_ns = segment.mono_ns;
        if self.captured.undecided.has(key) {
            self.hold(key, segment, passed);
        } else {
            passed.extend(self.pass_decided(key, segment));
        }
    }

    /// Takes a segment of a connection whose client is known, or taken to be.
    pub(super) fn pass_decided(&mut self, key: Key, mut segment: Segment<&[u8]>) -> Option<Passed> {
        let connection = self.connections.get_mut(&key)?;
        let from = sender(&segment, connection.captured.as_deref()?.client);
        self.now_ns = segment.mono_ns;
        let before = connection.dialogue.held_bytes();
        let changes = connection.prepare_captured(from, &mut segment);
        let relative = connection
            .dialogue
            .pass(from, segment.keep(self.segments), self.segments);
        connection.record_captured(from, &relative);
        connection.estimate(from, &relative);
        self.sampling.segment(connection, &relative);
        connection.apply_changes(from, &changes, self.now_ns);
        self.captured.held_bytes =
            (self.captured.held_bytes + connection.dialogue.held_bytes()).saturating_sub(before);
        if self.captured.held_bytes > MAX_HELD_BYTES {
            self.captured.held_bytes -= connection.dialogue.held_bytes();
            connection.dialogue.flush();
        }
        self.transfers.learn(connection);
        let payload = &mut connection.dialogue.payload;
        if payload.has_finished() || payload.take_answered() && has_upload(payload) {
            self.finished.push(key);
        }
        Some(Passed {
            key: Some(key),
            segment: relative,
            changes,
            is_closed: connection.closed_ns().is_some(),
        })
    }

    /// The connection with this name, unless it was emitted.
    #[must_use]
    pub fn find_captured(&self, id: ConnectionId) -> Option<Key> {
        self.captured.keys.get(&id).copied()
    }

    /// Takes out a connection that leaves the table. What follows it keeps its numbers.
    pub(super) fn forget_captured(&mut self, connection: &mut Connection) {
        self.captured.held_bytes = self
            .captured
            .held_bytes
            .saturating_sub(connection.dialogue.held_bytes());
        connection.dialogue.flush();
        connection.end_estimates(connection.last_ns);
        let Some(captured) = &connection.captured else {
            return;
        };
        self.captured.keys.remove(&connection.id);
        let ended = Ended {
            client: captured.client,
            dialogue: connection.dialogue.numbers_alone(),
        };
        self.captured.ended.insert(connection.id, ended);
    }

    fn open_captured(
        &mut self,
        (id, pair): (ConnectionId, Option<&Pair>),
        first: &Segment<&[u8]>,
    ) -> Key {
        self.next += 1;
        let key = Key(self.next);
        let shown = client_by(first);
        if shown.is_none() {
            self.captured.undecided.begin(key, first.mono_ns);
        }
        let (client, roles_from) = shown.unwrap_or_else(|| client_by_ports(first));
        let mut connection = Connection::new(id);
        let server = if client == first.source {
            first.destination
        } else {
            first.source
        };
        connection.roles_from = roles_from;
        connection.active = true;
        connection.after_loss = pair.is_none() && self.captured.ended.is_resumed(id);
        connection.dialogue = Dialogue::captured();
        let mut captured = Captured::new(client, server);
        captured.at_ends = pair.map(|pair| {
            [pair.near(client), pair.near(server)]
                .map(|point| (pair.seen_at(point, client), pair.seen_at(point, server)))
        });
        connection.captured = Some(Box::new(captured));
        self.connections.insert(key, Box::new(connection));
        self.captured.keys.insert(id, key);
        key
    }
}

fn sender<Packet>(segment: &Segment<Packet>, client: Address) -> End {
    if segment.source == client {
        End::Client
    } else {
        End::Server
    }
}

impl Connection {
    /// Completes a segment by what precedes it; returns the changes of state that it shows.
    fn prepare_captured(&mut self, from: End, segment: &mut Segment<&[u8]>) -> Changes {
        self.last_ns = self.last_ns.max(segment.mono_ns);
        let Some(captured) = &mut self.captured else {
            return Changes::new();
        };
        segment.is_duplicate = fingerprint(segment)
            .is_some_and(|mark| captured.is_duplicate(from, mark, segment.mono_ns));
        if segment.is_duplicate {
            return Changes::new();
        }
        if segment.len > 0 {
            segment.turned_ns = captured.turned_ns(from);
        }
        segment.before_bytes = captured.furthest(from);
        if segment.flags.has(Flags::SYN) {
            captured.record_syn(from, &segment.options);
        }
        captured.record_segment(
            from,
            segment.flags.has(Flags::ACK) && !segment.flags.has(Flags::RST),
        );
        let is_active = segment.flags.has(Flags::SYN) && !segment.flags.has(Flags::ACK);
        if is_active && from == End::Server {
            self.roles_from = RolesFrom::Simultaneous;
        }
        captured.states.advance(from, segment)
    }

    /// Records what a segment is in the light of those before it.
    fn record_captured(&mut self, from: End, segment: &RelativeSegment) {
        let (len, mono_ns) = (segment.payload_len(), segment.mono_ns());
        let again = segment.is_retransmission();
        if segment.is_duplicate() {
            return;
        }
        let Some(captured) = &mut self.captured else {
            return;
        };
        captured.has_holes |= segment.acknowledges_unseen();
        if len > 0 {
            let end = segment.payload_end(captured.furthest(from));
            captured.record_payload(from, end, mono_ns);
        }
        if again {
            captured.record_retransmission(from, len);
        }
        if again && let Some(view) = self.view_mut(from) {
            let state = view.last().map_or(State::Established, |last| last.new);
            view.record_retransmit(mono_ns, state);
        }
    }

    /// Takes what a segment shows of what held its sender back.
    fn estimate(&mut self, from: End, segment: &RelativeSegment) {
        let Some(seen) = segment.seen().filter(|_| !segment.is_duplicate()) else {
            return;
        };
        let Some(mut captured) = self.captured.take() else {
            return;
        };
        if seen.len > 0 {
            for (end, direction) in [(from, EGRESS), (from.other(), INGRESS)] {
                if let Some(view) = self.view_mut(end) {
                    view.record_passed(direction, seen.len, seen.mono_ns);
                }
            }
            captured.estimate(from, || Vantage::of(&self.dialogue.steps));
        }
        if let Some(number) = seen.ack {
            captured.record_acknowledged(from.other(), number);
        }
        let mut due = [None; 2];
        for (estimate, due) in captured.estimates_mut().zip(&mut due) {
            let shown = estimate.observe(&seen);
            *due = shown.is_due.then(|| estimate.end());
            if let (Some(time_out), Some(view)) = (shown.time_out, self.view_mut(from)) {
                view.record_time_out(seen.mono_ns, time_out.acked.into(), time_out.len);
            }
        }
        self.record_samples(&mut captured, due, seen.mono_ns);
        self.captured = Some(captured);
    }

    /// Takes the last of what held each end back.
    fn end_estimates(&mut self, mono_ns: u64) {
        let Some(mut captured) = self.captured.take() else {
            return;
        };
        let mut due = [None; 2];
        for (estimate, due) in captured.estimates_mut().zip(&mut due) {
            *due = estimate.is_due_at_end(mono_ns).then(|| estimate.end());
        }
        self.record_samples(&mut captured, due, mono_ns);
        self.captured = Some(captured);
    }

    fn record_samples(&mut self, captured: &mut Captured, due: [Option<End>; 2], mono_ns: u64) {
        for end in [End::Client, End::Server] {
            if let Some(view) = self
                .view_mut(end)
                .as_deref_mut()
                .filter(|_| due.contains(&Some(end)))
            {
                view.record_limits(mono_ns, &captured.sample(end, mono_ns));
            }
        }
    }

    /// Applies changes of state, and opens the view of an end that is known now.
    fn apply_changes(&mut self, from: End, changes: &Changes, mono_ns: u64) {
        let Some(mut captured) = self.captured.take() else {
            return;
        };
        for end in [End::Client, End::Server] {
            if !captured.states.is_known(end) {
                continue;
            }
            if self.view(end).is_none() {
                let mut view = View::new(0, captured.addresses(end));
                let begins = changes
                    .iter()
                    .any(|change| change.end == end && change.old != State::Established);
                view.found_ns = (!begins).then_some(mono_ns);
                *self.view_mut(end) = Some(Box::new(view));
            }
        }
        for change in changes {
            self.apply_change(from, *change, &captured, mono_ns);
        }
        self.captured = Some(captured);
    }

    fn apply_change(&mut self, from: End, change: Change, captured: &Captured, mono_ns: u64) {
        let Change { end, old, new } = change;
        let is_reset = new == State::Close && captured.states.were_reset();
        let fin = u64::from(self.has_received_fin(end, new, is_reset));
        let received = self.dialogue.received_bytes(end.other()) + fin;
        let counters = captured.counters(end, received);
        let Some(view) = self.view_mut(end) else {
            return;
        };
        view.record_transition(mono_ns, (old, new), &counters, 0);
        if !captured.saw_both_syns() {
            view.opened = None;
        }
        if is_reset {
            view.record_reset(Reset {
                mono_ns,
                sent: end == from,
                reason: None,
            });
        }
    }

    /// Whether the end had received its peer's FIN when it entered a state.
    fn has_received_fin(&self, end: End, new: State, is_reset: bool) -> bool {
        let received = |state| matches!(state, State::CloseWait | State::Closing | State::LastAck);
        let before = self.view(end).and_then(View::last);
        received(new)
            || before.is_some_and(|last| {
                received(last.new)
                    || last.new == State::FinWait2 && new == State::Close && !is_reset
            })
    }
}

impl Captured {
    fn addresses(&self, end: End) -> Addresses {
        let [at_client, at_server] = self.at_ends.unwrap_or([(self.client, self.server); 2]);
        let (local, remote) = match end {
            End::Client => at_client,
            End::Server => (at_server.1, at_server.0),
        };
        Addresses {
            local,
            remote,
            netns: 0,
        }
    }
}
