//! What was left out of a connection.

use upload_protocol::timeline::{LeftOut, Omission};

use crate::core::connection::{Connection, IncidentsLeftOut};

pub(super) fn omissions(connection: &Connection) -> Vec<Omission> {
    let mut omissions = connection.dialogue.payload.omissions();
    let of_views = |count: fn(&IncidentsLeftOut) -> u64| {
        let views = connection.views();
        views
            .map(|(_, view)| count(&view.incidents().left_out))
            .sum()
    };
    for (what, count) in [
        (LeftOut::Steps, connection.dialogue.steps_left_out.into()),
        (LeftOut::Processes, of_views(|left_out| left_out.holders)),
        (LeftOut::Resets, of_views(|left_out| left_out.resets)),
        (LeftOut::SynRetransmits, of_views(|left_out| left_out.syns)),
    ] {
        if count > 0 {
            omissions.push(Omission::counted(what, count));
        }
    }
    omissions
}
