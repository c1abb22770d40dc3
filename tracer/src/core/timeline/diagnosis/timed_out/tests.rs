use upload_protocol::{
    End,
    timeline::{
        Ending, Exchange, Phase, Request, Response, Span, Termination, TimedOut, Timeline,
        WaitedFor,
    },
};

use super::{Asked, find, is_chosen};

const MS: u64 = 1_000_000;

/// A request of 1,000 bytes whose body came from 100 ms to `body_end`, of which `bytes` arrived.
fn exchange(body_end: u64, bytes: u64, response: Option<(u64, u16)>) -> Exchange {
    let span = |start: u64, end: u64| Span {
        start_ns: Some(start * MS),
        end_ns: Some(end * MS),
        ..Span::default()
    };
    let mut exchange = Exchange {
        request: Request {
            span: span(90, 100),
            content_length: Some(1000),
            ..Request::default()
        },
        ..Exchange::default()
    };
    exchange.body.span = span(100, body_end);
    exchange.body.bytes = Some(bytes);
    if let Some((at, status)) = response {
        exchange.response = Response {
            span: span(at, at),
            status: Some(status),
            ..Response::default()
        };
    }
    exchange
}

/// Closed at this moment by this end.
fn closed(at: u64, end: End) -> Timeline {
    Timeline {
        phases: vec![Phase::Termination(Termination {
            start_ns: Some(at * MS),
            closed_first: Some(end),
            ending: Some(Ending::Fin),
            ..Termination::default()
        })],
        ..Timeline::default()
    }
}

fn found(timeline: &Timeline, exchange: &Exchange) -> Option<TimedOut> {
    let asked = Asked {
        exchange,
        client_last_ns: None,
        answered_ns: None,
        last_payload_ns: exchange.body.span.end_ns,
        rtt_ns: 10 * MS,
    };
    find(timeline, asked)
}

fn timed_out(end: End, waited_for: WaitedFor, status: Option<u16>, silence: u64) -> TimedOut {
    TimedOut {
        end,
        waited_for,
        status,
        silence_ns: Some(silence * MS),
    }
}

#[test]
fn a_status_that_says_so() {
    let check = |status, after, expected| {
        let exchange = exchange(200, 500, Some((200 + after, status)));
        let found = found(&closed(90_000, End::Server), &exchange);
        let expected = Option::map(expected, |waited_for| {
            timed_out(End::Server, waited_for, Some(status), after)
        });
        assert_eq!(found, expected, "{status} after {after} ms");
    };
    check(408, 3210, Some(WaitedFor::Request));
    check(504, 3210, Some(WaitedFor::Response));
    check(502, 60_010, Some(WaitedFor::Response));
    check(502, 3210, None);
    check(201, 60_000, None);
    check(503, 60_000, None);
}

/// Of a body of unknown length, the last chunk may come after the response.
#[test]
fn what_is_sent_after_the_response_is_no_end_of_the_silence() {
    let exchange = exchange(4000, 500, Some((2100, 408)));
    let silence = |client_last_ns| {
        let asked = Asked {
            exchange: &exchange,
            client_last_ns,
            answered_ns: None,
            last_payload_ns: Some(4000 * MS),
            rtt_ns: 0,
        };
        find(&closed(2200, End::Server), asked).unwrap().silence_ns
    };
    assert_eq!(silence(Some(100 * MS)), Some(2000 * MS));
    assert_eq!(silence(None), None);
}

#[test]
fn closed_after_a_silence_that_somebody_chose() {
    let check = |at, end, bytes, expected| {
        let found = found(&closed(at, end), &exchange(1000, bytes, None));
        assert_eq!(found, expected, "by the {} at {at}", end.name());
    };
    let of = |end, waited_for, silence| Some(timed_out(end, waited_for, None, silence));
    let (client, server) = (End::Client, End::Server);
    check(61_001, server, 400, of(server, WaitedFor::Request, 60_001));
    check(
        61_001,
        server,
        1000,
        of(server, WaitedFor::Response, 60_001),
    );
    check(
        31_100,
        client,
        1000,
        of(client, WaitedFor::Response, 30_100),
    );
    // A client that has more to send did not wait.
    check(31_000, client, 400, None);
    check(42_700, server, 400, None);
    check(1_300, server, 400, None);
}

/// The kernel's own time-outs are the termination's.
#[test]
fn a_kernel_that_gave_up_is_no_process() {
    let mut timeline = closed(61_000, End::Server);
    if let Phase::Termination(termination) = &mut timeline.phases[0] {
        termination.ending = Some(Ending::Error);
    }
    assert_eq!(found(&timeline, &exchange(1000, 400, None)), None);
}

#[test]
fn a_kept_connection_that_ended_as_the_request_came() {
    let exchange = exchange(101, 0, None);
    let at = |closed_ms, rtt_ns| {
        let asked = Asked {
            exchange: &exchange,
            client_last_ns: None,
            answered_ns: Some(0),
            last_payload_ns: Some(101 * MS),
            rtt_ns,
        };
        let mut later = closed(closed_ms, End::Server);
        let mut exchange = exchange.clone();
        exchange.request.span.start_ns = Some(5_010 * MS);
        if let Phase::Termination(termination) = &mut later.phases[0] {
            termination.ending = Some(Ending::Rst);
        }
        find(
            &later,
            Asked {
                exchange: &exchange,
                ..asked
            },
        )
    };
    let expected = timed_out(End::Server, WaitedFor::NextRequest, None, 5_015);
    assert_eq!(at(5_015, 20 * MS), Some(expected));
    // The request had reached the server.
    assert_eq!(at(5_515, 20 * MS), None);
}

#[test]
fn silences_that_are_whole_numbers() {
    let check = |ms: u64, expected| assert_eq!(is_chosen(ms * MS), expected, "{ms} ms");
    for chosen in [1_000, 3_095, 5_040, 10_001, 15_150, 60_480, 75_000, 300_000] {
        check(chosen, true);
    }
    // Some way faster.
    for chosen in [985, 59_985] {
        check(chosen, true);
    }
    for other in [20, 500, 950, 1_300, 3_500, 12_000, 59_950, 60_700, 62_000] {
        check(other, false);
    }
}
