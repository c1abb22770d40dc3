//! Joins each upload with the connections in front of its own.

mod ended;

use std::{cell::RefCell, collections::VecDeque, sync::Arc};

use foldhash::HashMap;
use upload_protocol::{ConnectionId, End, timeline::Timeline};

pub(super) use self::ended::EndedLegs;
use super::Pipeline;
use crate::core::{
    connection::Connection,
    connection_table::Key,
    hops::{self, Excess, Join, Leg, Legs, MAX_EXCHANGES, RequestName, Sent, Sizes, Sought},
    payload::HttpExchange,
    timeline::timeline,
};

/// How long a closed connection waits for its response on the connections in front of it.
const RESPONSE_NS: u64 = 300_000_000;
/// Among more connections of one process that may have carried a request, none is looked for.
const MAX_LEGS: usize = 256;
/// The requests of this many uploads are known to be theirs, and no other's.
const MAX_TAKEN: usize = 4_096;

/// Of more processes, none is expected to receive requests like those before.
const MAX_PROCESSES: usize = 1_024;
/// The latest joins of a process that show what is usual.
const MAX_SIZES: usize = 32;

/// The latest joins.
#[derive(Debug, Default)]
pub(super) struct Joined {
    behind: HashMap<RequestName, RequestName>,
    order: VecDeque<RequestName>,
    /// See [`Join::sizes`], by process.
    sizes: HashMap<u32, VecDeque<Sizes>>,
}

impl Joined {
    fn add(&mut self, join: Join) {
        if self.behind.insert(join.front, join.behind).is_some() {
            return;
        }
        self.order.push_back(join.front);
        if self.order.len() > MAX_TAKEN
            && let Some(oldest) = self.order.pop_front()
        {
            self.behind.remove(&oldest);
        }
        let Some(sizes) = join.sizes else {
            return;
        };
        if self.sizes.len() >= MAX_PROCESSES && !self.sizes.contains_key(&join.process) {
            self.sizes.clear();
        }
        let latest = self.sizes.entry(join.process).or_default();
        if latest.len() == MAX_SIZES {
            latest.pop_front();
        }
        latest.push_back(sizes);
    }

    fn usual_excess(&self, process: u32) -> Option<Excess> {
        let latest: Vec<Sizes> = self.sizes.get(&process)?.iter().copied().collect();
        Excess::of(&latest)
    }
}

/// What was found of the uploads of a connection.
struct Found {
    joins: Vec<Join>,
    /// Whether more may be known later.
    is_open: bool,
}

/// The connections in which hops are looked for. Those that are open are read once.
struct Searched<'a> {
    pipeline: &'a Pipeline,
    open: RefCell<HashMap<ConnectionId, Arc<Leg>>>,
    /// What was found so far.
    joins: RefCell<Vec<Join>>,
}

impl Legs for Searched<'_> {
    fn is_intermediary(&self, process: u32) -> bool {
        self.pipeline.table.is_intermediary(process)
    }

    fn accepts(&self, process: u32) -> bool {
        self.pipeline.table.accepts(process)
    }

    fn of_process(&self, process: u32, sought: &Sought) -> Vec<(Arc<Leg>, End)> {
        let open = self.pipeline.table.connections_of(process);
        let open = open.filter(|(connection, end)| sought.may_be_on(connection, *end));
        let open = open.filter_map(|(connection, end)| Some((self.leg(connection)?, end)));
        let ended = self.pipeline.ended_legs.of_process(process, sought);
        let found: Vec<_> = open.chain(ended).take(MAX_LEGS + 1).collect();
        if found.len() > MAX_LEGS {
            // The one that is left out may be the one.
            return Vec::new();
        }
        found
    }

    fn is_taken(&self, front: RequestName, behind: RequestName) -> bool {
        let found = self.joins.borrow();
        let mut found = found.iter().filter(|join| join.front == front);
        let before = self.pipeline.joined.behind.get(&front);
        before.is_some_and(|known| *known != behind) || found.any(|join| join.behind != behind)
    }

    fn usual_excess(&self, process: u32) -> Option<Excess> {
        self.pipeline.joined.usual_excess(process)
    }

    fn sent_by(&self, process: u32, from_ns: u64, to_ns: u64) -> Vec<Sent> {
        let open = self.pipeline.table.connections_of(process);
        let open = open.filter(|(_, end)| *end == End::Client);
        let open = open.flat_map(|(connection, _)| hops::requests_of(connection));
        let ended = self.pipeline.ended_legs.sent_by(process);
        let is_then = |sent: &Sent| (from_ns..=to_ns).contains(&sent.start_ns);
        open.chain(ended).filter(is_then).collect()
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
        if timeline.uploads.is_empty() || !self.table.is_passed_on(connection) {
            return;
        }
        for join in self.find_hops(connection, timeline).joins {
            self.joined.add(join);
        }
    }

    /// Whether a closed connection waits: an upload on it came through a process whose other connection does not
    /// show it yet.
    pub(super) fn awaits_hops(&mut self, key: Key, closed_ns: u64) -> bool {
        let now_ns = self.tick.mono_ns;
        let age_ns = now_ns.saturating_sub(closed_ns);
        if age_ns >= RESPONSE_NS {
            self.awaited.remove(&key);
            return false;
        }
        if self
            .awaited
            .get(&key)
            .is_some_and(|next_ns| now_ns < *next_ns)
        {
            return true;
        }
        let is_open = self.is_way_open(key);
        if is_open {
            self.awaited.insert(key, now_ns.saturating_add(age_ns));
        } else {
            self.awaited.remove(&key);
        }
        is_open
    }

    fn is_way_open(&self, key: Key) -> bool {
        let Some(connection) = self.table.get(key) else {
            return false;
        };
        let mut requests = connection.dialogue.payload.exchanges().iter();
        let has_body = |exchange: &HttpExchange| {
            let request = exchange.request.as_ref();
            request.is_some_and(|request| request.chunked || request.content_length > Some(0))
        };
        let reported = self.correlator.uploads(connection);
        let may_have = reported.is_some() || requests.any(has_body);
        if !may_have || !self.table.is_passed_on(connection) {
            return false;
        }
        let known = (reported.map(|reported| reported.uploads), None);
        let timeline = timeline(connection, known, &self.host, self.tick.mono_ns);
        timeline.is_some_and(|mut timeline| self.find_hops(connection, &mut timeline).is_open)
    }

    fn find_hops(&self, connection: &Connection, timeline: &mut Timeline) -> Found {
        let last = Arc::new(Leg::new(connection, timeline.clone()));
        let searched = Searched {
            pipeline: self,
            open: RefCell::default(),
            joins: RefCell::default(),
        };
        let mut is_open = false;
        for upload in timeline.uploads.iter_mut().rev().take(MAX_EXCHANGES) {
            let way = hops::way(&last, &upload.id, &searched);
            searched.joins.borrow_mut().extend(way.joins);
            upload.hops = way.hops;
            upload.ambiguous_hops = way.ambiguous;
            is_open |= way.is_open;
        }
        Found {
            joins: searched.joins.into_inner(),
            is_open,
        }
    }

    fn leg(&self, connection: &Connection) -> Option<Leg> {
        if self.lacks_client(connection) {
            return None;
        }
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
