//! Times that are close together, or cross.

use super::{BodyTraffic, Exchange, Span, by_segments, per_second};
use crate::core::{
    payload::{HttpExchange, HttpRequest, HttpResponse},
    timeline::Origin,
};

#[test]
fn rates() {
    assert_eq!(per_second(1_000_000, 500_000_000), Some(2_000_000));
    assert_eq!(per_second(u64::MAX, 1_000_000_000), Some(u64::MAX));
    assert_eq!(per_second(1, 0), None);
}

/// A request that began at 10, and a response of one segment that passed at 100.
fn exchange(head_end_ns: u64, body: Option<(u64, u64)>, traffic: &BodyTraffic) -> Exchange {
    let http = HttpExchange {
        request: Some(HttpRequest {
            start_ns: 10,
            head_end_ns: Some(head_end_ns),
            body_first_ns: body.map(|(first, _)| first),
            body_last_ns: body.map(|(_, last)| last),
            ..HttpRequest::default()
        }),
        continue_ns: None,
        response: Some(HttpResponse {
            start_ns: 100,
            last_ns: 100,
            ..HttpResponse::default()
        }),
    };
    by_segments(&http, traffic, Origin(0)).unwrap()
}

const fn ends(span: Span) -> (Option<u64>, Option<u64>) {
    (span.start_ns, span.end_ns)
}

#[test]
fn the_last_payload_of_the_connection_ends_the_last_response() {
    let traffic = BodyTraffic {
        server_last: Some(150),
        ..BodyTraffic::default()
    };
    let exchange = exchange(20, Some((30, 50)), &traffic);
    assert_eq!(ends(exchange.body.span), (Some(30), Some(50)));
    assert_eq!(ends(exchange.wait), (Some(50), Some(100)));
    assert_eq!(ends(exchange.response.span), (Some(100), Some(150)));
}

#[test]
fn half_a_request_has_no_wait() {
    let exchange = exchange(200, None, &BodyTraffic::default());
    assert_eq!(ends(exchange.wait), (None, Some(100)));
}

#[test]
fn a_response_before_the_end_of_the_body_has_no_wait() {
    let exchange = exchange(20, Some((30, 120)), &BodyTraffic::default());
    assert_eq!(ends(exchange.wait), (None, Some(100)));
    assert_eq!(ends(exchange.body.span), (Some(30), Some(120)));
}
