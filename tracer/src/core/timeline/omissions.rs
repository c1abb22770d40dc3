//! What was left out of a connection.

use std::collections::HashSet;

use upload_protocol::timeline::{Incomplete, LeftOut, Omission, Timeline};

use crate::core::connection::{Connection, IncidentsLeftOut};

pub(super) fn omissions(connection: &Connection) -> Vec<Omission> {
    let mut omissions = connection.dialogue.payload.omissions();
    let of_views = |count: fn(&IncidentsLeftOut) -> u64| {
        let views = connection.views();
        views
            .map(|(_, view)| count(&view.incidents().left_out))
            .sum()
    };
    let samples = connection.samples.as_ref();
    for (what, count) in [
        (LeftOut::Steps, connection.dialogue.steps_left_out.into()),
        (LeftOut::Processes, of_views(|left_out| left_out.holders)),
        (LeftOut::Resets, of_views(|left_out| left_out.resets)),
        (LeftOut::SynRetransmits, of_views(|left_out| left_out.syns)),
        (LeftOut::Samples, samples.map_or(0, |all| all.left_out())),
    ] {
        if count > 0 {
            omissions.push(Omission::counted(what, count));
        }
    }
    omissions
}

/// Marks a timeline whose connection carried so many more uploads.
pub fn leave_out_uploads(timeline: &mut Timeline, count: u64) {
    if count == 0 {
        return;
    }
    let omission = Omission::counted(LeftOut::Uploads, count);
    timeline.left_out.push(omission);
    if !timeline.incomplete.contains(&Incomplete::LeftOut) {
        timeline.incomplete.push(Incomplete::LeftOut);
    }
    timeline.complete = false;
    if let Some(phase) = timeline.maintenance_mut() {
        // Each had a request, which segments may have shown.
        let requests = usize::try_from(count).unwrap_or(usize::MAX);
        phase.exchanges_left_out = phase.exchanges_left_out.max(requests);
    }
}

/// Reduces a timeline to the uploads from this place on, and their exchanges.
pub fn keep_uploads(timeline: &mut Timeline, from: usize) {
    timeline.uploads.drain(..from.min(timeline.uploads.len()));
    let kept: HashSet<String> = timeline
        .uploads
        .iter()
        .map(|upload| upload.id.clone())
        .collect();
    let Some(phase) = timeline.maintenance_mut() else {
        return;
    };
    let all = phase.exchanges.len();
    phase.exchanges.retain(|exchange| {
        let mut ids = exchange.upload.iter().chain(&exchange.uploads);
        ids.any(|id| kept.contains(id))
    });
    phase.exchanges_left_out += all - phase.exchanges.len();
}
