//! All connections that are open or were closed a moment ago: finds the one that an event belongs
//! to, and pairs the two ends of a conversation.

use std::{
    collections::{HashMap, VecDeque},
    net::SocketAddr,
};

use crate::{
    connection::{Connection, End, Learned, Reset, Transition, View},
    event::{Addresses, Event, State, What},
};

/// See the module.
#[derive(Debug, Default)]
pub struct ConnectionTable {
    connections: HashMap<Key, Connection>,
    sockets: HashMap<u64, (Key, End)>,
    /// Connections of which one end was seen, by addresses.
    unpaired: HashMap<Pair, Key>,
    /// SYN-ACKs sent again before the connection has a socket on the server's side.
    syn_acks: VecDeque<(Pair, u64)>,
    next: u64,
}

/// Names a connection within the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(u64);

/// The 4-tuple as both ends agree on it. Loopback addresses are valid within their network
/// namespace only; others may be the same conversation seen from two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Pair {
    client: SocketAddr,
    server: SocketAddr,
    netns: u32,
}

/// A listener under attack retransmits without end; the oldest are forgotten.
const MOST_SYN_ACKS: usize = 4096;

impl Pair {
    fn new(addresses: Addresses, end: End) -> Self {
        let (client, server) = match end {
            End::Client => (addresses.local, addresses.remote),
            End::Server => (addresses.remote, addresses.local),
        };
        let netns = if client.ip().is_loopback() || server.ip().is_loopback() {
            addresses.netns
        } else {
            0
        };
        Self {
            client,
            server,
            netns,
        }
    }
}

impl ConnectionTable {
    /// Applies an event; gives the connection it belongs to, and the end. `None` for an event of a
    /// connection whose states are not traced.
    pub fn apply(&mut self, event: Event) -> Option<(Key, End)> {
        match event.what {
            What::State {
                old,
                new,
                task,
                counters,
                error,
            } => {
                let transition = Transition {
                    mono_ns: event.mono_ns,
                    old,
                    new,
                    counters,
                    error,
                };
                let (key, end) = self.socket(event.cookie, event.addresses, old, new);
                self.complete_addresses(key, end, event.addresses);
                let view = self.view_mut(key, end)?;
                if let Some(task) = task {
                    let learned = if new == State::SynSent {
                        Learned::Connect
                    } else {
                        Learned::Close
                    };
                    view.learn_owner(task, learned);
                }
                view.transitions.push(transition);
                Some((key, end))
            }
            What::SynAckRetransmit => {
                self.note_syn_ack(Pair::new(event.addresses, End::Server), event.mono_ns);
                None
            }
            What::Retransmit { state, .. } => self.with_view(event.cookie, |view| {
                view.note_retransmit(event.mono_ns, state);
            }),
            What::ResetSent | What::ResetReceived => {
                let reset = Reset {
                    mono_ns: event.mono_ns,
                    sent: event.what == What::ResetSent,
                };
                self.with_view(event.cookie, |view| view.note_reset(reset))
            }
            What::Read(task) => self.with_view(event.cookie, |view| {
                if let Some(task) = task {
                    view.learn_owner(task, Learned::Read);
                }
            }),
        }
    }

    /// The connection called `key`.
    #[must_use]
    pub fn get(&self, key: Key) -> Option<&Connection> {
        self.connections.get(&key)
    }

    /// The connection that the socket belongs to.
    #[must_use]
    pub fn find(&self, cookie: u64) -> Option<Key> {
        self.sockets.get(&cookie).map(|(key, _)| *key)
    }

    /// Takes a connection out.
    pub fn remove(&mut self, key: Key) -> Option<Connection> {
        let connection = self.connections.remove(&key)?;
        for (end, view) in connection.views() {
            if self.sockets.get(&view.cookie).is_some_and(|at| at.0 == key) {
                self.sockets.remove(&view.cookie);
            }
            let pair = Pair::new(view.addresses, end);
            if self.unpaired.get(&pair) == Some(&key) {
                self.unpaired.remove(&pair);
            }
        }
        Some(connection)
    }

    /// Every connection in the table, the oldest first.
    #[must_use]
    pub fn keys(&self) -> Vec<Key> {
        let mut keys: Vec<Key> = self.connections.keys().copied().collect();
        keys.sort_unstable();
        keys
    }

    /// Counts `count` lost records against every connection in the table.
    pub fn note_lost(&mut self, count: u64) {
        for connection in self.connections.values_mut() {
            connection.lost += count;
        }
    }

    /// The connection and end of a socket; a new connection where the socket is new and no other
    /// end waits for it.
    fn socket(&mut self, cookie: u64, addresses: Addresses, old: State, new: State) -> (Key, End) {
        let reborn = old == State::Close && new == State::SynSent;
        if !reborn && let Some(known) = self.sockets.get(&cookie) {
            return *known;
        }
        let end = role(addresses, old, new);
        let pair = Pair::new(addresses, end);
        let waiting = self.unpaired.get(&pair).copied().filter(|key| {
            self.connections
                .get(key)
                .is_some_and(|connection| connection.view(end).is_none())
        });
        let key = match waiting {
            Some(key) => {
                self.unpaired.remove(&pair);
                key
            }
            None => self.open(cookie, addresses, pair),
        };
        self.sockets.insert(cookie, (key, end));
        let syn_acks = self.take_syn_acks(pair);
        if let Some(connection) = self.connections.get_mut(&key) {
            *connection.view_mut(end) = Some(View::new(cookie, addresses));
            connection.syn_ack_retransmits.extend(syn_acks);
        }
        (key, end)
    }

    fn open(&mut self, cookie: u64, addresses: Addresses, pair: Pair) -> Key {
        let key = Key(self.next);
        self.next += 1;
        let id = if self.sockets.contains_key(&cookie) {
            // The same socket, connected once more.
            format!("{cookie}.{}", key.0)
        } else {
            cookie.to_string()
        };
        self.connections.insert(
            key,
            Connection {
                id,
                client: None,
                server: None,
                syn_ack_retransmits: Vec::new(),
                lost: 0,
            },
        );
        if addresses.local.port() != 0 {
            self.unpaired.insert(pair, key);
        }
        key
    }

    /// `connect` chooses the local port after SYN_SENT: only now can the other end be found.
    fn complete_addresses(&mut self, key: Key, end: End, addresses: Addresses) {
        let Some(view) = self.view_mut(key, end) else {
            return;
        };
        if view.addresses.local.port() != 0 || addresses.local.port() == 0 {
            return;
        }
        view.addresses = addresses;
        let pair = Pair::new(addresses, end);
        let syn_acks = self.take_syn_acks(pair);
        self.unpaired.insert(pair, key);
        if let Some(connection) = self.connections.get_mut(&key) {
            connection.syn_ack_retransmits.extend(syn_acks);
        }
    }

    fn note_syn_ack(&mut self, pair: Pair, mono_ns: u64) {
        if self.syn_acks.len() == MOST_SYN_ACKS {
            self.syn_acks.pop_front();
        }
        self.syn_acks.push_back((pair, mono_ns));
    }

    fn take_syn_acks(&mut self, pair: Pair) -> Vec<u64> {
        let mut taken = Vec::new();
        self.syn_acks.retain(|(of, mono_ns)| {
            let matches = *of == pair;
            if matches {
                taken.push(*mono_ns);
            }
            !matches
        });
        taken
    }

    fn with_view(&mut self, cookie: u64, act: impl FnOnce(&mut View)) -> Option<(Key, End)> {
        let (key, end) = *self.sockets.get(&cookie)?;
        act(self.view_mut(key, end)?);
        Some((key, end))
    }

    fn view_mut(&mut self, key: Key, end: End) -> Option<&mut View> {
        self.connections.get_mut(&key)?.view_mut(end).as_mut()
    }
}

/// Which end a socket is: its birth tells; for one that began before the tracer did, the port that
/// is not an ephemeral one (`net.ipv4.ip_local_port_range` starts at 32768) is taken for the
/// server's.
fn role(addresses: Addresses, old: State, new: State) -> End {
    match (old, new) {
        (State::Close | State::SynSent, _) | (_, State::SynSent) => End::Client,
        (State::Listen | State::SynRecv | State::NewSynRecv, _) | (_, State::SynRecv) => {
            End::Server
        }
        _ if addresses.local.port() > addresses.remote.port() => End::Client,
        _ => End::Server,
    }
}
