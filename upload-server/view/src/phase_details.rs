//! Details of a phase, in a few words each.

use upload_protocol::{
    timeline::{Ending, Initiation, Maintenance, Timeline},
    units::{duration, exact_bytes},
};

pub(super) fn of_initiation(phase: &Initiation) -> Vec<String> {
    let mut details = Vec::new();
    details.extend(
        phase
            .failure
            .as_ref()
            .map(|failure| format!("never opened: {failure}")),
    );
    details.extend(
        phase
            .rtt_ns
            .map(|rtt| format!("round-trip time {}", duration(rtt))),
    );
    if let Some(options) = &phase.options {
        details.extend(Some(format!("MSS {}", options.mss)));
        details.extend(options.window_scale.as_ref().map(|scale| {
            format!(
                "window scale {} (client) and {} (server)",
                scale.client, scale.server
            )
        }));
        details.extend(options.sack_permitted.then(|| "SACK".to_owned()));
        details.extend(options.timestamps.then(|| "timestamps".to_owned()));
    }
    details.extend(
        phase
            .accept_wait_ns
            .map(|wait| format!("waited {} for accept()", duration(wait))),
    );
    details
}

pub(super) fn of_maintenance(phase: &Maintenance, timeline: &Timeline) -> Vec<String> {
    let mut details = Vec::new();
    if let Some(tls) = &phase.tls {
        details.extend(tls.version.map(|version| version.to_string()));
        details.extend(tls.cipher_suite.clone().map(String::from));
        details.extend(
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
        details.push(match bytes {
            Some(bytes) => format!("{} {direction}", exact_bytes(bytes)),
            None if timeline.open => format!("bytes {direction} unknown until it is closed"),
            None => format!("bytes {direction} unknown"),
        });
    }
    let by = &timeline.retransmits_by;
    for (end, count) in [("client", by.client), ("server", by.server)] {
        details.push(match count {
            Some(1) => format!("1 segment sent again by the {end}"),
            Some(count) => format!("{count} segments sent again by the {end}"),
            None => format!("what the {end} sent again is unknown"),
        });
    }
    let window = phase.congestion_window.client;
    details.extend(window.map(|window| format!("congestion window {window} segments (client)")));
    details.extend(
        phase
            .rtt_ns
            .map(|rtt| format!("smoothed round-trip time {}", duration(rtt))),
    );
    details
}

pub(super) fn of_termination(timeline: &Timeline) -> Vec<String> {
    let Some(phase) = timeline.termination() else {
        return Vec::new();
    };
    let mut details = Vec::new();
    if timeline.open && phase.steps.is_empty() && phase.ending.is_none() {
        details.push("the connection is still open".to_owned());
    }
    details.push(match (phase.closed_first, phase.ending) {
        (Some(end), Some(Ending::Rst)) => format!("ended by a RST; the {} was first", end.name()),
        (Some(end), Some(Ending::Error)) if phase.ended_by == Some(end) => {
            format!("the {} gave up", end.name())
        }
        (Some(end), _) => format!("the {} closed first", end.name()),
        (None, _) => "who closes first is unknown".to_owned(),
    });
    let cause = &phase.cause;
    details.extend(cause.timer.map(|timer| timer.meaning().to_owned()));
    details.extend(cause.error.map(|error| match error.meaning() {
        Some(meaning) => format!("{error}: {meaning}"),
        None => error.to_string(),
    }));
    details.extend(cause.reset_reason.map(|reason| reason.meaning().to_owned()));
    details.extend(
        phase
            .open_end
            .map(|end| format!("the {}'s end is still open", end.name())),
    );
    details.extend(phase.simultaneous.then(|| "both closed at once".to_owned()));
    let half = "the one that closed first went on receiving (half-close)";
    details.extend(phase.half_close.then(|| half.to_owned()));
    details.extend(
        phase
            .time_wait
            .map(|end| format!("TIME_WAIT at the {} (inferred)", end.name())),
    );
    details.extend(phase.missing.iter().map(ToString::to_string));
    details
}
