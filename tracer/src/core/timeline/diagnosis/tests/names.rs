//! What causes are called, and the words for it.

use std::net::SocketAddr;

use tracer_ebpf::record::{
    Counters, FIXED_RECEIVE_BUFFER, LARGEST_RECEIVE_BUFFER, LARGEST_SEND_BUFFER,
};
use upload_protocol::{
    End, State,
    timeline::{BlackHole, NamedCause, TimedOut, WaitedFor},
};

use zerocopy::FromZeros as _;

use super::*;
use crate::core::{
    address::Address, connection::View, event::Addresses, timeline::diagnosis::black_hole,
};

/// The name of the verdict's cause, its sentence and its advice.
fn check(body: &Body, signs: Signs, named: Option<NamedCause>, sentence: &str, advice: &str) {
    let found = with_signs(body, signs);
    assert_eq!(found.evidence.named, named, "{found:#?}");
    assert_eq!(found.sentence, sentence);
    assert_eq!(found.advice.unwrap(), advice);
}

fn with_signs(body: &Body, signs: Signs) -> Diagnosis {
    let mut found = diagnosis(body);
    named::put(&mut found, body, signs);
    words::put(&mut found);
    found
}

#[test]
fn a_long_queue_has_a_name_and_a_short_one_has_none() {
    let queued = |rtt, least| {
        let client = Stretch {
            rtt_ns: Some(rtt * MS),
            min_rtt_ns: Some(least * MS),
            ..client(&[&[(sender::CONGESTION_WINDOW, 1000)]])
        };
        with_signs(&body(Some(client), None), Signs::default()).evidence
    };
    let check = |rtt, least, named| {
        let found = queued(rtt, least);
        assert_eq!(found.named, named, "{rtt} ms, at least {least} ms");
        assert_eq!(found.queue_ns, Some((rtt - least) * MS));
    };
    check(500, 20, Some(NamedCause::Bufferbloat));
    check(121, 20, Some(NamedCause::Bufferbloat));
    check(110, 20, None);
    // A long path: a queue of its own length is what one flow needs.
    check(179, 60, None);
}

#[test]
fn the_words_of_a_long_queue() {
    let client = Stretch {
        rtt_ns: Some(500 * MS),
        ..client(&[&[(sender::CONGESTION_WINDOW, 1000)]])
    };
    check(
        &body(Some(client), None),
        Signs::default(),
        Some(NamedCause::Bufferbloat),
        "The path between client and server was full: segments waited 480 ms in its queue, where a round trip takes 20.0 ms. It went at 1.0 MB/s.",
        "More connections will not help. Shorten the queue where the path is slowest, with fq_codel or CAKE: it delays everything else there, too.",
    );
    let late = Stretch {
        delay_ns: 300 * MS,
        ..server(&[(receiver::LATE, 1000)])
    };
    let found = with_signs(&body(None, Some(late)), Signs::default());
    assert_eq!(found.evidence.named, Some(NamedCause::Bufferbloat));
    assert_eq!(found.evidence.queue_ns, Some(300 * MS));
    assert!(found.sentence.contains("waited up to 300 ms in its queue"));
}

#[test]
fn the_words_of_a_path_whose_queue_is_short() {
    let client = Stretch {
        rtt_ns: Some(58 * MS),
        ..client(&[&[(sender::PACING, 1000)]])
    };
    assert_eq!(
        with_signs(&body(Some(client), None), Signs::default()).sentence,
        "The path between client and server was full: segments waited 38.0 ms in its queue. It went at 1.0 MB/s."
    );
}

#[test]
fn buffers_that_a_process_or_the_kernel_s_settings_limit() {
    let full = |fixed_buffers| {
        let client = Stretch {
            fixed_buffers,
            send_buffer: 4_194_304,
            ..client(&[&[(sender::SEND_BUFFER, 1000)]])
        };
        body(Some(client), None)
    };
    check(
        &full(FIXED_SEND_BUFFER | LARGEST_SEND_BUFFER),
        Signs::default(),
        Some(NamedCause::SoSndbuf),
        "The client's send buffer of 4.1 MB, set by its process with SO_SNDBUF, was full of what was not acknowledged yet. It went at 1.0 MB/s.",
        "Do not set SO_SNDBUF: a buffer of 4.1 MB is too small for this path.",
    );
    check(
        &full(LARGEST_SEND_BUFFER),
        Signs::default(),
        Some(NamedCause::TcpWmem),
        "The client's send buffer of 4.1 MB, the most that net.ipv4.tcp_wmem permits, was full of what was not acknowledged yet. It went at 1.0 MB/s.",
        "Raise the last number of net.ipv4.tcp_wmem on the client above 4194304.",
    );
    let small = |fixed_buffers| {
        let server = Stretch {
            fixed_buffers,
            own_window: 21_000,
            receive_buffer: 65_536,
            ..server(&[(receiver::WINDOW, 1000)])
        };
        body(None, Some(server))
    };
    let named = |body: &Body| with_signs(body, Signs::default()).evidence.named;
    assert_eq!(named(&small(0)), None);
    assert_eq!(
        named(&small(FIXED_RECEIVE_BUFFER)),
        Some(NamedCause::SoRcvbuf)
    );
    assert_eq!(
        named(&small(LARGEST_RECEIVE_BUFFER)),
        Some(NamedCause::TcpRmem)
    );
    let unscaled = Body {
        window_scaling: Some(false),
        ..small(LARGEST_RECEIVE_BUFFER)
    };
    assert_eq!(named(&unscaled), Some(NamedCause::NoWindowScaling));
}

#[test]
fn a_window_of_http2() {
    let waits = || client(&[&[(sender::LOCKSTEP, 1000)]]);
    let signs = Signs {
        is_http2: true,
        stream_window: Some(65_535),
        ..Signs::default()
    };
    check(
        &body(Some(waits()), None),
        signs,
        Some(NamedCause::Http2Window),
        "The client's process waited for the server to open a window of HTTP/2: that of each stream begins with 65.5 kB. It went at 1.0 MB/s.",
        "Raise the server's windows, of the stream and of the connection, well above rate × round-trip time, which is 20.0 kB here.",
    );
    let found = with_signs(&body(Some(waits()), None), Signs::default());
    assert_eq!(found.evidence.named, None);
}

#[test]
fn a_thread_that_was_busy_all_the_while() {
    let busy = |ms| {
        let client = Stretch {
            processor_ns: Some(ms * MS),
            ..client(&[&[(sender::APPLICATION, 1000)]])
        };
        with_signs(&body(Some(client), None), Signs::default())
    };
    assert_eq!(busy(900).evidence.named, Some(NamedCause::Cpu));
    assert_eq!(
        busy(900).sentence,
        "The client's process had nothing to send: its thread was busy on a CPU for 900 ms. It went at 1.0 MB/s."
    );
    assert_eq!(busy(700).evidence.named, None);
    assert_eq!(busy(700).evidence.processor_ns, Some(700 * MS));
}

/// A sender that had 101 sequence numbers acknowledged before these time-outs, each of so many bytes, and
/// then so many.
fn stalled(time_outs: &[u32], acked_at_last: u64) -> View {
    let address = |last| Address::from(SocketAddr::from(([10, 0, 0, last], 5000)));
    let addresses = Addresses {
        local: address(1),
        remote: address(2),
        netns: 0,
    };
    let mut view = View::new(1, addresses);
    let counters = Counters {
        bytes_acked: acked_at_last,
        ..Counters::new_zeroed()
    };
    let changes = [
        (State::Close, State::SynSent),
        (State::SynSent, State::Established),
        (State::Established, State::Close),
    ];
    for change in changes {
        view.record_transition(1, change, &counters, 0);
    }
    for length in time_outs {
        view.record_time_out(5, 101, *length);
    }
    view
}

#[test]
fn a_segment_that_is_never_acknowledged_while_smaller_ones_are() {
    let seen = |view: &View, mss| {
        let stretch = Stretch { mss, ..stretch() };
        black_hole::seen(view, Some(&stretch), (0, 10))
    };
    let hole = |time_outs, passed_bytes, mss_fell| {
        Some(BlackHole {
            dropped_bytes: 1448,
            time_outs,
            passed_bytes,
            mss_fell,
        })
    };
    assert_eq!(seen(&stalled(&[1448; 5], 101), 1448), hole(5, 100, false));
    // It was acknowledged at last: the path had failed for a while.
    assert_eq!(seen(&stalled(&[1448; 5], 90_000), 1448), None);
    // Once more could be chance.
    assert_eq!(seen(&stalled(&[1448; 3], 101), 1448), None);
    // One that is no larger than what passed.
    assert_eq!(seen(&stalled(&[80; 5], 101), 1448), None);
    // The kernel made it smaller, and then it passed.
    let lowered = stalled(&[1448, 1448, 1448, 1024], 90_000);
    assert_eq!(seen(&lowered, 1024), hole(3, 1024, true));
    // Not at the time of this upload.
    let view = stalled(&[1448; 5], 101);
    assert_eq!(black_hole::seen(&view, Some(&stretch()), (6, 10)), None);
}

#[test]
fn the_words_of_a_black_hole() {
    let lost = || body(Some(client(&[&[(sender::TIMEOUT, 1000)]])), None);
    let hole = BlackHole {
        dropped_bytes: 1448,
        time_outs: 5,
        passed_bytes: 142,
        mss_fell: false,
    };
    let signs = |hole| Signs {
        black_hole: Some(hole),
        ..Signs::default()
    };
    check(
        &lost(),
        signs(hole),
        Some(NamedCause::MtuBlackHole),
        "A segment with 1448 bytes of payload was sent again 5 times, and never acknowledged. It went at 1.0 MB/s.",
        "No segment with more than 142 bytes of payload was ever acknowledged: lower the MTU, or let ICMP pass.",
    );
    let lowered = BlackHole {
        passed_bytes: 1024,
        mss_fell: true,
        ..hole
    };
    check(
        &lost(),
        signs(lowered),
        Some(NamedCause::MtuBlackHole),
        "A segment with 1448 bytes of payload was sent again 5 times, and was not acknowledged until the kernel made it smaller. It went at 1.0 MB/s.",
        "Segments with at most 1024 bytes of payload passed: lower the MTU, or let ICMP pass.",
    );
}

#[test]
fn a_time_out_follows_the_verdict() {
    let mut found = diagnosis(&body(Some(client(&[&[(sender::IDLE, 1000)]])), None));
    let mut check = |end, waited_for, status, sentence: &str| {
        found.ended_by = Some(TimedOut {
            end,
            waited_for,
            status,
            silence_ns: Some(60_000 * MS),
        });
        words::put(&mut found);
        let (verdict, ended) = found.sentence.split_once("/s. ").unwrap();
        assert!(verdict.starts_with("The client's process had nothing"));
        assert_eq!(ended, sentence);
        assert!(
            found.advice.as_ref().unwrap().contains("time-out")
                || waited_for == WaitedFor::NextRequest
        );
    };
    check(
        End::Server,
        WaitedFor::Request,
        Some(408),
        "The server answered 408 after 60.0 s without a byte of the request.",
    );
    check(
        End::Server,
        WaitedFor::Response,
        Some(504),
        "The server answered 504, 60.0 s after the last byte of the request.",
    );
    check(
        End::Client,
        WaitedFor::Response,
        None,
        "The client closed the connection after 60.0 s without a byte of the response: a time-out.",
    );
    check(
        End::Server,
        WaitedFor::Response,
        None,
        "The server closed the connection, 60.0 s after the last byte of the request: a time-out.",
    );
    check(
        End::Server,
        WaitedFor::NextRequest,
        None,
        "The server closed the connection after 60.0 s without a request, when this one was on its way: a time-out of keep-alive.",
    );
}

/// In active mode of FTP the server opens the connection.
#[test]
fn a_sender_that_is_the_server_is_not_called_the_client() {
    let mut found = diagnosis(&body(Some(client(&[&[(sender::SEND_BUFFER, 1000)]])), None));
    found.sender = Some(End::Server);
    words::put(&mut found);
    assert_eq!(
        found.sentence,
        "The sender's send buffer was full of what was not acknowledged yet. It went at 1.0 MB/s."
    );
    assert_eq!(
        found.advice.as_deref(),
        Some("Raise the last number of net.ipv4.tcp_wmem on the sender.")
    );
    assert_eq!(
        found.phrase(HeldBackBy::ServerNotReading),
        "the receiver's process, which did not read"
    );
}

#[test]
fn a_disk_that_the_server_waited_for() {
    let reader = |waits_ms| {
        let unread = server(&[(receiver::NOT_READ, 900), (receiver::FLOW, 100)]);
        let signs = Signs {
            disk_ns: Some(waits_ms * MS),
            ..Signs::default()
        };
        (body(None, Some(unread)), signs)
    };
    let (late, signs) = reader(950);
    check(
        &late,
        signs,
        Some(NamedCause::Disk),
        "The server did not read what had arrived: it waited 950 ms for its disk. It went at 1.0 MB/s.",
        "Give the server a faster disk, or find what else writes to it.",
    );
    let (busy, signs) = reader(100);
    let found = with_signs(&busy, signs);
    assert_eq!(found.evidence.named, None);
    assert_eq!(found.evidence.disk_ns, Some(100 * MS));
    // A disk says nothing of a path.
    let full = client(&[&[(sender::PACING, 1000)]]);
    let found = with_signs(&body(Some(full), None), reader(950).1);
    assert_eq!(found.evidence.named, None);
}
