//! A connection that several people share.

use std::sync::Arc;

use serde_json::json;
use tracer_ebpf::record::{self, StateChange, state};
use upload_protocol::timeline::{Endpoint, Samples, Timeline, UploadHop};
use zerocopy::{FromZeros as _, IntoBytes as _};

use super::Split;
use crate::core::{
    input::{Feed, Input, Tick},
    output::Output,
    pipeline::Pipeline,
};

fn upload(id: u32, target: &str, at: u64) -> Input<'static> {
    let line = json!({
        "type": "upload", "id": id.to_string(), "cookie": "7", "request": id,
        "client": "127.0.0.1:40000", "method": "PUT", "target": target, "version": "HTTP/1.1",
        "name": format!("name-{id}"), "content_length": 5, "bytes": 5, "status": 201,
        "outcome": "complete", "error": null, "accepted_ns": 2, "first_byte_ns": at,
        "head_ns": at + 1, "body_first_ns": at + 2, "body_last_ns": at + 3, "stored_ns": at + 4,
        "response_ns": at + 5, "sent_ns": at + 6,
    });
    Input::Feed(Feed::Line(Box::new(serde_json::from_value(line).unwrap())))
}

/// The timeline of a connection with two uploads, and a request that brought a part of a third.
fn shared() -> Timeline {
    let mut opened = StateChange::new_zeroed();
    opened.header.kind = record::STATE_CHANGE;
    opened.header.mono_ns = 1;
    opened.header.cookie = 7;
    (opened.old, opened.new) = (state::SYN_RECV, state::ESTABLISHED);
    (opened.addresses.local_port, opened.addresses.remote_port) = (5000, 40000);
    let tick = Tick {
        mono_ns: 1,
        ..Tick::default()
    };
    let mut pipeline = Pipeline::new(false);
    let mut outputs = Vec::new();
    for input in [
        Input::Tick(tick),
        Input::Kernel(opened.as_bytes().into()),
        upload(1, "/mine?token=secret-1", 10),
        upload(2, "/theirs?token=secret-2", 20),
        Input::Shutdown,
    ] {
        pipeline.advance(input, &mut outputs);
    }
    let mut timelines = outputs.into_iter().filter_map(|output| match output {
        Output::Timeline(timeline) => Some(*timeline),
        _ => None,
    });
    let mut timeline = timelines.next().unwrap();
    let exchanges = &mut timeline.maintenance_mut().unwrap().exchanges;
    let mut part = exchanges[0].clone();
    part.upload = None;
    part.request.target = "/tus/part?token=secret-3".to_owned();
    part.request.span.start_ns = Some(30);
    part.response.span.start_ns = Some(40);
    exchanges.push(part);
    timeline
}

#[test]
fn an_upload_gets_its_own_exchange_without_the_query() {
    let shared = shared();
    let own = Split::new(&shared).of("1", &[]);
    let json = serde_json::to_string(&own).unwrap();
    assert!(json.contains(r#""target":"/mine""#), "{json}");
    for foreign in ["theirs", "secret", "part", "name-2"] {
        assert!(!json.contains(foreign), "{foreign} in {json}");
    }
    assert_eq!(own.uploads.len(), 1);
    assert_eq!(own.maintenance().unwrap().exchanges_left_out, 2);
}

/// The connections in front of the server's may be another client's.
#[test]
fn an_upload_gets_its_own_hops() {
    let mut shared = shared();
    let hop = |port| UploadHop {
        client: Endpoint {
            port,
            ..Endpoint::default()
        },
        ..UploadHop::default()
    };
    let ports = [40_001, 40_002];
    for (upload, port) in shared.uploads.iter_mut().zip(ports) {
        upload.hops = vec![hop(port), UploadHop::default()];
    }
    for (upload, port) in ["1", "2"].into_iter().zip(ports) {
        let own = Split::new(&shared).of(upload, &[]);
        let hops = own.uploads.iter().flat_map(|upload| &upload.hops);
        let clients: Vec<u16> = hops.map(|hop| hop.client.port).collect();
        assert_eq!(clients, [port, 0]);
    }
}

/// Parts name no upload: they are found by the time of their request.
#[test]
fn an_upload_gets_the_parts_that_it_came_in() {
    let shared = shared();
    let at = shared.at.mono_ns;
    let check = |head_ns: u64, expected: &[&str]| {
        let own = Split::new(&shared).of("1", &[at + head_ns]);
        let exchanges = own.exchanges().iter();
        let targets: Vec<&str> = exchanges
            .map(|exchange| exchange.request.target.as_str())
            .collect();
        assert_eq!(targets, expected, "{head_ns}");
    };
    check(31, &["/mine", "/tus/part"]);
    // Another upload's exchange is no part of this one.
    check(21, &["/mine"]);
    check(41, &["/mine"]);
}

/// How the other uploads went is nobody else's business.
#[test]
fn an_upload_gets_the_samples_of_its_own_time() {
    let mut shared = shared();
    let at = shared.at.mono_ns;
    let at_ns: Vec<u64> = (0..50).map(|ns| ns - at.min(ns)).collect();
    shared.samples = vec![Arc::new(Samples {
        acked: at_ns.clone(),
        at_ns,
        ..Samples::default()
    })];
    for (upload, expected) in [("1", 10..=16), ("2", 20..=26)] {
        let own = Split::new(&shared).of(upload, &[]);
        let times = own.samples[0].at_ns.iter().map(|ns| ns + at);
        assert_eq!(times.collect::<Vec<_>>(), expected.collect::<Vec<u64>>());
    }
}
