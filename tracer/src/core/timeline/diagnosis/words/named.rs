//! The words of a cause that has a name, with its numbers. Where one is missing, those of the cause remain.

use upload_protocol::{
    timeline::{BlackHole, Diagnosis, DiagnosisEvidence, HeldBackBy, NamedCause},
    units,
};

use super::queue;

pub(super) fn sentence(diagnosis: &Diagnosis) -> Option<String> {
    let evidence = &diagnosis.evidence;
    Some(match evidence.named? {
        NamedCause::MtuBlackHole => of_black_hole(&evidence.black_hole?),
        NamedCause::Bufferbloat => queue::of_long_queue(diagnosis)?,
        NamedCause::Http2Window => format!(
            "The client's process waited for the server to open a window of HTTP/2{}.",
            match evidence.stream_window_bytes {
                Some(window) => format!(
                    ": that of each stream begins with {}",
                    units::bytes(window.into())
                ),
                None => String::new(),
            }
        ),
        NamedCause::SoSndbuf => format!(
            "The client's send buffer of {}, set by its process with SO_SNDBUF, was full of what was not acknowledged yet.",
            size(evidence.send_buffer_bytes?)
        ),
        NamedCause::TcpWmem => format!(
            "The client's send buffer of {}, the most that net.ipv4.tcp_wmem permits, was full of what was not acknowledged yet.",
            size(evidence.send_buffer_bytes?)
        ),
        NamedCause::SoRcvbuf => format!(
            "The server's receive window was too small for a path of this length: its process set the buffer to {} with SO_RCVBUF.",
            size(evidence.receive_buffer_bytes?)
        ),
        NamedCause::TcpRmem => format!(
            "The server's receive window was too small for a path of this length: its buffer has {}, the most that net.ipv4.tcp_rmem permits.",
            size(evidence.receive_buffer_bytes?)
        ),
        NamedCause::NoWindowScaling => {
            "The server's receive window was too small for a path of this length: without window scaling it ends at 65.5 kB.".to_owned()
        }
        NamedCause::Cpu => format!(
            "The client's process had nothing to send: its thread was busy on a CPU for {}.",
            units::duration(evidence.processor_ns?)
        ),
        NamedCause::Disk => {
            let did = match diagnosis.verdict? {
                HeldBackBy::ServerThinks => "had the whole body, and took long to answer",
                _ => "did not read what had arrived",
            };
            let waited = units::duration(evidence.disk_ns?);
            format!("The server {did}: it waited {waited} for its disk.")
        }
    })
}

pub(super) fn advice(evidence: &DiagnosisEvidence) -> Option<String> {
    Some(match evidence.named? {
        NamedCause::MtuBlackHole => {
            let hole = evidence.black_hole?;
            let passed = hole.passed_bytes;
            let found = if hole.mss_fell {
                format!("Segments with at most {passed} bytes of payload passed")
            } else {
                format!("No segment with more than {passed} bytes of payload was ever acknowledged")
            };
            format!("{found}: lower the MTU, or let ICMP pass.")
        }
        NamedCause::Bufferbloat => {
            "More connections will not help. Shorten the queue where the path is slowest, with fq_codel or CAKE: it delays everything else there, too.".to_owned()
        }
        NamedCause::Http2Window => match in_flight(evidence) {
            Some(bytes) => format!(
                "Raise the server's windows, of the stream and of the connection, well above rate × round-trip time, which is {} here.",
                units::bytes(bytes)
            ),
            None => "Raise the server's windows, of the stream and of the connection.".to_owned(),
        },
        NamedCause::SoSndbuf => format!(
            "Do not set SO_SNDBUF: a buffer of {} is too small for this path.",
            size(evidence.send_buffer_bytes?)
        ),
        NamedCause::TcpWmem => format!(
            "Raise the last number of net.ipv4.tcp_wmem on the client above {}.",
            evidence.send_buffer_bytes?
        ),
        NamedCause::SoRcvbuf => format!(
            "Do not set SO_RCVBUF on the server: a buffer of {} is too small for this path.",
            size(evidence.receive_buffer_bytes?)
        ),
        NamedCause::TcpRmem => format!(
            "Raise the last number of net.ipv4.tcp_rmem on the server above {}.",
            evidence.receive_buffer_bytes?
        ),
        NamedCause::NoWindowScaling => {
            "Look for a device on the path that takes window scaling out of the SYN, or enable net.ipv4.tcp_window_scaling.".to_owned()
        }
        NamedCause::Disk => {
            "Give the server a faster disk, or find what else writes to it.".to_owned()
        }
        NamedCause::Cpu => {
            "Look at what the client computes for each byte, such as a compression, a digest or a cipher.".to_owned()
        }
    })
}

fn of_black_hole(hole: &BlackHole) -> String {
    let BlackHole {
        dropped_bytes,
        time_outs,
        ..
    } = hole;
    let end = if hole.mss_fell {
        "and was not acknowledged until the kernel made it smaller"
    } else {
        "and never acknowledged"
    };
    format!(
        "A segment with {dropped_bytes} bytes of payload was sent again {time_outs} times, {end}."
    )
}

/// Bytes under way at once: rate × round-trip time.
pub(super) fn in_flight(evidence: &DiagnosisEvidence) -> Option<u64> {
    let scaled = u128::from(evidence.bytes_per_second?) * u128::from(evidence.rtt_ns?);
    u64::try_from(scaled / 1_000_000_000).ok()
}

fn size(bytes: u32) -> impl std::fmt::Display {
    units::bytes(bytes.into())
}
