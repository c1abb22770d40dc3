//! The page of an upload that came through proxies.

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
async fn server() -> TestServer {
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
    server
}

#[tokio::test]
async fn a_lane_for_each_hop() {
    let server = server().await;
    let page = get(&server, "/t/1").await;
    assert_in_order(
        page.text(),
        &[
            "<h2>The way of this upload</h2>",
            "One axis of 16.0 s",
            "<b>hop 1</b>: <b>curl</b>[4242] 127.0.0.1:50944",
            "<b>&lt;nginx&gt;</b>[811] 127.0.0.1:443",
            ">16.0 s (inferred)</span>",
            "<title>request: 12.0 s</title><rect class=\"bar body inferred\" x=\"0.00%\" width=\"75.00%\"",
            "<title>wait for the response: 4.0 s</title><rect class=\"bar wait inferred\" x=\"75.00%\" width=\"25.00%\"",
            "TLS 1.3, 1.2 GB, body 12.0 s, 100 MB/s</span>",
            "held by &lt;nginx&gt;, which received all of it first",
            "<rect class=\"held\" x=\"0.00%\" y=\"0.5\" width=\"75.00%\" height=\"11\" fill=\"url(#w1-0-hatch)\"",
            "<b>hop 2</b>: ",
            "<rect class=\"bar body inferred\" x=\"75.00%\" width=\"12.50%\"",
            "held by haproxy, which passed it on as it came",
            "<b>hop 3</b>: ",
            "<span class=\"took\">unknown</span>",
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
}

#[tokio::test]
async fn a_browser_shows_the_way() {
    let server = server().await;
    browse(server.address, "shows_the_way").await;
}
