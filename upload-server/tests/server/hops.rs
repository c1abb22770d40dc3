//! The page of an upload that came through proxies, and its other forms.

use serde_json::{Value, json};

use crate::{
    browser::browse,
    events::hand_in,
    test_server::TestServer,
    timeline::{assert_in_order, get, timeline, upload},
};

fn end(comm: &str, pid: u32, port: u16) -> Value {
    json!({"addr": "127.0.0.1", "port": port, "pid": pid, "comm": comm, "uid": null, "cgroup": null,
        "owner_from": "connect", "netns": null, "cookie": null})
}

/// A server with an upload that came through a TLS front, which received all of it first, and a proxy that passed it
/// on as it came.
async fn server() -> (TestServer, Value) {
    let server = TestServer::start().await;
    let upload = upload(&server, "cat.iso").await;
    let mut timeline = timeline("ended", &upload);
    let opened = timeline["mono_ns"].as_u64().unwrap();
    let begins = opened - 13_000_000_000;
    timeline["uploads"][0]["hops"] = json!([
        {
            "connection": "11", "client": end("curl", 4242, 50944), "server": end("<nginx>", 811, 443),
            "tls": "TLS 1.3", "request_mono_ns": begins, "request_ns": 12_000_000_000_u64,
            "wait_ns": 4_000_000_000_u64, "share": 1.0, "bytes": 1_200_000_000,
            "passed_on": "buffered", "held_ns": 12_000_500_000_u64,
            "evidence": ["connect", "response"], "certainty": "observed",
        },
        {
            "connection": "12", "client": end("<nginx>", 811, 40001), "server": end("haproxy", 812, 8080),
            "request_mono_ns": begins + 12_000_500_000, "request_ns": 2_000_000_000,
            "wait_ns": 1_000_000_000, "share": 0.1875, "bytes": 1_200_000_000,
            "passed_on": "streamed", "held_ns": 1_000_000_000,
            "evidence": ["request", "a later kind"], "certainty": "inferred",
        },
        {
            "connection": "5302224", "client": end("haproxy", 812, 40002),
            "server": end("upload-server", 900, 5000), "request_mono_ns": begins + 13_000_500_000,
            "request_ns": null, "wait_ns": null, "share": null, "bytes": 1_200_000_000,
            "certainty": "observed",
        },
    ]);
    hand_in(&server, "1", &timeline).await;
    (server, timeline)
}

#[tokio::test]
async fn a_lane_for_each_hop() {
    let (server, _) = server().await;
    let page = get(&server, "/t/1").await;
    assert_in_order(
        page.text(),
        &[
            "<h2>The way of this upload</h2>",
            "One axis of 16.0 s",
            "<b>hop 1</b>: <b>curl</b>[4242] 127.0.0.1:50944",
            "<b>&lt;nginx&gt;</b>[811] 127.0.0.1:443",
            ">16.0 s (inferred)</span>",
            "<title>request: 12.0 s</title><rect class=\"body inferred\" x=\"0%\" width=\"75%\"",
            "<title>wait for the response: 4.0 s</title><rect class=\"wait inferred\" x=\"75%\" width=\"25%\"",
            "TLS 1.3, 1.2 GB, body 12.0 s, 100 MB/s</p>",
            "held by &lt;nginx&gt;, which received all of it first",
            "<rect x=\"0%\" width=\"75%\" fill=\"url(#w1-0-hatch)\"",
            "<b>hop 2</b>: ",
            "<rect class=\"body inferred\" x=\"75%\" width=\"12.5%\"",
            "held by haproxy, which passed it on as it came",
            "<b>hop 3</b>: ",
            "<span>unknown</span>",
            "The upload went over 3 TCP connections",
            "Hop 2 carried the same upload as hop 3 because a thread read from this connection, and sent \
             on the next one. That is inferred",
            "<h2>What TCP did</h2>",
        ],
    );
    assert!(!page.text().contains("<nginx>"));
    // It is not what TCP did on this server's connection.
    let fragment = get(&server, "/t/1?fragment").await;
    assert!(!fragment.text().contains("hop 1"), "{}", fragment.text());
}

#[tokio::test]
async fn without_hops_there_is_no_way() {
    let server = TestServer::start().await;
    let upload = upload(&server, "file").await;
    let mut timeline = timeline("ended", &upload);
    hand_in(&server, "1", &timeline).await;
    let page = get(&server, "/t/1").await;
    assert!(!page.text().contains("The way of this upload"));
    // Another upload's hops are not this one's.
    timeline["uploads"][0]["id"] = json!("2");
    timeline["uploads"][0]["hops"] = json!([{"connection": "8"}, {"connection": "9"}]);
    hand_in(&server, "1", &timeline).await;
    let page = get(&server, "/t/1").await;
    assert!(!page.text().contains("The way of this upload"));
    let har = get(&server, "/t/1.har").await;
    assert!(!har.text().contains("_hops"), "{}", har.text());
}

#[tokio::test]
async fn har_has_hops_in_a_field_of_its_own() {
    let (server, timeline) = server().await;
    let har = get(&server, "/t/1.har").await;
    let har: Value = serde_json::from_str(har.text()).unwrap();
    let mut hops = timeline["uploads"][0]["hops"].clone();
    // What this version does not know is left out, and what an older one does not have is as it was there.
    hops[1]["evidence"] = json!(["request"]);
    for hop in hops.as_array_mut().unwrap() {
        hop["role"] = json!("exchange");
        hop["sender"] = json!("client");
    }
    assert_eq!(har["log"]["entries"][0]["_hops"], hops);
}

/// Times begin with the request on the first hop, before the server's connection was open.
#[tokio::test]
async fn trace_events_have_a_track_for_each_hop() {
    let (server, timeline) = server().await;
    let trace = get(&server, "/t/1.perfetto.json").await;
    let trace: Value = serde_json::from_str(trace.text()).unwrap();
    let events = trace["traceEvents"].as_array().unwrap();
    let of_way = |event: &&Value| event["pid"] == 2;
    let names: Vec<_> = events
        .iter()
        .filter(of_way)
        .filter(|event| event["ph"] == "M")
        .map(|event| {
            (
                event["tid"].as_u64().unwrap(),
                event["args"]["name"].as_str().unwrap(),
            )
        })
        .collect();
    let expected = [
        (0, "way to connection 5302224"),
        (1, "hop 1 127.0.0.1:50944 → 127.0.0.1:443"),
        (2, "held by <nginx> after hop 1"),
        (3, "hop 2 127.0.0.1:40001 → 127.0.0.1:8080"),
        (4, "held by haproxy after hop 2"),
        (5, "hop 3 127.0.0.1:40002 → 127.0.0.1:5000"),
    ];
    assert_eq!(names, expected);
    let slices: Vec<_> = events
        .iter()
        .filter(of_way)
        .filter(|event| event["ph"] == "X")
        .map(|event| json!([event["tid"], event["name"], event["ts"], event["dur"]]))
        .collect();
    let expected = [
        json!([1, "request", 0.0, 12e6]),
        json!([1, "wait", 12e6, 4e6]),
        json!([2, "held", 0.0, 12_000_500.0]),
        json!([3, "request", 12_000_500.0, 2e6]),
        json!([3, "wait", 14_000_500.0, 1e6]),
        json!([4, "held", 12_000_500.0, 1e6]),
    ];
    assert_eq!(slices, expected);
    let body = |event: &&Value| event["pid"] == 1 && event["name"] == "body";
    assert_eq!(events.iter().find(body).unwrap()["ts"], 13e6 + 2405.514);
    assert_eq!(timeline["time"], "2026-11-21T16:11:31.267249659Z");
    assert_eq!(
        trace["otherData"]["began"],
        "2026-11-21T16:11:18.267249659Z"
    );
}

#[tokio::test]
async fn a_browser_shows_the_way() {
    let (server, _) = server().await;
    browse(server.address, "shows_the_way").await;
}
