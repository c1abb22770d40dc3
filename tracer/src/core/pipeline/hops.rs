//! Joins each upload with the connections in front of its own.

mod ended;

use std::{cell::RefCell, collections::VecDeque, sync::Arc};

use foldhash::HashMap;
use upload_protocol::{
    ConnectionId, End,
    timeline::{Endpoint, Timeline},
};

pub(super) use self::ended::EndedLegs;
use super::Pipeline;
use crate::core::{
    connection::Connection,
    connection_table::ConnectionTable,
    hops::{self, Leg, Legs, MAX_EXCHANGES, RequestName, Sought},
    timeline::timeline,
};

/// How long a closed connection waits for its response on the connection in front of it.
pub(super) const RESPONSE_NS: u64 = 300_000_000;
/// More connections of one process are not looked at.
const MAX_LEGS: usize = 256;
/// The requests of this many uploads are known to be theirs, and no other's.
const MAX_TAKEN: usize = 4_096;

/// Requests that were found to be in front of others.
#[derive(Debug, Default)]
pub(super) struct Taken {
    behind: HashMap<RequestName, RequestName>,
    order: VecDeque<RequestName>,
}

impl Taken {
    fn add(&mut self, front: RequestName, behind: RequestName) {
        if self.behind.insert(front, behind).is_some() {
            return;
        }
        self.order.push_back(front);
        if self.order.len() > MAX_TAKEN
            && let Some(oldest) = self.order.pop_front()
        {
            self.behind.remove(&oldest);
        }
    }
}

/// The connections in which hops are looked for. Those that are open are read once.
struct Searched<'a> {
    pipeline: &'a Pipeline,
    open: RefCell<HashMap<ConnectionId, Arc<Leg>>>,
    /// What was found so far.
    taken: RefCell<Vec<(RequestName, RequestName)>>,
}

impl Legs for Searched<'_> {
    fn is_intermediary(&self, process: u32) -> bool {
        self.pipeline.table.is_intermediary(process)
    }

    fn of_process(&self, process: u32, sought: &Sought) -> Vec<(Arc<Leg>, End)> {
        let open = self.pipeline.table.connections_of(process);
        let open = open.filter(|(connection, end)| sought.may_be_on(connection, *end));
        let open = open.filter_map(|(connection, end)| Some((self.leg(connection)?, end)));
        let ended = self.pipeline.ended_legs.of_process(process, sought);
        open.chain(ended).take(MAX_LEGS).collect()
    }

    fn is_taken(&self, front: RequestName, behind: RequestName) -> bool {
        let found = self.taken.borrow();
        let mut found = found.iter().filter(|(taken, _)| *taken == front);
        let before = self.pipeline.taken.behind.get(&front);
        before.is_some_and(|known| *known != behind) || found.any(|(_, known)| *known != behind)
    }
}

impl Searched<'_> {
    fn leg(&self, connection: &Connection) -> Option<Arc<Leg>> {
        if let Some(known) = self.open.borrow().get(&connection.id) {
            return Some(Arc::clone(known));
        }
        let leg = Arc::new(self.pipeline.leg(connection)?);
        self.open
            .borrow_mut()
            .insert(connection.id, Arc::clone(&leg));
        Some(leg)
    }
}

impl Pipeline {
    /// Names the hops of each of the latest uploads in the timeline of the last one.
    pub(super) fn add_hops(&mut self, connection: &Connection, timeline: &mut Timeline) {
        let is_passed_on = |client: &Endpoint| {
            let others = client.also.iter().filter_map(|other| other.pid);
            let mut all = client.owner.pid.into_iter().chain(others);
            all.any(|process| self.table.is_intermediary(process))
        };
        if timeline.uploads.is_empty() || !is_passed_on(&timeline.client) {
            return;
        }
        let last = Arc::new(Leg::new(connection, timeline.clone()));
        let searched = Searched {
            pipeline: self,
            open: RefCell::default(),
            taken: RefCell::default(),
        };
        for upload in timeline.uploads.iter_mut().rev().take(MAX_EXCHANGES) {
            let way = hops::way(&last, &upload.id, &searched);
            searched.taken.borrow_mut().extend(way.taken);
            upload.hops = way.hops;
            upload.ambiguous_hops = way.ambiguous;
        }
        for (front, behind) in searched.taken.into_inner() {
            self.taken.add(front, behind);
        }
    }

    fn leg(&self, connection: &Connection) -> Option<Leg> {
        let reported = self.correlator.uploads(connection);
        let known = (reported.map(|reported| reported.uploads), None);
        let timeline = timeline(connection, known, &self.host, self.tick.mono_ns)?;
        Some(Leg::new(connection, timeline))
    }

    /// Keeps a connection that leaves the table, if it may be in front of another.
    pub(super) fn keep_leg(&mut self, connection: &Connection, timeline: &Timeline) {
        if self.table.has_intermediary(connection) && ended::may_carry_upload(timeline) {
            let leg = Leg::new(connection, timeline.clone());
            self.ended_legs.add(Arc::new(leg));
        }
    }
}

/// Whether the response of a closed connection has still to be sent on the one in front of it.
pub(super) fn awaits_response(table: &ConnectionTable, connection: &Connection) -> bool {
    let Some(client) = connection.client.as_deref() else {
        return false;
    };
    let relays = client.incidents().relays.between(0, u64::MAX);
    let Some((at_ns, relay)) = relays.last() else {
        return false;
    };
    let front = table.find(relay.read).and_then(|key| table.get(key));
    let server = front.and_then(|front| front.server.as_deref());
    server.is_some_and(|server| {
        let mut sent = server.incidents().relays.between(at_ns, u64::MAX);
        !server.is_closed() && !sent.any(|(_, sent)| sent.read == client.cookie)
    })
}
