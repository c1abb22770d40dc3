//! Who sees only one end of a connection tells no number that differs from what both ends tell.

use serde_json::Value;

use super::story::{Story, assert_nothing_lost};
use crate::trace::Trace;

/// What one end alone tells otherwise than both, for each connection.
pub(super) fn contradictions(story: &Story) -> Vec<String> {
    let mut found = Vec::new();
    for (end, trace) in [("client", &story.client), ("server", &story.server)] {
        assert_nothing_lost(trace);
        let wrong = trace.timelines().into_iter();
        let wrong = wrong.filter_map(|part| wrong_of(part, &story.both));
        found.extend(wrong.map(|wrong| format!("at the {end} alone, {wrong}")));
    }
    found
}

/// What a timeline of one end tells otherwise than the one of both ends.
fn wrong_of(part: &Value, both: &Trace) -> Option<String> {
    let addresses = |timeline: &Value| {
        ["client", "server"].map(|end| {
            let end = &timeline[end];
            (end["addr"].clone(), end["port"].clone())
        })
    };
    let mut whole = both.timelines().into_iter();
    let whole = whole.find(|whole| addresses(whole) == addresses(part));
    let Some(whole) = whole else {
        return Some(format!("no connection has these ends: {part}"));
    };
    let mut wrong = Vec::new();
    for path in [
        "/bytes",
        "/uploads",
        "/phases/1/exchanges",
        "/phases/2/closed_first",
    ] {
        compare(path, whole.pointer(path), part.pointer(path), &mut wrong);
    }
    (!wrong.is_empty()).then(|| {
        let exchanges = part.pointer("/phases/1/exchanges");
        format!(
            "{}: {}; complete: {}, left out: {}, exchanges: {exchanges:?}",
            part["connection"],
            wrong.join("; "),
            part["complete"],
            part["left_out"],
        )
    })
}

/// Fields that differ because the ends have their own ids and clock readings.
const OWN: [&str; 19] = [
    "id",
    "connection",
    "upload",
    "start_ns",
    "end_ns",
    "certainty",
    "bytes_per_second",
    "continue_ns",
    "known_by",
    "span",
    "wait",
    "at_ns",
    "sequence",
    "diagnosis",
    "request_mono_ns",
    "request_ns",
    "wait_ns",
    "held_ns",
    "share",
];

fn compare(path: &str, whole: Option<&Value>, part: Option<&Value>, wrong: &mut Vec<String>) {
    match (whole, part) {
        (_, None | Some(Value::Null)) => {}
        (Some(Value::Array(whole)), Some(Value::Array(part))) => {
            if part.len() != whole.len() {
                wrong.push(format!("{path}: {} of {}", part.len(), whole.len()));
                return;
            }
            for (index, part) in part.iter().enumerate() {
                compare(
                    &format!("{path}/{index}"),
                    whole.get(index),
                    Some(part),
                    wrong,
                );
            }
        }
        (Some(Value::Object(whole)), Some(Value::Object(part))) => {
            for (name, part) in part
                .iter()
                .filter(|(name, _)| !OWN.contains(&name.as_str()))
            {
                compare(
                    &format!("{path}/{name}"),
                    whole.get(name),
                    Some(part),
                    wrong,
                );
            }
        }
        (whole, Some(part)) if whole == Some(part) => {}
        (whole, Some(part)) => wrong.push(format!("{path}: {part}, in truth {whole:?}")),
    }
}
