//! The values of labels: the names that NDJSON has, too.

use upload_protocol::{
    line::Hop,
    timeline::{
        Diagnosis, Failure, HeldBackBy, Incomplete, Initiation, NoVerdict, Side, Timeline,
        TlsVersion,
    },
    upload::Outcome,
};

pub(super) const OUTCOMES: [&str; 9] = [
    "complete",
    "aborted",
    "reset",
    "timed_out",
    "too_large",
    "refused",
    "disk_full",
    "failed",
    UNKNOWN,
];

pub(super) const HOPS: [Hop; 9] = [
    Hop::Ring,
    Hop::Sockets,
    Hop::Recursion,
    Hop::Decode,
    Hop::Table,
    Hop::Handshakes,
    Hop::Sink,
    Hop::Feed,
    Hop::Otlp,
];

/// How connections end, as a label has it.
pub(super) const ENDINGS: [&str; 6] = ["fin", "rst", "error", NOT_OPENED, EVICTED, UNFINISHED];

const NOT_OPENED: &str = "not_opened";
const EVICTED: &str = "evicted";
const UNFINISHED: &str = "unfinished";
const UNKNOWN: &str = "unknown";
const NONE: &str = "none";

/// How an upload ended.
pub(super) const fn outcome(outcome: Option<Outcome>) -> &'static str {
    match outcome {
        Some(outcome) => outcome.name(),
        None => UNKNOWN,
    }
}

/// The place of a loss.
pub(super) const fn hop(hop: Hop) -> &'static str {
    hop.name()
}

/// How a connection ended: `not_opened`, as its termination has it, `evicted`, or `unfinished` where its end was not
/// seen.
pub(super) fn ending(timeline: &Timeline) -> &'static str {
    let failure = timeline.initiation().and_then(|phase| phase.failure);
    let ending = timeline.termination().and_then(|phase| phase.ending);
    match (failure, ending) {
        (Some(_), _) => NOT_OPENED,
        (None, Some(ending)) => ending.name(),
        (None, None) if timeline.incomplete.contains(&Incomplete::Evicted) => EVICTED,
        (None, None) => UNFINISHED,
    }
}

/// What became of the attempt to open a connection.
pub(super) fn opening(initiation: &Initiation) -> &'static str {
    initiation.failure.map_or("opened", Failure::name)
}

/// The numbers of a version of TLS, as OpenTelemetry's `tls.protocol.version` has them.
pub(super) fn tls_version(version: Option<TlsVersion>) -> &'static str {
    match version {
        Some(TlsVersion::TLS_1_3) => "1.3",
        Some(TlsVersion::TLS_1_2) => "1.2",
        Some(TlsVersion::TLS_1_1) => "1.1",
        Some(TlsVersion::TLS_1_0) => "1",
        Some(_) => "other",
        None => UNKNOWN,
    }
}

/// The first digit of a status, which a server chooses (RFC 9110, section 15).
pub(super) const fn status_class(status: Option<u16>) -> &'static str {
    match status {
        Some(100..200) => "1xx",
        Some(200..300) => "2xx",
        Some(300..400) => "3xx",
        Some(400..500) => "4xx",
        Some(500..600) => "5xx",
        Some(_) => "other",
        None => NONE,
    }
}

/// The verdict, or why there is none.
pub(super) fn verdict(diagnosis: &Diagnosis) -> &'static str {
    let verdict = diagnosis.verdict.map(HeldBackBy::name);
    let none = || diagnosis.no_verdict.map(NoVerdict::name);
    verdict.or_else(none).unwrap_or(UNKNOWN)
}

/// Where the verdict's cause is.
pub(super) fn side(diagnosis: Option<&Diagnosis>) -> &'static str {
    let side = diagnosis.and_then(|diagnosis| diagnosis.side);
    side.map_or(NONE, Side::name)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use upload_protocol::{line::Hop, upload::Outcome};

    use super::{HOPS, OUTCOMES};

    /// Names in NDJSON are promises, and labels have the same.
    #[test]
    fn labels_have_the_names_of_ndjson() {
        for name in OUTCOMES.iter().filter(|name| **name != "unknown") {
            let outcome: Outcome = serde_json::from_value(json!(name)).unwrap();
            assert_eq!(outcome.name(), *name);
        }
        for hop in HOPS {
            assert_eq!(serde_json::to_value(hop).unwrap(), json!(hop.name()));
        }
        assert!(serde_json::from_value::<Hop>(json!("early")).is_ok());
    }
}
