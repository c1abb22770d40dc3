//! Timelines so far, of connections that stay open after an upload.

use upload_protocol::timeline::Timeline;

use super::Pipeline;
use crate::core::{
    connection_table::Key,
    output::Output,
    timeline::{self, timeline},
};

/// How long after an upload a timeline so far is emitted, if the connection stays open.
pub(super) const PROGRESS_AFTER_NS: u64 = 300_000_000;
/// The same for snapshots: once no upload has followed for the first of these, and after the second in
/// any case.
const SNAPSHOT_AFTER_NS: (u64, u64) = (50_000_000, 400_000_000);

impl Pipeline {
    /// An upload of this connection has ended.
    pub(super) fn awaits_progress(&mut self, key: Key) {
        let now_ns = self.tick.mono_ns;
        self.progress
            .insert(key, now_ns.saturating_add(PROGRESS_AFTER_NS));
        if let Some(snapshots) = &mut self.snapshots {
            let (quiet, latest) = SNAPSHOT_AFTER_NS;
            let latest = now_ns.saturating_add(latest);
            let due = snapshots.entry(key).or_insert((0, latest));
            due.0 = now_ns.saturating_add(quiet);
        }
    }

    pub(super) fn report_progress(&mut self, out: &mut Vec<Output>) {
        let now_ns = self.tick.mono_ns;
        let is_due = |_: &Key, from_ns: &mut u64| *from_ns <= now_ns;
        let due: Vec<(Key, u64)> = self.progress.extract_if(.., is_due).collect();
        for (key, _) in due {
            out.extend(self.so_far(key).map(Output::Progress));
        }
    }

    pub(super) fn report_snapshots(&mut self, out: &mut Vec<Output>) {
        let now_ns = self.tick.mono_ns;
        let Some(snapshots) = &mut self.snapshots else {
            return;
        };
        let due: Vec<Key> = snapshots
            .extract_if(.., |_, (quiet, latest)| {
                *quiet <= now_ns || *latest <= now_ns
            })
            .map(|(key, _)| key)
            .collect();
        for key in due {
            out.extend(self.snapshot(key).map(Output::Snapshot));
        }
    }

    /// The timeline so far of an open connection.
    pub(super) fn so_far(&mut self, key: Key) -> Option<Box<Timeline>> {
        if self.closed.contains_key(&key) {
            return None;
        }
        let mut connection = self.table.get(key)?.clone();
        self.correlator.name_owner(&mut connection);
        let reported = self.correlator.uploads(&connection);
        let transfer = self.table.transfer_of(&connection);
        let known = (reported.map(|reported| reported.uploads), transfer);
        let mut timeline = timeline(&connection, known, &self.host, self.tick.mono_ns)?;
        timeline::leave_out_uploads(&mut timeline, reported.map_or(0, |all| all.left_out));
        self.add_hops(&connection, &mut timeline);
        Some(Box::new(timeline))
    }

    /// The timeline so far of an open connection, with the uploads that no snapshot had yet.
    fn snapshot(&mut self, key: Key) -> Option<Box<Timeline>> {
        if self.closed.contains_key(&key) {
            return None;
        }
        let mut connection = self.table.get(key)?.clone();
        let (uploads, from) = self.correlator.take_fresh(&connection)?;
        self.correlator.name_owner(&mut connection);
        let known = (Some(uploads.as_slice()), None);
        let mut timeline = timeline(&connection, known, &self.host, self.tick.mono_ns)?;
        self.add_hops(&connection, &mut timeline);
        timeline::keep_uploads(&mut timeline, from);
        Some(Box::new(timeline))
    }
}
