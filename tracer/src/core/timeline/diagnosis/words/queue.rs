//! The words of a queue on the path: how long segments waited in it.

use upload_protocol::{
    timeline::{Diagnosis, HeldBackBy},
    units,
};

/// A shorter queue is not worth a word.
const SHORT_NS: u64 = 1_000_000;

/// A full path whose queue is no longer than it needs.
pub(super) fn of_path(diagnosis: &Diagnosis) -> Option<String> {
    let is_path = diagnosis.verdict == Some(HeldBackBy::Path);
    let waited = waited(diagnosis).filter(|_| is_path)?;
    Some(format!(
        "The path between client and server was full: segments waited {waited} in its queue."
    ))
}

/// One whose queue is much longer.
pub(super) fn of_long_queue(diagnosis: &Diagnosis) -> Option<String> {
    let rtt = diagnosis.evidence.min_rtt_ns?;
    Some(format!(
        "The path between client and server was full: segments waited {} in its queue, where a round trip takes {}.",
        waited(diagnosis)?,
        units::duration(rtt)
    ))
}

/// A mean, or, seen from the end that receives alone, the longest.
fn waited(diagnosis: &Diagnosis) -> Option<String> {
    let queue_ns = diagnosis
        .evidence
        .queue_ns
        .filter(|queue| *queue >= SHORT_NS)?;
    let most = if diagnosis.sees_sender() {
        ""
    } else {
        "up to "
    };
    Some(format!("{most}{}", units::duration(queue_ns)))
}
