//! The numbers that a diagnosis stands on, as the page lists them.

use upload_protocol::{
    End,
    timeline::{BlackHole, Diagnosis, DiagnosisEvidence, HeldBackBy, TimedOut, WaitedFor},
    units::{bytes, duration},
};

/// A number: its key in links, its label, and its value.
pub(super) type Number = (&'static str, &'static str, String);

/// The keys of what a cause is known by, the most telling first.
const fn keys(cause: HeldBackBy) -> &'static [&'static str] {
    match cause {
        HeldBackBy::ClientSendBuffer => &["send-buffer"],
        HeldBackBy::Loss => &["black-hole", "retransmits"],
        HeldBackBy::Path => &["queue", "rtt"],
        HeldBackBy::Rtt => &["rtt"],
        HeldBackBy::ServerNotReading => &["unread", "disk"],
        HeldBackBy::ServerThinks => &["disk"],
        HeldBackBy::ServerWindow => &["window"],
        HeldBackBy::WaitsForPeer => &["stream-window", "rate"],
        HeldBackBy::ClientApplication | HeldBackBy::ClientSide => &["rate"],
        _ => &[],
    }
}

/// The key of the number that a cause is known by, among those that are listed.
pub(super) fn key_of(cause: HeldBackBy, numbers: &[Number]) -> Option<&'static str> {
    let is_listed = |key: &&&str| numbers.iter().any(|(known, ..)| known == *key);
    keys(cause).iter().find(is_listed).copied()
}

/// What is known.
pub(super) fn numbers(diagnosis: &Diagnosis) -> Vec<Number> {
    let evidence = &diagnosis.evidence;
    let size = |size: Option<u32>| size.map(|size| bytes(size.into()).to_string());
    let time = |ns: Option<u64>| ns.map(|ns| duration(ns).to_string());
    let known_as = evidence.named.map(|named| named.name().replace('_', " "));
    let rate = evidence.bytes_per_second;
    let found = [
        ("named", "Known as", known_as),
        (
            "rate",
            "Rate of the body",
            rate.map(|rate| format!("{}/s", bytes(rate))),
        ),
        ("rtt", "Round-trip time", rtt(evidence)),
        (
            "queue",
            "Wait in queues of the path",
            time(evidence.queue_ns),
        ),
        (
            "retransmits",
            "Segments sent again",
            evidence.retransmits.map(|count| count.to_string()),
        ),
        (
            "black-hole",
            "What the path drops",
            evidence.black_hole.as_ref().map(black_hole),
        ),
        ("window", "The server's window", window(evidence)),
        (
            "stream-window",
            "The window of each HTTP/2 stream",
            size(evidence.stream_window_bytes),
        ),
        (
            "unread",
            "Most that waited for the server's process",
            size(evidence.unread_bytes),
        ),
        ("disk", "Wait for the server's disk", time(evidence.disk_ns)),
        (
            "delay",
            "Longest delay beyond the fastest segment",
            time(evidence.delay_ns),
        ),
        (
            "processor",
            "CPU time of the client's thread that sends",
            time(evidence.processor_ns),
        ),
        (
            "send-buffer",
            "The client's send buffer",
            buffer(
                evidence.send_buffer_bytes,
                evidence.send_buffer_fixed,
                evidence.send_buffer_largest,
                "tcp_wmem",
            ),
        ),
        (
            "receive-buffer",
            "The server's receive buffer",
            buffer(
                evidence.receive_buffer_bytes,
                evidence.receive_buffer_fixed,
                evidence.receive_buffer_largest,
                "tcp_rmem",
            ),
        ),
        (
            "time-out",
            "The time-out that ended it",
            diagnosis.ended_by.as_ref().map(time_out),
        ),
    ];
    let known = found.into_iter();
    known
        .filter_map(|(key, label, value)| Some((key, label, value?)))
        .collect()
}

fn rtt(evidence: &DiagnosisEvidence) -> Option<String> {
    let rtt = duration(evidence.rtt_ns?);
    Some(match evidence.min_rtt_ns {
        Some(least) => format!("{rtt}, at least {}", duration(least)),
        None => rtt.to_string(),
    })
}

fn window(evidence: &DiagnosisEvidence) -> Option<String> {
    let size = bytes(evidence.window_bytes?.into());
    let used = evidence.window_use.map_or_else(String::new, |used| {
        format!(", {:.0} % of it in use", used * 100.0)
    });
    let scaling = match evidence.window_scaling {
        Some(false) => ", without window scaling",
        _ => "",
    };
    Some(format!("{size}{used}{scaling}"))
}

fn buffer(
    size: Option<u32>,
    is_fixed: Option<bool>,
    is_largest: Option<bool>,
    limit: &str,
) -> Option<String> {
    let size = bytes(size?.into());
    Some(match (is_fixed, is_largest) {
        (Some(true), _) => format!("{size}, fixed by its process"),
        (_, Some(true)) => format!("{size}, the most that net.ipv4.{limit} permits"),
        _ => size.to_string(),
    })
}

fn black_hole(hole: &BlackHole) -> String {
    let (dropped, passed) = (bytes(hole.dropped_bytes.into()), bytes(hole.passed_bytes));
    format!(
        "a segment with {dropped} of payload, sent again {} times; at most {passed} passed",
        hole.time_outs
    )
}

fn time_out(timed_out: &TimedOut) -> String {
    let end = match timed_out.end {
        End::Client => "the client's",
        End::Server => "the server's",
    };
    let waited_for = match timed_out.waited_for {
        WaitedFor::Request => "the request",
        WaitedFor::Response => "the response",
        WaitedFor::NextRequest => "the next request",
    };
    let silence = timed_out.silence_ns.map_or_else(String::new, |silence| {
        format!(", after {}", duration(silence))
    });
    let status = timed_out
        .status
        .map_or_else(String::new, |status| format!(", status {status}"));
    format!("{end}, for {waited_for}{silence}{status}")
}

#[cfg(test)]
mod tests {
    use upload_protocol::timeline::NamedCause;

    use super::*;

    #[test]
    fn everything_that_is_known_is_listed() {
        let diagnosis = Diagnosis {
            evidence: DiagnosisEvidence {
                bytes_per_second: Some(1_000_000),
                rtt_ns: Some(58_000_000),
                min_rtt_ns: Some(20_000_000),
                retransmits: Some(4),
                window_use: Some(0.09),
                window_bytes: Some(65_535),
                unread_bytes: Some(2_896),
                delay_ns: Some(41_000_000),
                send_buffer_bytes: Some(16_384),
                send_buffer_fixed: Some(true),
                receive_buffer_bytes: Some(6_291_456),
                receive_buffer_fixed: Some(false),
                window_scaling: Some(false),
                named: Some(NamedCause::MtuBlackHole),
                queue_ns: Some(38_000_000),
                black_hole: Some(BlackHole {
                    dropped_bytes: 1_448,
                    time_outs: 5,
                    passed_bytes: 100,
                    mss_fell: false,
                }),
                stream_window_bytes: Some(65_535),
                processor_ns: Some(900_000_000),
                disk_ns: Some(2_000_000_000),
                send_buffer_largest: Some(true),
                receive_buffer_largest: Some(true),
            },
            ended_by: Some(TimedOut {
                end: End::Server,
                waited_for: WaitedFor::Request,
                status: Some(408),
                silence_ns: Some(60_000_000_000),
            }),
            ..Diagnosis::default()
        };
        let listed: Vec<_> = numbers(&diagnosis)
            .into_iter()
            .map(|(key, _, value)| (key, value))
            .collect();
        let expected = [
            ("named", "mtu black hole"),
            ("rate", "1.0 MB/s"),
            ("rtt", "58.0 ms, at least 20.0 ms"),
            ("queue", "38.0 ms"),
            ("retransmits", "4"),
            (
                "black-hole",
                "a segment with 1.4 kB of payload, sent again 5 times; at most 100 B passed",
            ),
            (
                "window",
                "65.5 kB, 9 % of it in use, without window scaling",
            ),
            ("stream-window", "65.5 kB"),
            ("unread", "2.8 kB"),
            ("disk", "2.0 s"),
            ("delay", "41.0 ms"),
            ("processor", "900 ms"),
            ("send-buffer", "16.3 kB, fixed by its process"),
            (
                "receive-buffer",
                "6.2 MB, the most that net.ipv4.tcp_rmem permits",
            ),
            (
                "time-out",
                "the server's, for the request, after 60.0 s, status 408",
            ),
        ];
        assert_eq!(listed, expected.map(|(key, value)| (key, value.to_owned())));
        let numbers = numbers(&diagnosis);
        assert_eq!(key_of(HeldBackBy::Loss, &numbers), Some("black-hole"));
        assert_eq!(key_of(HeldBackBy::Loss, &numbers[..5]), Some("retransmits"));
        assert_eq!(key_of(HeldBackBy::Tls, &numbers), None);
    }

    #[test]
    fn nothing_is_listed_of_what_is_unknown() {
        assert!(numbers(&Diagnosis::default()).is_empty());
    }
}
