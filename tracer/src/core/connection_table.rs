//! All connections that are open or have just closed: finds the connection of an event, and pairs the
//! two ends of a conversation.

mod captured;
mod ended;
mod eviction;
mod intermediaries;
mod listeners;
mod loss;
mod mptcp;
mod pairing;
mod pending_handshakes;
mod points;
mod preexisting;
mod roles;
mod samples;
mod segments;
mod sockets;
mod tasks;
mod transfers;
mod undecided;

use foldhash::HashMap;
use upload_protocol::{End, OwnerFrom, State};

pub use self::captured::Passed;
use self::{
    captured::CapturedConnections,
    intermediaries::Intermediaries,
    listeners::Listeners,
    mptcp::Mptcp,
    pairing::{Pair, Pairing},
    pending_handshakes::PendingHandshakes,
    samples::Sampling,
    tasks::Tasks,
    transfers::Transfers,
};
use crate::core::{
    address::Address,
    connection::{Closing, Connection, Reset, SubflowOf, View},
    event::{Event, EventKind},
    payload::Transfer,
};

#[derive(Debug, Default)]
pub struct ConnectionTable {
    /// Whether segments are outputs.
    segments: bool,
    connections: HashMap<Key, Box<Connection>>,
    sockets: HashMap<u64, Key>,
    /// The newest connection between two addresses, whatever its network namespace.
    tuples: HashMap<(Address, Address), Key>,
    pairing: Pairing,
    listeners: Listeners,
    pending: PendingHandshakes,
    tasks: Tasks,
    intermediaries: Intermediaries,
    transfers: Transfers,
    mptcp: Mptcp,
    captured: CapturedConnections,
    sampling: Sampling,
    /// Connections with segments that are not settled yet, each once.
    unsettled: Vec<Key>,
    /// Connections with exchanges that are over and were not taken yet.
    finished: Vec<Key>,
    next: u64,
    /// Time of the last applied event.
    now_ns: u64,
    /// When records were last lost.
    lost_ns: Option<u64>,
    /// Whether a connection ever left the table before its end: its later events look like a new one's.
    any_unfinished: bool,
}

/// Names a connection within the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(u64);

#[cfg(all(test, live))]
impl Key {
    pub(crate) const fn new(number: u64) -> Self {
        Self(number)
    }
}

/// The change of state that an event tells of.
#[derive(Clone, Copy, Debug)]
struct Change {
    old: State,
    new: State,
    /// See [`EventKind::State`].
    in_repair: bool,
    /// See [`EventKind::State`].
    again: bool,
}

impl ConnectionTable {
    /// `segments`: whether [`settle`](Self::settle) returns the segments.
    #[must_use]
    pub fn new(segments: bool) -> Self {
        Self {
            segments,
            ..Self::default()
        }
    }

    /// Applies an event. Returns its connection and the end; `None` if the event belongs to no known
    /// connection, or not yet. Takes out of it what is kept.
    //
    // Not by value: a segment's event would be copied twice on the way.
    pub fn apply(&mut self, event: &mut Event<'_>) -> Option<(Key, End)> {
        let mono_ns = event.mono_ns;
        self.now_ns = mono_ns;
        let found = self.apply_to_view(event)?;
        if let Some(connection) = self.connections.get_mut(&found.0) {
            connection.active = true;
            connection.last_ns = mono_ns;
        }
        Some(found)
    }

    fn apply_to_view(&mut self, event: &mut Event<'_>) -> Option<(Key, End)> {
        let (mono_ns, cookie) = (event.mono_ns, event.cookie);
        match &mut event.what {
            &mut EventKind::State {
                old,
                new,
                in_repair,
                again,
                task,
                counters,
                error,
                closing,
                passed,
            } => {
                let addresses = event.addresses?;
                let task = task.map(|task| self.tasks.of_record(&task));
                let change = Change {
                    old,
                    new,
                    in_repair,
                    again,
                };
                let (key, end) = self.socket(cookie, addresses, change);
                let mut view = self.view_mut(key, end)?;
                if view.addresses.local.port() == 0 {
                    self.complete_addresses(key, end, addresses);
                    view = self.view_mut(key, end)?;
                }
                let connects = task.as_ref().filter(|_| new == State::SynSent);
                let connects = connects.map(|task| task.pid);
                if let Some(task) = task {
                    let learned = if new == State::SynSent {
                        OwnerFrom::Connect
                    } else {
                        OwnerFrom::Close
                    };
                    view.learn_owner(task, learned);
                }
                view.record_transition(mono_ns, (old, new), &counters, error);
                view.record_closing(Closing(closing));
                if let Some(passed) = passed {
                    view.passed = Some(Box::new(passed));
                }
                if let Some(process) = connects {
                    self.record_intermediary(process, key, end);
                }
                if (old, new) == (State::SynSent, State::SynRecv) {
                    self.record_simultaneous_open(key);
                }
                Some((key, end))
            }
            EventKind::SynAckRetransmit => {
                let pair = Pair::new(event.addresses?, End::Server);
                let known = self.tuples.get(&(pair.client, pair.server)).copied();
                let connection = known.and_then(|key| self.connections.get_mut(&key));
                match connection {
                    Some(connection) => connection.record_syn_ack_retransmit(mono_ns),
                    None => self.pending.add_syn_ack(pair.client, pair.server, mono_ns),
                }
                None
            }
            EventKind::Segment(segment) => self.segment(cookie, segment),
            &mut EventKind::MoreBytes(more) => self.more_bytes(cookie, more),
            &mut EventKind::Flow(passed) => {
                self.with_view(cookie, |view| view.passed = Some(Box::new(passed)))
            }
            EventKind::Limits(limits) => {
                self.with_view(cookie, |view| view.record_limits(mono_ns, limits))
            }
            EventKind::Sample(sample) => self.sample(cookie, sample),
            &mut EventKind::Relay(relay) => {
                for end in [cookie, relay.read] {
                    let key = self.find(end);
                    if let Some(connection) = key.and_then(|key| self.connections.get_mut(&key)) {
                        connection.dialogue.payload.keep_turns();
                    }
                }
                self.with_view(relay.read, |view| {
                    view.record_relayed(mono_ns, relay, cookie);
                });
                self.with_view(cookie, |view| view.record_relay(mono_ns, relay))
            }
            EventKind::UnixRelay(relay) => {
                let listener = relay.listener.map(|task| self.tasks.of_record(&task));
                self.with_view(cookie, |view| {
                    view.record_passed_on(mono_ns, relay, listener);
                })
            }
            &mut EventKind::UnixBytes { socket, bytes } => {
                self.with_view(cookie, |view| view.record_more_passed_on(socket, bytes))
            }
            &mut EventKind::TimeOut {
                bytes_acked,
                length,
            } => self.with_view(cookie, |view| {
                view.record_time_out(mono_ns, bytes_acked, length);
            }),
            &mut EventKind::Retransmit { state, error } => {
                self.with_view(cookie, |view| match error {
                    0 => view.record_retransmit(mono_ns, state),
                    error => view.record_held_back(mono_ns, state, error),
                })
            }
            &mut EventKind::ResetSent(reason) => self.with_view(cookie, |view| {
                view.record_reset(Reset {
                    mono_ns,
                    sent: true,
                    reason,
                });
            }),
            EventKind::ResetReceived => self.with_view(cookie, |view| {
                view.record_reset(Reset {
                    mono_ns,
                    sent: false,
                    reason: None,
                });
            }),
            &mut EventKind::Error(error) => self.with_view(cookie, |view| view.record_error(error)),
            &mut EventKind::Subflow { first, token } => {
                self.subflow(cookie, SubflowOf { first, token })
            }
            &mut EventKind::Adopted(state, task) => {
                self.adopt(cookie, event.addresses?, state, mono_ns, task)
            }
            &mut EventKind::Held(how, task) => {
                let task = task.map(|task| self.tasks.of_record(&task));
                if let Some(task) = &task {
                    self.mptcp_held(cookie, task, how);
                }
                let process = task.as_ref().map(|task| task.pid);
                let found = self.with_view(cookie, |view| {
                    if let Some(task) = task {
                        view.learn_owner(task, how.into());
                    }
                });
                if let Some(((key, end), process)) = found.zip(process) {
                    self.record_intermediary(process, key, end);
                }
                found
            }
        }
    }

    #[must_use]
    pub fn get(&self, key: Key) -> Option<&Connection> {
        self.connections.get(&key).map(Box::as_ref)
    }

    /// The connection that the socket belongs to.
    #[must_use]
    pub fn find(&self, cookie: u64) -> Option<Key> {
        self.sockets.get(&cookie).copied()
    }

    pub fn remove(&mut self, key: Key) -> Option<Connection> {
        let mut connection = *self.connections.remove(&key)?;
        self.sampling.give_back(&connection);
        if connection.captured.is_some() {
            self.forget_captured(&mut connection);
            return Some(connection);
        }
        for (end, view) in connection.views() {
            if self.sockets.get(&view.cookie) == Some(&key) {
                self.sockets.remove(&view.cookie);
            }
            self.intermediaries.remove(key, view);
            if let Some(mptcp) = view.incidents().mptcp {
                self.mptcp.remove(mptcp.first, view.cookie);
            }
            let pair = Pair::new(view.addresses, end);
            self.pairing.forget(key, &pair);
            let tuple = (pair.client, pair.server);
            if self.tuples.get(&tuple) == Some(&key) {
                self.tuples.remove(&tuple);
            }
        }
        Some(connection)
    }

    /// Takes from a control connection of FTP which data connections it announced.
    pub fn learn_transfers(&mut self, connection: &mut Connection) {
        self.transfers.learn(connection);
    }

    /// What a data connection of FTP serves.
    #[must_use]
    pub fn transfer_of(&self, connection: &Connection) -> Option<&Transfer> {
        self.transfers.of(connection)
    }

    /// The same, for good: the announcement is this connection's.
    pub fn claim_transfer(&mut self, connection: &Connection) -> Option<Transfer> {
        self.transfers.claim(connection)
    }

    /// All connections, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (Key, &Connection)> {
        let connections = self.connections.iter();
        connections.map(|(key, connection)| (*key, &**connection))
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.connections.is_empty()
    }

    /// The `count` oldest connections in the table, the oldest first.
    #[must_use]
    pub fn oldest(&self, count: usize) -> Vec<Key> {
        let mut keys: Vec<Key> = self.connections.keys().copied().collect();
        if count < keys.len() {
            keys.select_nth_unstable(count);
            keys.truncate(count);
        }
        keys.sort_unstable();
        keys
    }

    fn with_view(&mut self, cookie: u64, act: impl FnOnce(&mut View)) -> Option<(Key, End)> {
        let key = self.find(cookie)?;
        let connection = self.connections.get_mut(&key)?;
        let end = connection.end_of(cookie)?;
        act(connection.view_mut(end).as_deref_mut()?);
        Some((key, end))
    }

    fn view_mut(&mut self, key: Key, end: End) -> Option<&mut View> {
        self.connections.get_mut(&key)?.view_mut(end).as_deref_mut()
    }
}
