//! What else is known of a phase, in a few words each.

use super::{
    document::{Initiation, Maintenance, Timeline},
    units::{duration, exact},
};

pub(super) fn of_initiation(phase: &Initiation) -> Vec<String> {
    let mut said = Vec::new();
    said.extend(
        phase
            .failure
            .as_ref()
            .map(|failure| format!("never opened: {failure}")),
    );
    said.extend(
        phase
            .rtt_ns
            .map(|rtt| format!("round-trip time {}", duration(rtt))),
    );
    if let Some(options) = &phase.options {
        said.extend(options.mss.map(|mss| format!("MSS {mss}")));
        said.extend(options.window_scale.as_ref().map(|scale| {
            format!(
                "window scale {} (client) and {} (server)",
                scale.client, scale.server
            )
        }));
        said.extend(options.sack_permitted.then(|| "SACK".to_owned()));
        said.extend(options.timestamps.then(|| "timestamps".to_owned()));
    }
    said.extend(
        phase
            .accept_wait_ns
            .map(|wait| format!("waited {} for accept()", duration(wait))),
    );
    said
}

pub(super) fn of_maintenance(phase: &Maintenance, timeline: &Timeline) -> Vec<String> {
    let mut said = Vec::new();
    if let Some(tls) = &phase.tls {
        said.extend(tls.version.clone());
        said.extend(tls.cipher_suite.clone());
        said.extend(
            tls.server_name
                .as_ref()
                .map(|name| format!("server name {name}")),
        );
    }
    let bytes = &timeline.bytes;
    for (direction, bytes) in [
        ("to the server", bytes.client_to_server),
        ("to the client", bytes.server_to_client),
    ] {
        said.push(match bytes {
            Some(bytes) => format!("{} {direction}", exact(bytes)),
            None if timeline.open => format!("bytes {direction} unknown until it is closed"),
            None => format!("bytes {direction} unknown"),
        });
    }
    let by = &timeline.retransmits_by;
    for (end, count) in [("client", by.client), ("server", by.server)] {
        said.push(match count {
            Some(1) => format!("1 segment sent again by the {end}"),
            Some(count) => format!("{count} segments sent again by the {end}"),
            None => format!("what the {end} sent again is unknown"),
        });
    }
    said.extend(
        phase
            .rtt_ns
            .map(|rtt| format!("smoothed round-trip time {}", duration(rtt))),
    );
    said
}

pub(super) fn of_termination(timeline: &Timeline) -> Vec<String> {
    let Some(phase) = timeline.termination() else {
        return Vec::new();
    };
    let mut said = Vec::new();
    if timeline.open && phase.steps.is_empty() {
        said.push("the connection is still open".to_owned());
    }
    said.push(match (phase.closed_first, phase.how.as_deref()) {
        (Some(end), Some("rst")) => format!("ended by a RST; the {} was first", end.word()),
        (Some(end), _) => format!("the {} closed first", end.word()),
        (None, _) => "who closes first is unknown".to_owned(),
    });
    said.extend(phase.simultaneous.then(|| "both closed at once".to_owned()));
    let half = "the one that closed first went on receiving (half-close)";
    said.extend(phase.half_close.then(|| half.to_owned()));
    said.extend(
        phase
            .time_wait
            .map(|end| format!("TIME_WAIT at the {} (inferred)", end.word())),
    );
    said.extend(phase.missing.iter().cloned());
    said
}
