//! Drives the core: takes inputs, returns outputs. The same inputs give the same outputs, live or from a
//! recording.

mod captured;
mod counts;
mod eviction;
mod followed;
mod hops;
mod inferred;
mod loss;
mod overview;
mod points;
mod progress;
mod uploads;

use std::{collections::BTreeMap, sync::Arc};

use foldhash::HashMap;
use upload_protocol::{
    State,
    line::{self, ProgramLine, StateLine, SummaryLine},
    upload::Upload,
};

use self::captured::Captured;
pub use self::{captured::Selection, counts::Counts};
use crate::core::{
    connection::{Connection, Room},
    connection_table::{ConnectionTable, Key},
    correlate::Correlator,
    dialogue::RelativeSegment,
    event::{Event, EventKind},
    host::{Clock, Host},
    input::{Input, Missing, ProgramCost, Tick},
    output::{Output, TracedSegment},
    overview::Rates,
    timeline::{self, timeline},
};

/// How long to wait after CLOSE for the RST that caused it: its record may come later.
const SETTLE_NS: u64 = 10_000_000;
/// How long a closed connection waits for the server's report, and an upload for its connection.
const PATIENCE_NS: u64 = 2_000_000_000;
/// How long feed lines about unknown sockets are kept.
const FORGET_AFTER_NS: u64 = 60_000_000_000;
/// How often they are looked for: there may be many.
const FORGET_EVERY_NS: u64 = 1_000_000_000;

/// How many connections are emitted at once at the end.
const EMITTED_AT_ONCE: usize = 1024;

/// A smaller difference is no suspend: the clocks are read one after another.
const SUSPENDED_AT_LEAST_NS: u64 = 10_000_000;

#[derive(Debug, Default)]
pub struct Pipeline {
    /// Whether segments are outputs.
    segments: bool,
    /// Whether changes of state are not.
    without_states: bool,
    /// Whether captured segments leave their packet behind.
    without_packets: bool,
    /// How many connections to keep; `None` for no limit.
    room: Option<usize>,
    /// Connections from and to other ports are shown as hops alone; `None` where every connection is shown.
    chosen_ports: Option<Vec<u16>>,
    table: ConnectionTable,
    /// Connections dropped since the last report.
    dropped: u64,
    correlator: Correlator,
    host: Host,
    missing: Vec<Missing>,
    cost: Vec<ProgramCost>,
    tick: Tick,
    /// Closed connections and when they closed, until they are emitted.
    closed: HashMap<Key, u64>,
    /// Uploads without an output yet.
    fresh: Vec<Upload>,
    /// Open connections with a new upload, and when to emit their timeline so far.
    progress: BTreeMap<Key, u64>,
    /// The same for snapshots, if wanted, and the latest time.
    snapshots: Option<BTreeMap<Key, (u64, u64)>>,
    /// What open sockets pass, if an overview is asked for.
    rates: Rates,
    malformed: u64,
    captured: Captured,
    ended_legs: hops::EndedLegs,
    joined: hops::Joined,
    /// Closed connections whose hops are not known yet, and when to look for them again.
    awaited: HashMap<Key, u64>,
    /// When feed lines about unknown sockets were last forgotten.
    forgot_ns: u64,
    totals: Totals,
}

#[derive(Debug, Default)]
struct Totals {
    connections: u64,
    uploads: u64,
    events: u64,
    /// Of the kernel's records; other events are segments of a capture.
    counts: Counts,
    lost: u64,
    lost_at_most: bool,
    /// Connections of which something was left out.
    left_out: u64,
}

impl Pipeline {
    /// `segments`: whether segments are outputs.
    #[must_use]
    pub fn new(segments: bool) -> Self {
        Self {
            segments,
            table: ConnectionTable::new(segments),
            ..Self::default()
        }
    }

    /// Leaves out changes of state.
    #[must_use]
    pub const fn without_states(mut self) -> Self {
        self.without_states = true;
        self
    }

    /// Leaves out the packets of captured segments, which a packet list does not show.
    #[must_use]
    pub const fn without_packets(mut self) -> Self {
        self.without_packets = true;
        self
    }

    /// Keeps samples of connections, for outputs that show how their payload went.
    #[must_use]
    pub fn with_samples(mut self) -> Self {
        self.table.keep_samples();
        self
    }

    /// Also emits snapshots of connections that stay open.
    #[must_use]
    pub fn with_snapshots(mut self) -> Self {
        self.snapshots = Some(BTreeMap::new());
        self.correlator.keep_fresh();
        self
    }

    /// Takes one input and appends what follows from it to `out`.
    pub fn advance(&mut self, input: Input<'_>, out: &mut Vec<Output>) {
        match input {
            Input::Kernel(bytes) => self.record(&bytes, out),
            Input::Packet(packet) => self.packet(&packet, out),
            Input::Feed(feed) => {
                self.fresh.extend(self.correlator.ingest(feed));
            }
            Input::Room(most) => self.room = Some(most),
            Input::ChosenPorts(ports) => self.chosen_ports = Some(ports),
            Input::Socket(socket) => {
                self.table.add_open_socket(*socket, self.tick.mono_ns);
                self.make_room(out);
            }
            Input::Present(present) => self.emit_gone(&present, out),
            Input::Readings(readings) => self.take_readings(&readings),
            Input::Cgroup(name) => self.host.name_cgroup(name),
            Input::Missing(missing) => self.missing = missing,
            Input::Cost(cost) => self.cost = cost,
            Input::Tick(tick) => self.tick(tick, out),
            Input::Shutdown => self.shutdown(out),
        }
    }

    /// Whether connections are open, or closed and not emitted yet.
    #[must_use]
    pub fn has_open(&self) -> bool {
        !self.table.is_empty()
    }

    fn record(&mut self, bytes: &[u8], out: &mut Vec<Output>) {
        let mut decoded = Event::decode(bytes);
        let Ok(event) = &mut decoded else {
            self.malformed += 1;
            return;
        };
        self.totals.events += 1;
        self.totals.counts.add_record(&event.what);
        let mono_ns = event.mono_ns;
        let change = match event.what {
            EventKind::State { old, new, .. } => Some((old, new)),
            _ => None,
        };
        let Some(((key, end), (old, new))) = self.table.apply(event).zip(change) else {
            return;
        };
        self.make_room(out);
        let Some(connection) = self.table.get(key) else {
            return;
        };
        if !self.without_states && !self.is_followed(connection) {
            let owner = connection.view(end).and_then(|view| view.owner.as_ref());
            out.push(Output::State(StateLine {
                at: self.host.clock.moment(mono_ns),
                connection: connection.id,
                end,
                old,
                new,
                pid: owner.and_then(|owner| owner.task.id()),
                comm: owner.map(|owner| Arc::clone(&owner.task.comm)),
                certainty: None,
            }));
        }
        if new == State::Close
            && let Some(closed_ns) = connection.closed_ns()
        {
            self.closed.insert(key, closed_ns);
        } else {
            self.closed.remove(&key);
        }
    }

    /// Segments in the order sent, whichever CPU saw them.
    fn report_segments(&mut self, before_ns: u64, out: &mut Vec<Output>) {
        let settled = self.table.settle(before_ns);
        let mut lines: Vec<TracedSegment> = settled
            .into_iter()
            .filter(|(key, _)| !self.is_followed_key(*key))
            .filter_map(|(key, segments)| Some(self.segment_lines(self.table.get(key)?, segments)))
            .flatten()
            .collect();
        lines.sort_by_key(|traced| traced.line.at.mono_ns);
        out.extend(segments(lines));
    }

    fn segment_lines(
        &self,
        connection: &Connection,
        segments: Vec<RelativeSegment>,
    ) -> Vec<TracedSegment> {
        let (clock, id) = (self.host.clock, connection.id);
        segments
            .into_iter()
            .map(|segment| segment.traced(clock, id))
            .collect()
    }

    fn tick(&mut self, tick: Tick, out: &mut Vec<Output>) {
        let before = std::mem::replace(&mut self.tick, tick);
        self.host.clock = Clock::at(&tick);
        let slept_ns = tick.suspended_ns.saturating_sub(before.suspended_ns);
        if before != Tick::default() && slept_ns >= SUSPENDED_AT_LEAST_NS {
            self.table.record_suspend();
        }
        self.correlator.begin(tick.mono_ns);
        self.report_lost(before, out);
        self.report_segments(tick.mono_ns, out);
        self.report_waiting(out);
        self.report_undecided(out);
        self.report_uploads(PATIENCE_NS, out);
        self.report_finished(out);
        self.report_progress(out);
        self.report_snapshots(out);
        self.report_closed(out);
        if tick.mono_ns.saturating_sub(self.forgot_ns) < FORGET_EVERY_NS {
            return;
        }
        self.forgot_ns = tick.mono_ns;
        let table = &self.table;
        self.correlator
            .forget_strangers(tick.mono_ns.saturating_sub(FORGET_AFTER_NS), |cookie| {
                table.find(cookie).is_some()
            });
    }

    fn report_closed(&mut self, out: &mut Vec<Output>) {
        let now_ns = self.tick.mono_ns;
        let (table, correlator) = (&self.table, &self.correlator);
        // The reply to a transfer follows its data connection.
        let awaits_reply = |found| {
            let transfer = table.transfer_of(found);
            transfer.is_some_and(|transfer| transfer.command.is_some() && transfer.reply.is_none())
        };
        let is_awaited = |key| {
            let found = table.get(key);
            found.is_some_and(|found| correlator.awaits(found) || awaits_reply(found))
        };
        let is_due = |key: &Key, closed_ns: &mut u64| {
            let is_past = |patience_ns| closed_ns.saturating_add(patience_ns) <= now_ns;
            is_past(PATIENCE_NS) || is_past(SETTLE_NS) && !is_awaited(*key)
        };
        let mut due: Vec<(Key, u64)> = self.closed.extract_if(is_due).collect();
        due.sort_unstable();
        for (key, closed_ns) in due {
            if self.awaits_hops(key, closed_ns) {
                self.closed.insert(key, closed_ns);
            } else {
                self.emit(key, out);
            }
        }
    }

    /// Before the shutdown, emits some of the connections that are left, the oldest first; false once there
    /// is none. All of them at once may be many.
    pub fn emit_some(&mut self, out: &mut Vec<Output>) -> bool {
        self.report_lost(self.tick, out);
        self.report_segments(u64::MAX, out);
        self.finish_waiting(out);
        self.report_uploads(0, out);
        for key in self.table.oldest(EMITTED_AT_ONCE) {
            self.emit(key, out);
        }
        !self.table.is_empty()
    }

    fn shutdown(&mut self, out: &mut Vec<Output>) {
        while self.emit_some(out) {}
        out.push(Output::Summary(Box::new(SummaryLine {
            at: self.host.clock.moment(self.tick.mono_ns),
            connections: self.totals.connections,
            uploads: self.totals.uploads,
            events: self.totals.events,
            emitted: self.tick.emitted,
            lost: self.totals.lost,
            lost_at_most: self.totals.lost_at_most,
            left_out: self.totals.left_out,
            missing: std::mem::take(&mut self.missing)
                .into_iter()
                .map(|missing| line::Missing {
                    what: missing.what,
                    lost: missing.lost,
                })
                .collect(),
            programs: std::mem::take(&mut self.cost)
                .into_iter()
                .map(program_line)
                .collect(),
            spans: None,
            data_points: None,
            capture: self.captured.totals(),
            clocks: self.clocks(),
        })));
    }

    fn emit(&mut self, key: Key, out: &mut Vec<Output>) {
        self.finish_held(key, out);
        self.progress.remove(&key);
        self.awaited.remove(&key);
        if let Some(snapshots) = &mut self.snapshots {
            snapshots.remove(&key);
        }
        let Some(mut connection) = self.table.remove(key).filter(|found| found.active) else {
            return;
        };
        if self.is_followed(&connection) {
            self.end_followed(connection);
            return;
        }
        self.totals.connections += 1;
        let last = connection.dialogue.settle(u64::MAX, self.segments);
        if self.table.keeps_samples() {
            for segment in &last {
                // It has left the table, and is emitted at once.
                connection.sample_segment(segment, &mut Room::new(usize::MAX));
            }
        }
        let last = self.segment_lines(&connection, last);
        out.extend(segments(last));
        self.table.learn_transfers(&mut connection);
        let transfer = self.table.claim_transfer(&connection);
        self.correlator.name_owner(&mut connection);
        let reported = self.correlator.uploads(&connection);
        let known = (reported.map(|reported| reported.uploads), transfer.as_ref());
        let timeline = timeline(&connection, known, &self.host, self.tick.mono_ns);
        let is_inferred = reported.is_none();
        let uploads_left_out = reported.map_or(0, |reported| reported.left_out);
        self.correlator.forget(&connection);
        if let Some(mut timeline) = timeline {
            timeline::leave_out_uploads(&mut timeline, uploads_left_out);
            if let Some(captured) = &connection.captured {
                self.add_transit(&mut timeline, captured);
            }
            if is_inferred {
                self.report_inferred(&timeline, &mut connection, out);
            }
            self.add_hops(&connection, &mut timeline);
            self.keep_leg(&connection, &timeline);
            self.totals.left_out += u64::from(!timeline.left_out.is_empty());
            out.push(Output::Timeline(Box::new(timeline)));
        }
    }
}

fn segments(lines: Vec<TracedSegment>) -> impl Iterator<Item = Output> {
    let boxed = lines.into_iter().map(Box::new);
    boxed.map(Output::Segment)
}

fn program_line(cost: ProgramCost) -> ProgramLine {
    ProgramLine {
        ns_per_run: cost.run_ns.checked_div(cost.runs).unwrap_or_default(),
        name: cost.name,
        runs: cost.runs,
    }
}

#[cfg(test)]
mod tests;
