//! `schema.json` and the types say the same: each type's values are valid, with every field that the
//! schema has, and names are the same lists.

#![cfg(test)]

use std::{
    borrow::Cow,
    collections::BTreeMap,
    net::Ipv4Addr,
    num::{NonZeroU8, NonZeroU64},
};

use serde_json::{Value, json};
use upload_protocol::{
    AcceptQueue, ConnectionId, Cookie, End, Flags, Moment, MptcpToken, OwnerFrom, RolesFrom,
    SegmentOptions, State,
    explain::explained_line,
    line::{
        CaptureTotals, ExportTotals, Hop, Line, LostLine, Missing, ProgramLine, SegmentLine,
        StateLine, SummaryLine, UploadLine,
    },
    segment::Analysis,
    timeline::{
        AgreedOptions, AlertLevel, BlackHole, Body, Bytes, CaptureStream, Cause, CauseSpan,
        Certainty, Clocks, ContainerRuntime, ContentType, Defect, Diagnosis, DiagnosisEvidence,
        Ending, Endpoint, EstimatedBy, Evidence, Exchange, Failure, FrameCount, Frames, HeldBackBy,
        HopEvidence, HopRole, Http2Frames, Incomplete, InitialNumbers, Initiation, KnownBy,
        LeftOut, LostAt, LostSegment, Maintenance, Malformed, MissingClose, MissingEnd, NamedCause,
        NoVerdict, Omission, OneWayDelay, Passage, PassedOn, PassedTo, PassedToKind, PerEnd, Phase,
        Process, Protocol, Request, ResetReason, Response, Retransmission, Samples, Share, Side,
        SocketError, Span, Step, StepName, TakenAt, Termination, TimedOut, Timeline, Timer,
        TlsAlert, TlsHandshake, TlsMessage, TlsRecord, TlsStep, TlsVersion, TraceParent, Transit,
        UploadHop, UploadSummary, WaitedFor, WindowScale,
    },
    upload::Outcome,
};

fn schema() -> Value {
    serde_json::from_str(include_str!("../schema.json")).unwrap()
}

/// A line of each type, with every field that it may have.
fn lines() -> Vec<Line<'static>> {
    let at = Moment {
        mono_ns: 1,
        unix_ns: 1_700_000_000_000_000_000,
    };
    let connection = ConnectionId::new(7, None);
    vec![
        Line::State(Cow::Owned(StateLine {
            at,
            connection,
            end: End::Client,
            old: State::Close,
            new: State::SynSent,
            pid: Some(1),
            comm: Some("curl".into()),
            certainty: Some(Certainty::Inferred),
        })),
        Line::Segment(Cow::Owned(SegmentLine {
            at,
            connection,
            from: End::Client,
            flags: Flags(Flags::SYN | Flags::ACK),
            seq: 0,
            ack: 1,
            len: 2,
            window: 3,
            options: options(),
            ecn: 3,
            info: Some("Client Hello (SNI=a)".to_owned()),
            analysis: vec![Analysis::Retransmission],
            seen_leaving: true,
            frame: Some(1),
            duplicate: true,
            capture: Some(2),
            one_way_delay_ns: Some(5),
            lost: Some(LostAt::Between),
            missing_in: Some(1),
        })),
        Line::Upload(Cow::Owned(UploadLine {
            at,
            id: "1".to_owned(),
            connection: Some(connection),
            name: Some("file".to_owned()),
            bytes: Some(3),
            status: Some(500),
            outcome: Some(Outcome::Failed),
            certainty: Certainty::Observed,
            error: Some("broken".to_owned()),
            parts: Vec::new(),
            earlier: Vec::new(),
        })),
        Line::Timeline(Cow::Owned(timeline(at, connection))),
        Line::Lost(Cow::Owned(LostLine {
            at,
            count: 1,
            at_most: true,
            hop: Hop::Ring,
            from_ns: 0,
            to_ns: 1,
        })),
        Line::Summary(Cow::Owned(SummaryLine {
            at,
            connections: 1,
            uploads: 1,
            events: 1,
            emitted: Some(2),
            lost: 1,
            lost_at_most: true,
            left_out: 1,
            missing: vec![Missing {
                what: "a part".to_owned(),
                lost: "a count".to_owned(),
            }],
            programs: vec![ProgramLine {
                name: "program".to_owned(),
                runs: 1,
                ns_per_run: 2,
            }],
            spans: Some(ExportTotals {
                exported: 1,
                lost: 2,
            }),
            data_points: Some(ExportTotals {
                exported: 3,
                lost: 4,
            }),
            capture: Some(CaptureTotals::default()),
            clocks: Some(Clocks {
                captures: vec!["a.pcap".to_owned(), "b.pcap".to_owned()],
                drift_ns_per_s: Some(-5),
                drift_error_ns_per_s: Some(1),
                ..Clocks::default()
            }),
        })),
    ]
}

fn options() -> SegmentOptions {
    SegmentOptions {
        mss: Some(1460),
        sack_permitted: true,
        tsval: Some(1),
        tsecr: Some(2),
        window_scale: Some(7),
        sack: vec![(1, 2)],
        fast_open: Some("0a".to_owned()),
        other: vec![253],
        malformed: true,
    }
}

fn timeline(at: Moment, connection: ConnectionId) -> Timeline {
    let process = Process {
        pid: Some(1),
        comm: Some("curl".into()),
        uid: Some(0),
        cgroup: Some("/a".into()),
        container: Some("0".repeat(64)),
        container_name: Some("web".to_owned()),
        container_runtime: Some(ContainerRuntime::CriO),
        pod: Some("6a3d1f2e-7a41-4b8e-9f5c-0d2f3f1b7a11".to_owned()),
        unit: Some("docker.service".to_owned()),
        claimed_by: Some("user@1000.service".to_owned()),
        owner_from: Some(OwnerFrom::Connect),
    };
    let endpoint = Endpoint {
        addr: Ipv4Addr::LOCALHOST.into(),
        port: 1,
        owner: process.clone(),
        also: vec![process],
        netns: Some(1),
        seen_as: Some((Ipv4Addr::LOCALHOST, 2).into()),
        cookie: Some(Cookie(7)),
        mptcp: Some(MptcpToken(8)),
    };
    let per_end = PerEnd {
        client: Some(1),
        server: None,
    };
    Timeline {
        at,
        connection,
        client: endpoint.clone(),
        server: endpoint,
        phases: vec![
            Phase::Initiation(initiation()),
            Phase::Maintenance(Box::new(maintenance(per_end))),
            Phase::Termination(Termination {
                start_ns: Some(1),
                end_ns: Some(2),
                certainty: Certainty::Observed,
                steps: vec![step(StepName::Fin)],
                ending: Some(Ending::Fin),
                ended_by: Some(End::Client),
                cause: cause(),
                closed_first: Some(End::Client),
                open_end: Some(End::Server),
                half_close: true,
                simultaneous: false,
                time_wait: Some(End::Client),
                missing: MissingClose::ALL.to_vec(),
            }),
        ],
        uploads: vec![UploadSummary {
            certainty: Certainty::Inferred,
            diagnosis: Some(Box::new(diagnosis())),
            ambiguous_hops: Some(2),
            hops: PassedOn::ALL.iter().copied().map(hop).collect(),
            passed_to: Some(Box::new(PassedTo {
                kind: PassedToKind::Unix,
                path: "/run/app.sock".to_owned(),
                process: Some(Process::default()),
                mono_ns: 1,
                bytes: Some(2),
                certainty: Certainty::Observed,
                evidence: vec![HopEvidence::Request, HopEvidence::Bytes],
            })),
            ..UploadSummary::default()
        }],
        bytes: Bytes::default(),
        retransmits_by: per_end,
        retransmits: 1,
        retransmitted: vec![Retransmission {
            at_ns: 1,
            from: End::Client,
        }],
        roles: Certainty::Inferred,
        roles_from: RolesFrom::Ports,
        lost: 1,
        lost_at_most: true,
        complete: false,
        incomplete: Incomplete::ALL.to_vec(),
        left_out: vec![
            Omission::counted(LeftOut::Requests, 2),
            Omission::uncounted(LeftOut::Frames),
        ],
        open: true,
        open_for_ns: Some(3),
        silent_for_ns: Some(2),
        transit: Some(Box::new(transit())),
        samples: TakenAt::ALL.iter().map(|at| samples(*at).into()).collect(),
    }
}

fn hop(passed_on: PassedOn) -> UploadHop {
    UploadHop {
        tls: Some(TlsVersion(0x0304)),
        share: Some(0.5),
        passed_on: Some(passed_on),
        held_ns: Some(1),
        evidence: HopEvidence::ALL.to_vec(),
        ..UploadHop::default()
    }
}

fn samples(taken_at: TakenAt) -> Samples {
    Samples {
        from: End::Server,
        taken_at,
        taken: 9,
        at_ns: vec![1, 2],
        sent: vec![1, 101],
        acked: vec![1, 1],
        in_flight: vec![0, 100],
        window: vec![None, Some(65_535)],
        cwnd: vec![14_480, 28_960],
        rtt_ns: vec![Some(3), None],
        retransmits: vec![0, 1],
    }
}

fn transit() -> Transit {
    let passage = Passage {
        segments: 1,
        one_way_delay: Some(OneWayDelay::default()),
        ..Passage::default()
    };
    Transit {
        captures: vec![CaptureStream {
            capture: 1,
            file: "client.pcapng".to_owned(),
            stream: 0,
        }],
        client_to_server: passage,
        server_to_client: passage,
        losses: LostAt::ALL
            .iter()
            .map(|at| LostSegment {
                from: End::Client,
                at_ns: 1,
                seq: 2,
                len: 3,
                at: *at,
                frame: Some(4),
            })
            .collect(),
        losses_left_out: 1,
    }
}

fn diagnosis() -> Diagnosis {
    Diagnosis {
        verdict: Some(HeldBackBy::Path),
        second: Some(HeldBackBy::Loss),
        no_verdict: Some(NoVerdict::Fast),
        side: Some(Side::Network),
        certainty: Certainty::Inferred,
        from: vec![End::Client, End::Server],
        by: Some(EstimatedBy::Segments),
        near: Some(End::Client),
        sender: Some(End::Server),
        wall_ns: 2,
        shares: HeldBackBy::ALL
            .iter()
            .map(|cause| Share {
                cause: *cause,
                ns: 1,
                share: 0.05,
            })
            .collect(),
        course: vec![CauseSpan {
            cause: HeldBackBy::Path,
            start_ns: 1,
            end_ns: 3,
        }],
        evidence: DiagnosisEvidence {
            window_use: Some(0.09),
            send_buffer_fixed: Some(true),
            named: Some(NamedCause::Bufferbloat),
            queue_ns: Some(3),
            black_hole: Some(BlackHole::default()),
            stream_window_bytes: Some(65_535),
            processor_ns: Some(4),
            disk_ns: Some(5),
            send_buffer_largest: Some(true),
            receive_buffer_largest: Some(true),
            ..DiagnosisEvidence::default()
        },
        ended_by: Some(TimedOut {
            end: End::Server,
            waited_for: WaitedFor::Response,
            status: Some(504),
            silence_ns: Some(60_000_000_000),
        }),
        sentence: "The path between client and server was full.".to_owned(),
        advice: None,
    }
}

const fn cause() -> Cause {
    Cause {
        error: Some(SocketError::TIMED_OUT),
        timer: Some(Timer::KeepAlive),
        user_timeout: true,
        orphan: true,
        reset_reason: Some(ResetReason::KeepAliveTimeout),
    }
}

fn step(name: StepName) -> Step {
    Step {
        name,
        at_ns: Some(1),
        from: End::Client,
        certainty: Certainty::Observed,
        known_by: Evidence::Segment {
            leaving: true,
            at: End::Client,
        },
        retransmit: true,
        held_back: Some(1),
        seq: Some(0),
        ack: Some(1),
        len: Some(0),
        window: Some(64_240),
        options: Some(Box::new(options())),
        one_way_delay_ns: Some(2),
    }
}

fn initiation() -> Initiation {
    Initiation {
        start_ns: 0,
        end_ns: Some(1),
        certainty: Certainty::Observed,
        steps: StepName::ALL.iter().copied().map(step).collect(),
        initial_numbers: Some(InitialNumbers {
            client: u32::MAX,
            server: 0,
        }),
        options: Some(AgreedOptions {
            mss: 1460,
            window_scale: Some(WindowScale {
                client: 7,
                server: 8,
            }),
            sack_permitted: true,
            timestamps: true,
        }),
        rtt_ns: Some(1),
        accepted_ns: Some(2),
        accept_wait_ns: Some(1),
        accept_queue: Some(AcceptQueue {
            waiting: 2,
            limit: 1,
        }),
        failure: Some(Failure::Refused),
        cause: cause(),
    }
}

fn maintenance(per_end: PerEnd) -> Maintenance {
    let frames = FrameCount {
        types: BTreeMap::from([("DATA".into(), Frames::default())]),
        more: true,
    };
    let exchange = Exchange {
        request: Request {
            span: Span::default(),
            method: "PUT".into(),
            target: "/".to_owned(),
            version: "HTTP/1.1".into(),
            content_length: Some(3),
            expect_continue: true,
            continue_ns: Some(1),
            traceparent: Some(TraceParent {
                trace_id: [1; 16],
                parent_id: [2; 8],
                flags: 1,
            }),
        },
        body: Body {
            missing_end: Some(MissingEnd::Hole),
            ..Body::default()
        },
        wait: Span::default(),
        response: Response {
            bytes: Some(1),
            missing_end: Some(MissingEnd::Closed),
            ..Response::default()
        },
        known_by: KnownBy::Segments,
        upload: Some("1".to_owned()),
        uploads: vec!["1".to_owned(), "2".to_owned()],
        sequence: 1,
    };
    Maintenance {
        start_ns: Some(1),
        end_ns: Some(2),
        certainty: Certainty::Observed,
        protocol: Protocol::Tls,
        tls: Some(handshake()),
        http2: Some(Http2Frames {
            client: frames.clone(),
            server: frames,
        }),
        exchanges: vec![exchange],
        exchanges_left_out: 1,
        malformed: Defect::ALL
            .iter()
            .map(|defect| Malformed {
                from: End::Client,
                defect: *defect,
            })
            .collect(),
        rtt_ns: Some(1),
        min_rtt_ns: Some(1),
        congestion_window: per_end,
        retransmitted_bytes: per_end,
    }
}

fn handshake() -> TlsHandshake {
    TlsHandshake {
        start_ns: Some(1),
        end_ns: Some(2),
        steps: TlsMessage::ALL
            .iter()
            .map(|name| TlsStep {
                name: *name,
                at_ns: 1,
                from: End::Client,
                certainty: Certainty::Inferred,
            })
            .collect(),
        server_name: Some("host".to_owned()),
        version: Some(TlsVersion::TLS_1_3),
        versions_offered: vec![TlsVersion(0x0305)],
        cipher_suite: Some("TLS_AES_128_GCM_SHA256".into()),
        cipher_suites_offered: 1,
        alpn_offered: vec!["h2".to_owned()],
        alpn: Some("h2".to_owned()),
        session_resumed: Some(true),
        certificate_bytes: Some(1),
        records: ContentType::ALL
            .iter()
            .map(|name| TlsRecord {
                name: *name,
                from: End::Client,
                length: 1,
            })
            .collect(),
        alerts: AlertLevel::ALL
            .iter()
            .map(|level| TlsAlert {
                at_ns: 1,
                from: End::Client,
                level: Some(*level),
                description: "close_notify".into(),
            })
            .collect(),
    }
}

#[test]
fn every_line_is_valid_and_read_as_it_was_written() {
    let validator = jsonschema::validator_for(&schema()).unwrap();
    for line in lines() {
        let value = serde_json::to_value(&line).unwrap();
        if let Err(error) = validator.validate(&value) {
            panic!("{error} at {}: {value}", error.instance_path());
        }
        let text = value.to_string();
        assert_eq!(serde_json::from_str::<Line<'_>>(&text).unwrap(), line);
        if let Line::Timeline(timeline) = &line {
            let explained = explained_line(timeline);
            assert!(validator.is_valid(&explained), "{explained}");
            // The explanations are no part of the model.
            let read = serde_json::from_value::<Line<'_>>(explained).unwrap();
            assert_eq!(read, line);
        }
    }
}

#[test]
fn every_field_of_the_schema_is_a_types_own() {
    let written = lines()
        .iter()
        .map(|line| match line {
            Line::Timeline(timeline) => explained_line(timeline).to_string(),
            line => serde_json::to_string(line).unwrap(),
        })
        .collect::<String>();
    let mut left = vec![schema()];
    while let Some(value) = left.pop() {
        match value {
            Value::Object(fields) => {
                if let Some(Value::Object(properties)) = fields.get("properties") {
                    for name in properties.keys() {
                        assert!(written.contains(&format!("\"{name}\":")), "{name}");
                    }
                }
                left.extend(fields.into_iter().map(|(_, value)| value));
            }
            Value::Array(items) => left.extend(items),
            _ => {}
        }
    }
}

#[test]
fn names_of_connections() {
    for (connection, name) in [
        (ConnectionId::new(7, None), "7"),
        (ConnectionId::new(7, NonZeroU64::new(2)), "7.2"),
        (ConnectionId::captured(7, None), "7"),
        (ConnectionId::captured(7, NonZeroU8::new(2)), "2:7"),
    ] {
        assert_eq!(connection.to_string(), name);
        assert_eq!(name.parse(), Ok(connection));
    }
}

#[test]
fn names_are_the_same_lists() {
    let schema = schema();
    let names = |pointer: &str| -> Vec<String> {
        let list = schema.pointer(pointer).and_then(Value::as_array);
        let names = list
            .unwrap_or_else(|| panic!("no list at {pointer}"))
            .iter();
        names.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let all = |list: &[&'static str]| {
        list.iter()
            .map(|name| (*name).to_owned())
            .collect::<Vec<_>>()
    };
    let states: Vec<_> = State::ALL.iter().map(|state| state.name()).collect();
    assert_eq!(names("/$defs/tcp_state/enum"), all(&states));
    let steps: Vec<_> = StepName::ALL.iter().map(|name| name.name()).collect();
    assert_eq!(
        names("/$defs/steps/items/properties/name/enum"),
        all(&steps)
    );
    let failures: Vec<_> = Failure::ALL.iter().map(|failure| failure.name()).collect();
    assert_eq!(
        names("/$defs/initiation/properties/failure/enum"),
        all(&failures)
    );
    let endings: Vec<_> = Ending::ALL.iter().map(|ending| ending.name()).collect();
    assert_eq!(
        names("/$defs/termination/properties/how/enum"),
        all(&endings)
    );
    let timers: Vec<_> = Timer::ALL.iter().map(|timer| timer.name()).collect();
    assert_eq!(names("/$defs/timer/enum"), all(&timers));
    let reasons: Vec<_> = ResetReason::ALL
        .iter()
        .map(|reason| reason.name())
        .collect();
    assert_eq!(names("/$defs/reset_reason/enum"), all(&reasons));
    let named: Vec<_> = NamedCause::ALL.iter().map(|named| named.name()).collect();
    assert_eq!(
        names("/$defs/diagnosis/properties/evidence/properties/named/enum"),
        all(&named)
    );
    let waited: Vec<_> = WaitedFor::ALL.iter().map(|what| what.name()).collect();
    assert_eq!(
        names("/$defs/diagnosis/properties/ended_by/properties/waited_for/enum"),
        all(&waited)
    );
    let taken_at: Vec<_> = TakenAt::ALL.iter().map(|at| at.name()).collect();
    assert_eq!(
        names("/$defs/samples/properties/taken_at/enum"),
        all(&taken_at)
    );
    let flags: Vec<_> = Flags(0x1ff).names().collect();
    assert_eq!(
        names("/$defs/segment/properties/flags/items/enum"),
        all(&flags)
    );
    let lost: Vec<_> = LostAt::ALL.iter().map(|at| at.name()).collect();
    assert_eq!(names("/$defs/lost_at/enum"), all(&lost));
    let evidence: Vec<_> = HopEvidence::ALL.iter().map(|what| what.name()).collect();
    assert_eq!(
        names("/$defs/upload_hop/properties/evidence/items/enum"),
        all(&evidence)
    );
    let roles: Vec<_> = HopRole::ALL.iter().map(|role| role.name()).collect();
    assert_eq!(names("/$defs/upload_hop/properties/role/enum"), all(&roles));
    let runtimes: Vec<_> = ContainerRuntime::ALL.iter().map(|of| of.name()).collect();
    assert_eq!(names("/$defs/container_runtime/enum"), all(&runtimes));
    let kinds: Vec<_> = PassedToKind::ALL.iter().map(|kind| kind.name()).collect();
    let passed_to = "/$defs/timeline/properties/uploads/items/properties/passed_to";
    assert_eq!(
        names(&format!("{passed_to}/properties/kind/enum")),
        all(&kinds)
    );
    assert_eq!(json!(Hop::Handshakes), "early");
}
