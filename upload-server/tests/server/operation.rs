//! What an operator relies on: health, metrics, logs, signals, systemd.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    os::fd::OwnedFd,
    process::Stdio,
};

use rustix::process::Signal;
use tokio::process::Command;
use upload_server::{
    record::Outcome,
    server::{Limits, Token},
};

use crate::{
    client::{Client, Response, chunked_put_head, content, expecting_put_head, put_head},
    feed::Feed,
    process::{PROGRAM, Running, control, curl, stderr, tempdir},
    test_server::{TestServer, within_limit},
};

const TOKEN: &str = "0123456789abcdef";

async fn get(server: &TestServer, target: &str, headers: &str) -> Response {
    let mut client = server.connect().await;
    client
        .send(format!(
            "GET {target} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n"
        ))
        .await;
    client.response().await
}

#[tokio::test]
async fn health_is_no_secret() {
    let server = TestServer::start_with(|config| {
        config.access.token = Some(Token::new(TOKEN).unwrap());
    })
    .await;
    let response = get(&server, "/healthz", "").await;
    assert_eq!((response.status, response.text()), (200, "ok\n"));
    let mut client = server.connect().await;
    client
        .send("GET /healthz HTTP/1.1\r\nHost: probe.example\r\n\r\n")
        .await;
    assert_eq!(client.response().await.status, 200);
    assert_eq!(client.put("healthz", b"").await.status, 401);
    assert_eq!(get(&server, "/metrics", "").await.status, 401);
    let bearer = format!("Authorization: Bearer {TOKEN}\r\n");
    assert_eq!(get(&server, "/metrics", &bearer).await.status, 200);
}

#[tokio::test]
async fn files_may_have_the_names_of_endpoints() {
    let server = TestServer::start().await;
    let mut client = server.connect().await;
    for name in ["healthz", "metrics"] {
        assert_eq!(client.put(name, b"a file").await.status, 201);
        let file = get(&server, &format!("/files/{name}"), "").await;
        assert_eq!(file.text(), "a file");
        assert_ne!(get(&server, &format!("/{name}"), "").await.text(), "a file");
    }
}

#[tokio::test]
async fn metrics_count_what_happens() {
    let limits = |limits: &mut Limits| limits.max_size = Some(1_000);
    let server = TestServer::start_with(|config| limits(&mut config.limits)).await;
    let mut feed = server.feed().await;
    let mut client = server.connect().await;
    client.put("file", &content(600)).await;
    client.put("file", &content(400)).await;
    client.put("file", &content(2_000)).await;
    drop(client);
    for _ in 0..3 {
        feed.upload().await;
    }
    feed.connection().await;
    let mut held = server.connect().await;
    held.send(chunked_put_head("held")).await;
    held.send("1\r\nx\r\n").await;
    let mut asked = server.connect().await;
    asked.send(expecting_put_head("held-too", 1)).await;
    assert_eq!(asked.response().await.status, 100);

    let response = get(&server, "/metrics", "").await;
    assert_eq!(response.status, 200);
    let openmetrics = "content-type: application/openmetrics-text; version=1.0.0";
    assert!(response.head.contains(openmetrics), "{}", response.head);
    let text = response.text();
    for line in [
        "upload_server_uploads_total{outcome=\"complete\"} 2",
        "upload_server_uploads_total{outcome=\"too_large\"} 1",
        "upload_server_upload_received_bytes_total 1000",
        "upload_server_upload_duration_seconds_count{outcome=\"complete\"} 2",
        "upload_server_connections_total 4",
        "upload_server_connections_open 3",
        "upload_server_requests_total{method=\"PUT\",status=\"201\"} 2",
        "upload_server_requests_total{method=\"PUT\",status=\"413\"} 1",
        "upload_server_request_duration_seconds_count 3",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
    assert!(text.ends_with("# EOF\n"));
    // The upload that waits for its body is in flight; the other one may not have been read yet.
    assert!(
        ["1", "2"].iter().any(|count| {
            let line = format!("upload_server_uploads_in_flight {count}");
            text.lines().any(|found| found == line)
        }),
        "{text}"
    );
}

#[tokio::test]
async fn each_request_has_its_line_in_the_log() {
    let root = tempdir();
    let server = Running::start_with(&[], root.path()).await;
    let mut feed = Feed::open(&control(root.path())).await;
    let file = root.path().join("sent.bin");
    fs::write(&file, content(123_456)).unwrap();
    let url = format!("http://{}/a%20name?secret=in-the-query", server.address);
    curl(&["--fail", "-T", file.to_str().unwrap(), &url]).await;
    let upload = feed.upload().await;
    feed.connection().await;
    let mut client = Client::connect(server.address).await;
    client
        .send("GET /missing HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await;
    assert_eq!(client.response().await.status, 404);
    assert_eq!(server.stop_with(Signal::TERM).await, Some(0));

    let stderr = stderr(root.path());
    let lines: Vec<_> = stderr
        .lines()
        .filter(|line| line.contains(" request "))
        .collect();
    let [put, get] = lines[..] else {
        panic!("{stderr}");
    };
    let (client, cookie) = (upload.client, upload.cookie);
    for part in [
        "method=PUT",
        "target=\"/a%20name\"",
        "status=201",
        "received=123456",
        "sent=",
        "duration_ms=",
        &format!("client={client}"),
        &format!("cookie={cookie}"),
    ] {
        assert!(put.contains(part), "{part}: {put}");
    }
    assert!(
        get.contains("method=GET") && get.contains("status=404"),
        "{get}"
    );
    assert!(!stderr.contains("in-the-query"), "{stderr}");
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let root = tempdir();
    let server = Running::start_with(&["--grace", "3600"], root.path()).await;
    let mut feed = Feed::open(&control(root.path())).await;
    let mut client = Client::connect(server.address).await;
    client.send(expecting_put_head("file", 10)).await;
    assert_eq!(client.response().await.status, 100);
    server.signal(Signal::TERM);
    assert_eq!(server.next_notification().await, "STOPPING=1\n");
    client.send("half ").await;
    server.signal(Signal::TERM);
    assert_eq!(server.end().await, Some(0));
    assert_eq!(feed.upload().await.outcome, Outcome::Failed);
    assert_eq!(fs::read_dir(root.path().join("files")).unwrap().count(), 0);
    assert!(!control(root.path()).exists());
}

#[tokio::test]
async fn the_grace_has_an_end() {
    let root = tempdir();
    let server = Running::start_with(&["--grace", "0.1"], root.path()).await;
    let mut client = Client::connect(server.address).await;
    client.send(put_head("file", 10)).await;
    assert_eq!(server.stop_with(Signal::TERM).await, Some(0));
    assert!(client.is_closed().await);
}

/// A server with this as its first passed descriptor.
fn passing(descriptor: OwnedFd) -> Command {
    let mut command = Command::new("sh");
    let script = "LISTEN_FDS=1 LISTEN_PID=$$ exec \"$0\" \"$@\" 3<&0 </dev/null";
    command
        .args(["-c", script, PROGRAM])
        .stdin(Stdio::from(descriptor));
    command
}

#[tokio::test]
async fn takes_the_sockets_that_systemd_opened() {
    let root = tempdir();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    // Connections wait while there is no server.
    let early = Client::connect(address);
    let mut early = within_limit(early).await;
    let mut command = passing(listener.into());
    let arguments = ["--dir", "files", "--control", "control"];
    let _server = command
        .args(arguments)
        .current_dir(root.path())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    assert_eq!(early.put("file", b"content").await.status, 201);
    let feed = Feed::open(&control(root.path())).await;
    assert_eq!(feed.server.listen, [address]);
}

#[tokio::test]
async fn listens_on_passed_and_configured_addresses() {
    let root = tempdir();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    let _server = Running::start_as(passing(listener.into()), root.path()).await;
    let feed = Feed::open(&control(root.path())).await;
    assert_eq!(
        (feed.server.listen.len(), feed.server.listen[0]),
        (2, address)
    );
}

#[tokio::test]
async fn passed_sockets_are_judged_as_its_own() {
    let open = TcpListener::bind("0.0.0.0:0").unwrap();
    check(open.into(), 2, "can be reached from other machines").await;
    let file = fs::File::open("/dev/null").unwrap();
    check(file.into(), 1, "a socket that is not a TCP listener").await;

    async fn check(descriptor: OwnedFd, status: i32, expected: &str) {
        let output = passing(descriptor).kill_on_drop(true).output();
        let output = within_limit(output).await.unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(stderr.contains(expected), "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        assert_eq!(output.status.code(), Some(status));
    }
}
