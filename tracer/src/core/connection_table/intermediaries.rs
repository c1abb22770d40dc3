//! The connections of processes that may pass on what they receive: they accept connections and open others, as
//! proxies do, or they do either at several ports, as the ends of a tunnel do.

use std::collections::BTreeSet;

use foldhash::HashMap;
use upload_protocol::End;

use super::{ConnectionTable, Key};
use crate::core::{
    address::Address,
    connection::{Connection, Task, View},
};

/// Of more processes, those without connections are forgotten; of more with connections, all are.
const MAX_PROCESSES: usize = 4_096;

/// By process id.
#[derive(Debug, Default)]
pub(super) struct Intermediaries(HashMap<u32, Process>);

#[derive(Debug, Default)]
struct Process {
    /// The port at which it first accepted a connection.
    accepts_at: Option<u16>,
    /// The first server that it connected to.
    connects_to: Option<Address>,
    /// Its open connections, once it is known to be an intermediary.
    connections: Option<BTreeSet<Key>>,
}

/// Whether a process has just become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Became {
    Intermediary,
    Nothing,
}

impl Process {
    /// It acts on an end of a connection to a server; returns whether it may pass on what it receives.
    fn acts(&mut self, end: End, server: Address) -> bool {
        let is_elsewhere = match end {
            End::Client => *self.connects_to.get_or_insert(server) != server,
            End::Server => *self.accepts_at.get_or_insert(server.port()) != server.port(),
        };
        is_elsewhere || self.accepts_at.is_some() && self.connects_to.is_some()
    }
}

impl Intermediaries {
    /// A process acts on one end of a connection.
    fn record(&mut self, process: u32, key: Key, end: End, server: Address) -> Became {
        if self.0.len() >= MAX_PROCESSES && !self.0.contains_key(&process) {
            let has_connections = |connections: &BTreeSet<Key>| !connections.is_empty();
            self.0
                .retain(|_, known| known.connections.as_ref().is_some_and(has_connections));
            if self.0.len() >= MAX_PROCESSES {
                self.0.clear();
            }
        }
        let known = self.0.entry(process).or_default();
        if let Some(connections) = &mut known.connections {
            connections.insert(key);
            return Became::Nothing;
        }
        if !known.acts(end, server) {
            return Became::Nothing;
        }
        known.connections = Some(BTreeSet::from([key]));
        Became::Intermediary
    }

    /// A connection leaves the table.
    pub(super) fn remove(&mut self, key: Key, view: &View) {
        for task in tasks(view) {
            let known = self.0.get_mut(&task.pid);
            if let Some(connections) = known.and_then(|known| known.connections.as_mut()) {
                connections.remove(&key);
            }
        }
    }

    fn connections(&self, process: u32) -> Option<&BTreeSet<Key>> {
        self.0.get(&process)?.connections.as_ref()
    }
}

/// The processes that acted on a socket.
fn tasks(view: &View) -> impl Iterator<Item = &Task> {
    let holders = &view.incidents().holders;
    let owner = view.owner.as_ref().filter(|_| holders.is_empty());
    holders.iter().chain(owner).map(|owner| &*owner.task)
}

/// Whether a process acted on a socket.
pub(super) fn is_held_by(view: &View, process: u32) -> bool {
    tasks(view).any(|task| task.pid == process)
}

impl ConnectionTable {
    /// A process acts on one end of a connection.
    pub(super) fn record_intermediary(&mut self, process: u32, key: Key, end: End) {
        if process == 0 {
            return;
        }
        // Of a socket with very many holders, the latest are not kept: they would not be removed, either.
        let view = self.view_mut(key, end);
        let Some(view) = view.filter(|view| is_held_by(view, process)) else {
            return;
        };
        let server = match end {
            End::Client => view.addresses.remote,
            End::Server => view.addresses.local,
        };
        let became = self.intermediaries.record(process, key, end, server);
        if became == Became::Intermediary {
            self.index(process);
        } else if self.intermediaries.connections(process).is_some() {
            self.keep_turns(key);
        }
    }

    /// Finds the connections that a process has already.
    fn index(&mut self, process: u32) {
        let is_its = |connection: &Connection| {
            let mut views = connection.views();
            views.any(|(_, view)| is_held_by(view, process))
        };
        let all = self.connections.iter();
        let its = all.filter(|(_, connection)| is_its(connection));
        let keys: Vec<Key> = its.map(|(key, _)| *key).collect();
        for key in &keys {
            self.keep_turns(*key);
        }
        let known = self.intermediaries.0.get_mut(&process);
        if let Some(connections) = known.and_then(|known| known.connections.as_mut()) {
            connections.extend(keys);
        }
    }

    fn keep_turns(&mut self, key: Key) {
        if let Some(connection) = self.connections.get_mut(&key) {
            connection.dialogue.payload.keep_turns();
        }
    }

    /// Whether a process may pass on what it receives.
    #[must_use]
    pub fn is_intermediary(&self, process: u32) -> bool {
        self.intermediaries.connections(process).is_some()
    }

    /// Whether a process was seen to accept connections.
    #[must_use]
    pub fn accepts(&self, process: u32) -> bool {
        let known = self.intermediaries.0.get(&process);
        known.is_some_and(|known| known.accepts_at.is_some())
    }

    /// Whether a process that acted on a connection's client may pass on what it receives.
    #[must_use]
    pub fn is_passed_on(&self, connection: &Connection) -> bool {
        let client = connection.client.as_deref();
        client.is_some_and(|view| tasks(view).any(|task| self.is_intermediary(task.pid)))
    }

    /// Whether a process that acted on a connection may pass on what it receives.
    #[must_use]
    pub fn has_intermediary(&self, connection: &Connection) -> bool {
        let mut views = connection.views();
        views.any(|(_, view)| tasks(view).any(|task| self.is_intermediary(task.pid)))
    }

    /// The open connections of a process that may pass on what it receives, each with the end that it holds.
    pub fn connections_of(&self, process: u32) -> impl Iterator<Item = (&Connection, End)> {
        let keys = self.intermediaries.connections(process).into_iter();
        let found = keys.flatten().filter_map(|key| self.get(*key));
        found.flat_map(move |connection| {
            let views = connection.views();
            let its = views.filter(move |(_, view)| is_held_by(view, process));
            its.map(move |(end, _)| (connection, end))
        })
    }
}
