//! What the history has of uploads after the server has ended, properly or not.

use std::{fs, path::Path};

use rustix::process::Signal;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
};
use upload_server::record::{FeedLine, Outcome, Upload};

use crate::{
    client::{Client, content, expecting_put_head},
    feed::Feed,
    process::{Running, control, curl, stderr, tempdir},
    test_server::within_limit,
};

/// The control socket's answer: its status and its body.
async fn ask(root: &Path, method: &str, target: &str, body: &str) -> (u16, String) {
    let mut stream = UnixStream::connect(control(root)).await.unwrap();
    let length = body.len();
    let head = format!("{method} {target} HTTP/1.0\r\nContent-Length: {length}\r\n\r\n{body}");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let read = stream.read_to_string(&mut answer);
    within_limit(read).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, body.to_owned())
}

/// The uploads in the history, the latest first, each with its whole line.
pub(crate) async fn history(root: &Path, query: &str) -> Vec<(Upload, Value)> {
    let (status, lines) = ask(root, "GET", &format!("/history{query}"), "").await;
    assert_eq!(status, 200, "{lines}");
    let lines = lines.lines().map(|line| {
        let line: Value = serde_json::from_str(line).unwrap();
        (
            serde_json::from_value(line["upload"].clone()).unwrap(),
            line,
        )
    });
    lines.collect()
}

async fn put(server: &Running, name: &str) -> String {
    let response = Client::connect(server.address)
        .await
        .put(name, b"abc")
        .await;
    assert_eq!(response.status, 201);
    let receipt: Value = serde_json::from_slice(&response.body).unwrap();
    receipt["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn outlives_the_server() {
    let root = tempdir();
    let server = Running::start_with(&["--sha256"], root.path()).await;
    let mut feed = Feed::open(&control(root.path())).await;
    assert_eq!(put(&server, "one").await, "1");
    let one = feed.upload().await;
    feed.connection().await;
    let mut client = Client::connect(server.address).await;
    client.send(expecting_put_head("two", 3)).await;
    assert_eq!(client.response().await.status, 100);
    drop(client);
    let two = feed.upload().await;
    assert_eq!(two.outcome, Outcome::Aborted);
    assert_eq!(server.stop_with(Signal::TERM).await, Some(0));

    let server = Running::start(root.path()).await;
    let past = history(root.path(), "").await;
    let uploads: Vec<_> = past.iter().map(|(upload, _)| upload).collect();
    assert_eq!(uploads, [&two, &one]);
    assert!(one.sha256.is_some() && one.times.sent_ns.is_some());
    let (began, ended) = (&past[1].1["began"], &past[1].1["ended"]);
    assert!(began.as_str() < ended.as_str(), "{began} {ended}");
    assert_eq!(past[1].1["timelines"], serde_json::json!([]));

    // The feed belongs to this process, but the ids continue.
    let mut feed = Feed::open(&control(root.path())).await;
    assert_eq!(put(&server, "three").await, "3");
    assert!(matches!(feed.next().await, Some(FeedLine::Upload(upload)) if upload.id == "3"));
    assert_eq!(history(root.path(), "?limit=1").await[0].0.id, "3");
    assert_eq!(history(root.path(), "?limit=1&before=2").await[0].0.id, "1");
}

#[tokio::test]
async fn outlives_a_kill() {
    let root = tempdir();
    for round in 1..=5 {
        let server = Running::start(root.path()).await;
        let id = put(&server, &format!("file-{round}")).await;
        server.stop_with(Signal::KILL).await;
        assert_eq!(id, round.to_string());
    }
    let _server = Running::start(root.path()).await;
    let past = history(root.path(), "").await;
    let names: Vec<_> = past
        .iter()
        .map(|(upload, _)| upload.name.as_deref().unwrap())
        .collect();
    assert_eq!(names, ["file-5", "file-4", "file-3", "file-2", "file-1"]);
    let complete = |upload: &Upload| upload.outcome == Outcome::Complete && upload.bytes == 3;
    assert!(past.iter().all(|(upload, _)| complete(upload)));
}

/// Small files are stored, and their records are kept, several at a time: each is one whole file and one
/// record before its client has the answer.
#[tokio::test]
async fn many_small_files_outlive_a_kill() {
    const COUNT: usize = 300;
    let root = tempdir();
    let server = Running::start(root.path()).await;
    let name = |number: usize| format!("small-{number:03}");
    for number in 0..COUNT {
        fs::write(root.path().join(name(number)), content(number)).unwrap();
    }
    let files = root.path().join(format!("small-[000-{}]", COUNT - 1));
    let url = format!("http://{}/", server.address);
    let all = ["--fail", "--parallel", "--parallel-max", "8", "-T"];
    curl(&[&all[..], &[files.to_str().unwrap(), &url]].concat()).await;
    server.stop_with(Signal::KILL).await;

    let _server = Running::start(root.path()).await;
    let mut past = history(root.path(), "?limit=1000").await;
    past.sort_by(|(one, _), (other, _)| one.name.cmp(&other.name));
    assert_eq!(past.len(), COUNT);
    for (number, (upload, _)) in past.iter().enumerate() {
        assert_eq!(upload.name, Some(name(number)));
        assert_eq!(upload.outcome, Outcome::Complete);
        assert_eq!(upload.stored_bytes, Some(number as u64));
        let stored = root.path().join("files").join(name(number));
        assert!(fs::read(stored).unwrap() == content(number), "{number}");
    }
}

#[tokio::test]
async fn has_the_timelines_of_each_connection() {
    let root = tempdir();
    let server = Running::start(root.path()).await;
    put(&server, "file").await;
    let (first, second) = (
        r#"{"server":{"cookie":"7"},"phases":[1]}"#,
        r#"{"server":{"cookie":"8"},"phases":[2]}"#,
    );
    for timeline in [second, "[0]", first, second] {
        let (status, _) = ask(root.path(), "POST", "/uploads/1/timeline", timeline).await;
        assert_eq!(status, 204);
    }
    let expected = format!("[[0],{first},{second}]");
    let check = async || {
        let (_, timelines) = ask(root.path(), "GET", "/uploads/1/timelines", "").await;
        assert_eq!(timelines, expected);
        let (_, timeline) = ask(root.path(), "GET", "/uploads/1/timeline", "").await;
        assert_eq!(timeline, second);
        let kept = history(root.path(), "").await[0].1["timelines"].clone();
        assert_eq!(kept, serde_json::from_str::<Value>(&expected).unwrap());
    };
    check().await;
    server.stop_with(Signal::KILL).await;

    let _server = Running::start(root.path()).await;
    check().await;
    let third = r#"{"server":{"cookie":"9"}}"#;
    assert_eq!(
        ask(root.path(), "POST", "/uploads/1/timeline", third)
            .await
            .0,
        204
    );
    assert_eq!(
        ask(root.path(), "GET", "/uploads/1/timeline", "").await.1,
        third
    );
    for target in [
        "/uploads/2/timeline",
        "/uploads/2/timelines",
        "/uploads/x/timeline",
    ] {
        assert_eq!(ask(root.path(), "GET", target, "").await.0, 404, "{target}");
    }
}

#[tokio::test]
async fn keeps_as_many_uploads_as_configured() {
    let root = tempdir();
    for (keep, kept) in [("2", 2), ("0", 0)] {
        let server = Running::start_with(&["--history", keep], root.path()).await;
        for name in ["one", "two", "three"] {
            put(&server, name).await;
        }
        assert_eq!(history(root.path(), "").await.len(), kept, "{keep}");
        assert!(!stderr(root.path()).contains("no history"));
        assert_eq!(server.stop_with(Signal::TERM).await, Some(0));
    }
}

#[tokio::test]
async fn uploads_are_taken_without_it() {
    let root = tempdir();
    let file = root.path().join("a-file");
    fs::write(&file, "").unwrap();
    let below = file.join("state");
    let arguments = ["--state", below.to_str().unwrap()];
    let server = Running::start_with(&arguments, root.path()).await;
    assert_eq!(put(&server, "file").await, "1");
    let stderr = stderr(root.path());
    assert!(
        stderr.contains("upload-server: no history is kept in ") && stderr.contains("--history 0"),
        "{stderr}"
    );
    assert_eq!(history(root.path(), "").await.len(), 0);
}

#[tokio::test]
async fn belongs_to_one_server() {
    let root = tempdir();
    let first = Running::start(root.path()).await;
    let state = root.path().join("state");
    let other = tempdir();
    let arguments = ["--state", state.to_str().unwrap()];
    let second = Running::start_with(&arguments, other.path()).await;
    let stderr = stderr(other.path());
    assert!(
        stderr.contains("another server keeps its own there"),
        "{stderr}"
    );
    put(&second, "second").await;
    put(&first, "first").await;
    let past = history(root.path(), "").await;
    assert_eq!(past.len(), 1);
    assert_eq!(past[0].0.name.as_deref(), Some("first"));
}
