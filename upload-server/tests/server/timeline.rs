//! `GET /t/ID`. The timelines are a tracer's own (`timelines/`), of other uploads: what tells the
//! connection is filled in.

use std::fs;

use serde_json::{Value, json};
use upload_server::record::Upload;

use crate::{
    client::Response,
    events::{Listener, attach, hand_in},
    test_server::TestServer,
};

/// A timeline of this kind as if it were of this upload's connection.
pub(crate) fn timeline(kind: &str, upload: &Upload) -> Value {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/server/timelines");
    let text = fs::read_to_string(format!("{directory}/{kind}.json")).unwrap();
    let mut timeline: Value = serde_json::from_str(&text).unwrap();
    timeline["server"]["cookie"] = json!(upload.cookie.to_string());
    let exchanges = timeline["phases"][1]["exchanges"].as_array_mut().unwrap();
    let last = exchanges.last_mut().unwrap();
    last["upload"] = json!(upload.id);
    last["body"]["acknowledged"] = json!(upload.bytes);
    timeline
}

pub(crate) async fn get(server: &TestServer, target: &str) -> Response {
    let mut client = server.connect().await;
    let request = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    client.send(request).await;
    client.response().await
}

/// Uploads `abc` under this name.
pub(crate) async fn upload(server: &TestServer, name: &str) -> Upload {
    let mut feed = server.feed().await;
    server.connect().await.put(name, b"abc").await;
    feed.next_upload().await
}

/// The page of an upload with this timeline.
async fn page_with(change: impl FnOnce(&mut Value)) -> String {
    let server = TestServer::start().await;
    let upload = upload(&server, "%3Cb%3E%26").await;
    let mut timeline = timeline("ended", &upload);
    change(&mut timeline);
    hand_in(&server, "1", &timeline).await;
    get(&server, "/t/1").await.text().to_owned()
}

/// In this order, whatever stands between.
pub(crate) fn assert_in_order(page: &str, parts: &[&str]) {
    let mut rest = page;
    for part in parts {
        let Some((_, after)) = rest.split_once(part) else {
            panic!("{part} is missing, or not after those before, in {page}");
        };
        rest = after;
    }
}

#[tokio::test]
async fn shows_what_tcp_did() {
    let server = TestServer::start().await;
    let upload = upload(&server, "%3Cb%3E%26").await;
    let mut timeline = timeline("ended", &upload);
    timeline["client"]["comm"] = json!("<script>");
    hand_in(&server, "1", &timeline).await;
    let page = get(&server, "/t/1").await;
    assert_eq!(page.status, 200);
    let policy = page.field("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'; style-src 'self'"));
    let text = page.text();
    assert_in_order(
        text,
        &[
            "<h1><bdi>&lt;b&gt;&amp;</bdi></h1>",
            ">complete</strong>, 201 Created",
            "<b>&lt;script&gt;</b>[7577]",
            "initiation</span>",
            "67.8 µs",
            "termination: the client closed first",
            "from the client to the server: ",
            "<b>SYN</b> Seq=0 Len=0",
            "The client asks to open a connection",
            "<b>SYN-ACK</b> Seq=0 Ack=1 Len=0",
            "<b>PUT /cat.png</b>",
            "<b>body</b> 3,000,000 B, ",
            "<b>FIN</b> Seq=3000133",
            "TIME_WAIT at the client (inferred)",
            "All four agree",
            "<th role=\"rowheader\">Content-Length</th>",
        ],
    );
    assert!(!text.contains("<script>") && !text.contains("<h1><b>"));

    let fragment = get(&server, "/t/1?fragment").await;
    assert!(!fragment.text().contains("<html"));
    assert_in_order(
        fragment.text(),
        &[
            "termination: the client closed first",
            "All four agree",
            "href=\"t/1\"",
        ],
    );
    for asset in ["timeline.css", "timeline.js"] {
        assert!(text.contains(&format!("\"../page/{asset}\"")));
        assert_eq!(get(&server, &format!("/page/{asset}")).await.status, 200);
    }
}

#[tokio::test]
async fn shows_the_containers_of_both_ends() {
    let page = page_with(|timeline| {
        timeline["client"]["container"] = json!("0123456789abcdef".repeat(4));
        timeline["client"]["container_runtime"] = json!("podman");
        timeline["client"]["claimed_by"] = json!("user@1000.service");
        timeline["server"]["container_name"] = json!("<web>");
    });
    assert_in_order(
        &page.await,
        &[
            "is a claim: beneath user@1000.service, processes may make cgroups of any name.\">",
            "container 0123456789ab (podman), as user@1000.service claims",
            "only root makes cgroups there.\">container &lt;web&gt;</span>",
        ],
    );
}

#[tokio::test]
async fn the_same_in_other_forms() {
    let server = TestServer::start().await;
    let upload = upload(&server, "file").await;
    let ended = timeline("ended", &upload);
    hand_in(&server, "1", &ended).await;

    let of = async |form: &str, media_type: &str| {
        let answer = get(&server, &format!("/t/1.{form}")).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.field("content-type"), Some(media_type));
        let name = format!("inline; filename=\"upload-1.{form}\"");
        assert_eq!(answer.field("content-disposition"), Some(name.as_str()));
        answer.text().to_owned()
    };
    let line = of("ndjson", "application/x-ndjson").await;
    assert_eq!(line, ended.to_string() + "\n");
    let record: Value = serde_json::from_str(&of("json", "application/json").await).unwrap();
    assert_eq!(record["timelines"], json!([ended]));
    let record: Upload = serde_json::from_value(record["upload"].clone()).unwrap();
    assert_eq!(record, upload);

    let har: Value = serde_json::from_str(&of("har", "application/json").await).unwrap();
    assert_eq!(har["log"]["version"], "1.2");
    let entry = &har["log"]["entries"][0];
    assert_eq!(entry["startedDateTime"], "2026-11-21T16:11:31.267Z");
    assert_eq!(entry["request"]["url"], "http://127.0.0.1:5000/cat.png");
    assert_eq!(entry["request"]["bodySize"], 3);
    assert_eq!(entry["response"]["status"], 201);
    assert_eq!(
        entry["timings"],
        json!({"blocked": -1, "dns": -1, "connect": 0.067_891, "ssl": -1.0,
            "send": 8.033_012, "wait": 2.932_956, "receive": 0.0})
    );
    assert_eq!(entry["time"], 0.067_891 + 8.033_012 + 2.932_956);

    let trace = of("perfetto.json", "application/json").await;
    let trace: Value = serde_json::from_str(&trace).unwrap();
    let events = trace["traceEvents"].as_array().unwrap();
    let named = |name: &str| events.iter().find(|event| event["name"] == name).unwrap();
    let body = named("body");
    assert_eq!((&body["ph"], &body["dur"]), (&json!("X"), &json!(5728.968)));
    let fin = named("FIN from the client");
    assert_eq!((&fin["ph"], &fin["ts"]), (&json!("i"), &json!(11269.116)));
    assert_eq!(fin["args"]["seq"], 3_000_133);
}

/// What a tracer found of an upload whose client paused, and whose server then did not read.
fn diagnosis() -> Value {
    json!({
        "verdict": "client_application", "side": "client", "certainty": "observed",
        "from": ["client", "server"], "wall_ns": 10_000_000,
        "shares": [
            {"cause": "client_application", "ns": 5_990_000, "share": 0.6},
            {"cause": "server_not_reading", "ns": 4_000_000, "share": 0.4},
            {"cause": "other", "ns": 10_000, "share": 0.0},
        ],
        "course": [
            {"cause": "connect", "start_ns": 0, "end_ns": 10_000},
            {"cause": "client_application", "start_ns": 10_000, "end_ns": 6_000_000},
            {"cause": "server_not_reading", "start_ns": 6_000_000, "end_ns": 10_000_000},
        ],
        "evidence": {"unread_bytes": 2_000_000},
        "sentence": "The client's process had nothing to send.", "advice": "Give larger pieces.",
    })
}

#[tokio::test]
async fn shows_which_cause_ruled_when() {
    let server = TestServer::start().await;
    let upload = upload(&server, "file").await;
    let mut held = timeline("ended", &upload);
    held["uploads"][0]["diagnosis"] = diagnosis();
    hand_in(&server, "1", &held).await;
    let ribbon = [
        "body, ",
        "held back by</span>",
        "the client's process 60 %",
        "<use class=\"client\" href=\"#t1-0-cause-0\"",
        "<title>the client's process, from +10.0 µs to +6.000 ms</title>",
        "<use class=\"server\" href=\"#t1-0-cause-1\"",
        "<title>the server's process, which did not read, from +6.000 ms to +10.000 ms</title>",
    ];
    let page = get(&server, "/t/1").await;
    assert_in_order(page.text(), &ribbon);
    assert_in_order(
        page.text(),
        &[
            "<symbol id=\"t1-0-cause-1\">",
            "What held it back",
            "href=\"#t1-0-unread\"",
            "Which cause ruled when</summary>",
            "the server's process, which did not read</th>",
            "What that means</summary>",
            "40 % server_not_reading, ",
        ],
    );
    let fragment = get(&server, "/t/1?fragment").await;
    assert_in_order(fragment.text(), &ribbon);

    let trace = get(&server, "/t/1.perfetto.json").await;
    let trace: Value = serde_json::from_str(trace.text()).unwrap();
    let events = trace["traceEvents"].as_array().unwrap();
    let row = events
        .iter()
        .find(|event| event["args"]["name"] == "held back by")
        .unwrap();
    let slices: Vec<_> = events
        .iter()
        .filter(|event| event["tid"] == row["tid"] && event["ph"] == "X")
        .map(|event| (&event["args"]["cause"], &event["ts"], &event["dur"]))
        .collect();
    let expected = [
        (&json!("connect"), &json!(0.0), &json!(10.0)),
        (&json!("client_application"), &json!(10.0), &json!(5990.0)),
        (&json!("server_not_reading"), &json!(6000.0), &json!(4000.0)),
    ];
    assert_eq!(slices, expected);

    let har = get(&server, "/t/1.har").await;
    let har: Value = serde_json::from_str(har.text()).unwrap();
    let comment = har["log"]["entries"][0]["comment"].as_str().unwrap();
    let expected = "upload 1; times of the segments; The client's process had nothing to send.";
    assert_eq!(comment, expected);
}

/// Timelines of an older tracer have none.
#[tokio::test]
async fn without_a_course_it_shows_no_ribbon() {
    let page = page_with(|timeline| {
        let mut diagnosis = diagnosis();
        diagnosis.as_object_mut().unwrap().remove("course");
        timeline["uploads"][0]["diagnosis"] = diagnosis;
    });
    let page = page.await;
    assert_in_order(&page, &["What held it back", "What that means"]);
    assert!(!page.contains("held back by</span>") && !page.contains("ruled when"));
}

#[tokio::test]
async fn what_does_not_agree_is_said_loudly() {
    let page = page_with(|timeline| {
        timeline["phases"][1]["exchanges"][0]["body"]["acknowledged"] = json!(4);
    });
    assert_in_order(&page.await, &["class=\"verdict differ\"", "MISMATCH"]);
    let page = page_with(|timeline| {
        timeline["phases"][1]["exchanges"][0]["body"]["acknowledged"] = Value::Null;
    });
    assert_in_order(&page.await, &["All that is known agrees", "unknown"]);
}

/// Never an empty chart.
#[tokio::test]
async fn without_a_timeline_it_says_why() {
    let server = TestServer::start().await;
    upload(&server, "file").await;
    let page = get(&server, "/t/1").await;
    assert!(!page.text().contains("<svg"));
    assert_in_order(
        page.text(),
        &["No tracer is attached", "sudo tracer", "All that is known"],
    );
    let fragment = get(&server, "/t/1?fragment").await;
    assert!(!fragment.text().contains("<svg"), "{}", fragment.text());

    let (_, mut listener) = Listener::connect(&server).await;
    listener.expect("tracer").await;
    let _tracer = attach(&server).await;
    assert_eq!(listener.expect("tracer").await["attached"], true);
    let page = get(&server, "/t/1").await;
    assert_in_order(page.text(), &["A tracer is attached", "Look again"]);
    for form in ["json", "ndjson", "har", "perfetto.json"] {
        assert_eq!(get(&server, &format!("/t/1.{form}")).await.status, 200);
    }
}

/// A browser's connection was opened for another request, and goes on.
#[tokio::test]
async fn of_an_open_connection_it_says_what_is_unknown() {
    let server = TestServer::start().await;
    let upload = upload(&server, "kept").await;
    hand_in(&server, "1", &timeline("open", &upload)).await;
    let page = get(&server, "/t/1").await;
    assert_in_order(
        page.text(),
        &[
            "data-open=\"true\"",
            "So far: the connection is still open",
            " so far",
            "request 2: PUT /kept",
            "unknown: still open",
            "The axis leaves out 1.2 s before this upload, with another request, which the connection \
             was opened for",
            "Unknown: still open",
            "bytes to the server unknown until it is closed",
            "who closes first is unknown",
        ],
    );
    // The other request is in the table alone.
    assert_eq!(page.text().matches("GET /healthz").count(), 1);
}

#[tokio::test]
async fn says_who_broke_an_upload_off() {
    let server = TestServer::start().await;
    let mut feed = server.feed().await;
    let mut client = server.connect().await;
    client
        .send("PUT /broken HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9000\r\n\r\nabc")
        .await;
    drop(client);
    let upload = feed.next_upload().await;
    hand_in(&server, "1", &timeline("aborted", &upload)).await;
    let page = get(&server, "/t/1").await;
    assert_in_order(
        page.text(),
        &[
            "<strong class=\"bad\">aborted</strong>",
            "the client closed the connection",
            "wait: for the rest of the body",
            "termination: the client closed first",
            "<b>RST</b>",
            "The upload was cut short",
            "9,000 B",
        ],
    );
}

/// A server without history gives its ids again.
#[tokio::test]
async fn shows_no_other_uploads_timeline() {
    let page = page_with(|timeline| timeline["server"]["cookie"] = json!("1"));
    assert_in_order(&page.await, &["No tracer is attached"]);
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let server = TestServer::start().await;
    upload(&server, "file").await;
    for target in ["/t/2", "/t/x", "/t/2.json", "/t/1.xml"] {
        assert_eq!(get(&server, target).await.status, 404, "{target}");
    }
}

#[tokio::test]
async fn without_listing_only_the_uploader_finds_it() {
    let server = TestServer::start_with(|config| config.access.offer.listing = false).await;
    let answer = server.connect().await.put("file", b"abc").await;
    let receipt: Value = serde_json::from_slice(&answer.body).unwrap();
    let address = receipt["timeline"].as_str().unwrap();
    assert_eq!(get(&server, "/t/1").await.status, 404);
    let page = get(&server, address).await;
    assert_eq!(page.status, 200);
    let json = format!("{address}.json");
    let link = json.strip_prefix("/t/").unwrap();
    assert!(page.text().contains(&format!("\"{link}\"")));
    assert_eq!(get(&server, &json).await.status, 200);
}
