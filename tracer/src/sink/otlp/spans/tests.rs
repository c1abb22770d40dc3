//! What a collector gets of a connection.

use opentelemetry_proto::tonic::{
    common::v1::{KeyValue, any_value::Value},
    trace::v1::{Span, span::SpanKind, status::StatusCode},
};
use upload_protocol::{
    Cookie, End, Moment,
    timeline::{
        Certainty, Diagnosis, Endpoint, Exchange, Failure, HeldBackBy, InitialNumbers, Initiation,
        Maintenance, Phase, Process, Protocol, Request, Response, Retransmission, Share, Side,
        Step, StepName, Termination, Timeline, UploadSummary,
    },
};

use super::{Group, count, of};
use crate::sink::otlp::resource::{Common, Host};

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn host() -> Common {
    Common {
        chosen: Vec::new(),
        host: Some(Host {
            name: Some("node".to_owned()),
            id: None,
            boot: "boot".to_owned(),
        }),
    }
}

fn endpoint(addr: &str, port: u16, comm: &str) -> Endpoint {
    Endpoint {
        addr: addr.parse().unwrap(),
        port,
        owner: Process {
            comm: Some(comm.into()),
            pid: Some(u32::from(port)),
            ..Process::default()
        },
        cookie: Some(Cookie(u64::from(port))),
        ..Endpoint::default()
    }
}

fn span(start: u64, end: u64) -> upload_protocol::timeline::Span {
    upload_protocol::timeline::Span {
        start_ns: Some(start),
        end_ns: Some(end),
        certainty: Certainty::Observed,
    }
}

fn exchange(sequence: u32, target: &str, traceparent: Option<&str>) -> Exchange {
    let begin = u64::from(sequence) * 100;
    Exchange {
        request: Request {
            span: span(begin, begin + 10),
            method: "PUT".into(),
            target: target.to_owned(),
            version: "HTTP/1.1".into(),
            traceparent: traceparent.map(|text| text.parse().unwrap()),
            ..Request::default()
        },
        response: Response {
            span: span(begin + 20, begin + 30),
            status: Some(201),
            ..Response::default()
        },
        sequence,
        ..Exchange::default()
    }
}

/// Both ends on this host, and two requests.
fn timeline() -> Timeline {
    let syn = Step {
        name: StepName::Syn,
        at_ns: Some(1),
        from: End::Client,
        certainty: Certainty::Observed,
        known_by: upload_protocol::timeline::Evidence::Captured,
        retransmit: true,
        held_back: None,
        seq: Some(0),
        ack: None,
        len: Some(0),
        window: Some(64_240),
        options: None,
        one_way_delay_ns: None,
    };
    let initiation = Initiation {
        end_ns: Some(50),
        steps: vec![syn],
        initial_numbers: Some(InitialNumbers {
            client: 1,
            server: 2,
        }),
        rtt_ns: Some(40_000_000),
        ..Initiation::default()
    };
    let maintenance = Maintenance {
        start_ns: Some(50),
        end_ns: Some(900),
        protocol: Protocol::Http1,
        exchanges: vec![
            exchange(1, "/a?sig=1&x=2", Some(PARENT)),
            exchange(2, "/b", None),
        ],
        ..Maintenance::default()
    };
    let termination = Termination {
        start_ns: Some(900),
        end_ns: Some(1000),
        ..Termination::default()
    };
    Timeline {
        retransmitted: [500, 950]
            .map(|at_ns| Retransmission {
                at_ns,
                from: End::Client,
            })
            .into(),
        at: Moment {
            mono_ns: 7,
            unix_ns: 1_000_000,
        },
        client: endpoint("192.0.2.1", 40_000, "curl"),
        server: endpoint("192.0.2.2", 80, "nginx"),
        phases: vec![
            Phase::Initiation(initiation),
            Phase::Maintenance(Box::new(maintenance)),
            Phase::Termination(termination),
        ],
        ..Timeline::default()
    }
}

fn one_end(end: End) -> Timeline {
    let mut timeline = timeline();
    match end {
        End::Client => timeline.server.cookie = None,
        End::Server => timeline.client.cookie = None,
    }
    timeline
}

fn names(group: &[Group]) -> Vec<&str> {
    let spans = group.iter().flat_map(|group| &group.spans);
    spans.map(|span| span.name.as_str()).collect()
}

fn text(attributes: &[KeyValue], key: &str) -> Option<String> {
    let found = attributes.iter().find(|one| one.key == key)?;
    Some(match found.value.clone()?.value? {
        Value::StringValue(text) => text,
        Value::IntValue(number) => number.to_string(),
        Value::DoubleValue(number) => number.to_string(),
        Value::BoolValue(flag) => flag.to_string(),
        other => format!("{other:?}"),
    })
}

fn check(span: &Span, expected: &[(&str, &str)]) {
    for (key, value) in expected {
        let found = text(&span.attributes, key);
        assert_eq!(found.as_deref(), Some(*value), "{key} of {}", span.name);
    }
}

#[test]
fn both_ends_on_one_host() {
    let group = of(&timeline(), &host());
    assert_eq!(
        names(&group),
        [
            "TCP connection",
            "TCP initiation",
            "TCP maintenance",
            "TCP termination",
            "PUT",
            "PUT",
            "TCP connection"
        ]
    );
    assert_eq!(count(&timeline()), 7);
    let [client, server] = &group[..] else {
        panic!("two resources");
    };
    let service = |group: &Group| text(&group.resource.attributes, "service.name");
    assert_eq!(service(client).as_deref(), Some("curl"));
    assert_eq!(service(server).as_deref(), Some("nginx"));
    let (connection, beside) = (&client.spans[0], &server.spans[0]);
    assert_eq!(connection.kind(), SpanKind::Client);
    assert_eq!(beside.kind(), SpanKind::Server);
    assert_eq!(beside.trace_id, connection.trace_id);
    assert_eq!(beside.parent_span_id, connection.span_id);
    assert!(connection.parent_span_id.is_empty());
    assert!(connection.links.is_empty() && beside.links.is_empty());
    assert_eq!(connection.start_time_unix_nano, 1_000_000);
    assert_eq!(connection.end_time_unix_nano, 1_001_000);
    check(
        connection,
        &[
            ("network.transport", "tcp"),
            ("network.type", "ipv4"),
            ("client.address", "192.0.2.1"),
            ("server.port", "80"),
            ("network.local.port", "40000"),
            ("network.peer.address", "192.0.2.2"),
            ("network.protocol.name", "http"),
            ("network.protocol.version", "1.1"),
            ("tcp.handshake_seen", "true"),
            ("tcp.isn.server", "2"),
        ],
    );
    check(beside, &[("network.local.port", "80")]);
    for phase in &client.spans[1..4] {
        assert_eq!(phase.parent_span_id, connection.span_id);
    }
    let initiation = &client.spans[1];
    check(initiation, &[("tcp.rtt.first", "0.04")]);
    let [syn] = &initiation.events[..] else {
        panic!("one step");
    };
    assert_eq!((syn.name.as_str(), syn.time_unix_nano), ("SYN", 1_000_001));
    assert_eq!(
        text(&syn.attributes, "tcp.retransmit").as_deref(),
        Some("true")
    );
}

#[test]
fn retransmits_are_events_of_their_phase() {
    let group = of(&timeline(), &host());
    for (span, at_ns) in [(2, 1_000_500), (3, 1_000_950)] {
        let [event] = &group[0].spans[span].events[..] else {
            panic!("one event");
        };
        assert_eq!(
            (event.name.as_str(), event.time_unix_nano),
            ("retransmit", at_ns)
        );
        assert_eq!(
            text(&event.attributes, "tcp.from").as_deref(),
            Some("client")
        );
    }
}

#[test]
fn each_host_tells_its_end() {
    let of = |end| of(&one_end(end), &host());
    let (client, server) = (of(End::Client), of(End::Server));
    assert_eq!((client.len(), server.len()), (1, 1));
    let (client, server) = (&client[0].spans, &server[0].spans);
    assert_eq!(client[0].trace_id, server[0].trace_id);
    assert_eq!(client[0].kind(), SpanKind::Client);
    assert_eq!(server[0].kind(), SpanKind::Server);
    for (own, other) in [(client, server), (server, client)] {
        assert!(own[0].parent_span_id.is_empty());
        assert_eq!(own[0].links[0].span_id, other[0].span_id);
        assert_eq!(own[0].links[0].trace_id, other[0].trace_id);
        let ids =
            |spans: &[Span]| -> Vec<_> { spans.iter().map(|one| one.span_id.clone()).collect() };
        assert!(ids(own).iter().all(|id| !ids(other).contains(id)));
    }
    let mut captured = one_end(End::Client);
    captured.client.cookie = None;
    let captured = super::of(&captured, &Common::default());
    assert_eq!(captured[0].spans[0].kind(), SpanKind::Internal);
    assert!(captured[0].spans[0].links.is_empty());
}

#[test]
fn a_request_in_an_application_s_trace() {
    let group = of(&timeline(), &host());
    let [connection, _, maintenance, _, first, second] = &group[0].spans[..] else {
        panic!("six spans");
    };
    let hex = |bytes: &[u8]| -> String { bytes.iter().map(|byte| format!("{byte:02x}")).collect() };
    assert_eq!(hex(&first.trace_id), "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(hex(&first.parent_span_id), "b7ad6b7169203331");
    assert_eq!(first.flags, 0x301);
    assert_eq!(first.links[0].trace_id, connection.trace_id);
    assert_eq!(first.links[0].span_id, connection.span_id);
    check(
        first,
        &[
            ("http.request.method", "PUT"),
            ("url.path", "/a"),
            ("url.query", "sig=REDACTED&x=2"),
            ("url.scheme", "http"),
            ("http.response.status_code", "201"),
        ],
    );
    assert_eq!(first.start_time_unix_nano, 1_000_100);
    assert_eq!(first.end_time_unix_nano, 1_000_130);
    assert_eq!(second.trace_id, connection.trace_id);
    assert_eq!(second.parent_span_id, maintenance.span_id);
    assert_eq!(second.links[0].trace_id, first.trace_id);
    assert_eq!(second.links[0].span_id, first.span_id);
}

#[test]
fn a_parent_that_was_not_recorded_is_linked() {
    let mut timeline = timeline();
    let unsampled = format!("{}0", &PARENT[..PARENT.len() - 1]);
    if let Some(phase) = timeline.maintenance_mut() {
        phase.exchanges = vec![exchange(1, "/", Some(&unsampled))];
    }
    let group = of(&timeline, &host());
    let (connection, request) = (&group[0].spans[0], &group[0].spans[4]);
    assert_eq!(request.trace_id, connection.trace_id);
    assert_eq!(request.links[0].span_id[..2], [0xb7, 0xad]);
}

#[test]
fn an_upload_s_diagnosis() {
    let mut timeline = timeline();
    timeline.uploads = vec![UploadSummary {
        id: "u".to_owned(),
        diagnosis: Some(Box::new(Diagnosis {
            verdict: Some(HeldBackBy::Path),
            side: Some(Side::Network),
            shares: vec![Share {
                cause: HeldBackBy::Path,
                ns: 9,
                share: 0.9,
            }],
            sentence: "The path carried no more.".to_owned(),
            ..Diagnosis::default()
        })),
        ..UploadSummary::default()
    }];
    let expected = [
        ("tracer.upload.id", "u"),
        ("tracer.diagnosis.verdict", "path"),
        ("tracer.diagnosis.side", "network"),
        ("tracer.diagnosis.share.path", "0.9"),
        ("tracer.diagnosis.sentence", "The path carried no more."),
    ];
    let group = of(&timeline, &host());
    // No request carried it.
    check(&group[0].spans[0], &expected);
    if let Some(phase) = timeline.maintenance_mut() {
        phase.exchanges[1].upload = Some("u".to_owned());
    }
    let group = of(&timeline, &host());
    check(&group[0].spans[5], &expected);
    assert_eq!(
        text(&group[0].spans[0].attributes, "tracer.upload.id"),
        None
    );
}

#[test]
fn a_connection_that_never_opened() {
    let mut timeline = one_end(End::Client);
    timeline.phases = vec![Phase::Initiation(Initiation {
        end_ns: Some(5),
        failure: Some(Failure::TimedOut),
        ..Initiation::default()
    })];
    let group = of(&timeline, &host());
    assert_eq!(names(&group), ["TCP connection", "TCP initiation"]);
    assert_eq!(count(&timeline), 2);
    let connection = &group[0].spans[0];
    check(
        connection,
        &[("error.type", "timed_out"), ("tcp.handshake_seen", "false")],
    );
    assert_eq!(
        connection.status.as_ref().unwrap().code(),
        StatusCode::Error
    );
    // Nobody else can find this trace.
    assert!(connection.links.is_empty());
}

#[test]
fn hostile_targets_stay_small() {
    let mut timeline = timeline();
    let target = format!("/\u{1b}[2J{}?{}", "a".repeat(70_000), "b".repeat(70_000));
    if let Some(phase) = timeline.maintenance_mut() {
        phase.exchanges = vec![exchange(1, &target, None)];
        phase.exchanges[0].request.method = "\u{9b}HACK".into();
    }
    let group = of(&timeline, &host());
    let request = &group[0].spans[4];
    assert_eq!(request.name, "HTTP");
    check(
        request,
        &[
            ("http.request.method", "_OTHER"),
            ("http.request.method_original", "\\u{9b}HACK"),
        ],
    );
    assert!(prost::Message::encoded_len(request) < 4096);
}
