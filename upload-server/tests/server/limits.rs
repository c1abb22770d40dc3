//! Requests beyond the limits are refused, and the others go on.

use std::{fs, time::Duration};

use rustix::process::{Resource, getrlimit, setrlimit};
use upload_server::{record::Outcome, server::Limits};

use crate::{
    client::{Client, Response, chunked_put_head, content, expecting_put_head},
    feed::Feed,
    process::{Running, control, tempdir},
    test_server::TestServer,
};

async fn serve(adjust: impl FnOnce(&mut Limits)) -> TestServer {
    TestServer::start_with(|config| adjust(&mut config.limits)).await
}

/// Begins an upload that then waits for its body.
async fn begin(server: &TestServer) -> Client {
    let mut client = server.connect().await;
    client.send(expecting_put_head("held", 4)).await;
    assert_eq!(client.response().await.status, 100);
    client
}

fn assert_turned_away(response: &Response, status: u16) {
    assert_eq!(response.status, status);
    assert!(
        response.head.contains("retry-after: 5\r\n"),
        "{}",
        response.head
    );
    assert!(
        response.problem()["detail"]
            .as_str()
            .unwrap()
            .contains("try again")
    );
}

#[tokio::test]
async fn uploads_at_a_time() {
    check(503, |limits| limits.uploads = 1).await;
    check(429, |limits| limits.uploads_per_client = 1).await;

    async fn check(status: u16, adjust: impl FnOnce(&mut Limits)) {
        let server = serve(adjust).await;
        let mut feed = server.feed().await;
        let mut held = begin(&server).await;
        let mut other = server.connect().await;
        // The client sends everything before it reads.
        let response = other.put("other", &content(4_000_000)).await;
        assert_turned_away(&response, status);
        let upload = feed.upload().await;
        assert_eq!(
            (upload.outcome, upload.status),
            (Outcome::Refused, Some(status))
        );
        assert_eq!((upload.target.as_str(), upload.bytes), ("/other", 0));
        assert!(other.is_closed().await);
        feed.connection().await;

        held.send("held").await;
        assert_eq!(held.response().await.status, 201);
        let mut other = server.connect().await;
        assert_eq!(other.put("other", b"now").await.status, 201);
        assert_eq!(server.names(), ["held", "other"]);
    }
}

/// A download that its client does not read holds a place, and nobody waits for it.
#[tokio::test]
async fn downloads_at_a_time() {
    check(503, |limits| limits.downloads = 1).await;
    check(429, |limits| limits.downloads_per_client = 1).await;

    async fn check(status: u16, adjust: impl FnOnce(&mut Limits)) {
        const GET: &str = "GET /files/large HTTP/1.1\r\nHost: localhost\r\n\r\n";
        let server = serve(adjust).await;
        let large = fs::File::create(server.path("large")).unwrap();
        large.set_len(100_000_000).unwrap();
        let mut feed = server.feed().await;
        let mut held = server.connect().await;
        held.send(GET).await;
        assert_eq!(held.try_status().await, Some(200));
        let mut other = server.connect().await;
        other.send(GET).await;
        assert_turned_away(&other.response().await, status);
        drop(held);
        feed.connection().await;
        other.send(GET).await;
        assert_eq!(other.response().await.status, 200);
    }
}

#[tokio::test]
async fn the_disk_is_not_filled() {
    let server = serve(|limits| limits.min_free = u64::MAX / 2).await;
    let mut feed = server.feed().await;
    for head in [expecting_put_head("file", 1_000), chunked_put_head("file")] {
        let mut client = server.connect().await;
        client.send(head).await;
        let response = client.response().await;
        assert_eq!(response.status, 507);
        let detail = response.problem()["detail"].to_string();
        assert!(
            detail.contains("leaves at least 9223372 TB free (--min-free)"),
            "{detail}"
        );
        let upload = feed.upload().await;
        assert_eq!(
            (upload.outcome, upload.status),
            (Outcome::DiskFull, Some(507))
        );
        drop(client);
        feed.connection().await;
    }
    assert_eq!(server.names(), [""; 0]);
}

#[tokio::test]
async fn connections_at_a_time_where_all_are_busy() {
    let server = serve(|limits| limits.connections = 2).await;
    let (mut one, mut two) = (begin(&server).await, begin(&server).await);
    let mut third = server.connect().await;
    let response = third.put("third", &content(1_000_000)).await;
    assert_turned_away(&response, 503);
    assert!(third.is_closed().await);
    for held in [&mut one, &mut two] {
        held.send("held").await;
        assert!([200, 201].contains(&held.response().await.status));
    }
    // Both are silent now: the one that has been silent for longer makes room.
    let mut third = server.connect().await;
    assert_eq!(third.put("third", b"now").await.status, 201);
    assert!(one.is_closed().await);
    assert_eq!(two.put("two", b"still here").await.status, 201);
}

#[tokio::test]
async fn silent_connections_keep_nobody_out() {
    let needed = 2_500;
    let mut limit = getrlimit(Resource::Nofile);
    assert!(limit.maximum.is_none_or(|most| most > needed), "{limit:?}");
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();

    check("10000", false).await;
    check("500", true).await;

    async fn check(most: &str, makes_room: bool) {
        let root = tempdir();
        let server = Running::start_with(&["--max-connections", most], root.path()).await;
        let mut early = Client::connect(server.address).await;
        early.send(expecting_put_head("early", 5)).await;
        assert_eq!(early.response().await.status, 100);
        let mut silent = Vec::new();
        for _ in 0..2_000 {
            silent.push(Client::connect(server.address).await);
        }
        let mut late = Client::connect(server.address).await;
        assert_eq!(late.put("late", &content(3_000_000)).await.status, 201);
        early.send("early").await;
        assert_eq!(early.response().await.status, 201);
        let files = root.path().join("files");
        assert!(fs::read(files.join("late")).unwrap() == content(3_000_000));
        assert_eq!(fs::read(files.join("early")).unwrap(), b"early");
        if makes_room {
            assert!(silent[0].is_closed().await);
        }
    }
}

#[tokio::test]
async fn a_body_in_no_hurry_is_not_slow_while_the_server_is() {
    // Any wait for the client would be too long. There is none, because the body has arrived already.
    let server = serve(|limits| {
        limits.min_rate = u64::MAX;
        limits.rate_window = Duration::from_secs(3_600);
    })
    .await;
    let mut client = server.connect().await;
    assert_eq!(client.put("file", &content(3_000_000)).await.status, 201);
}

#[tokio::test]
async fn the_command_line_sets_them() {
    let root = tempdir();
    let arguments = [
        "--max-uploads",
        "1",
        "--min-free",
        "1k",
        "--idle-timeout",
        "0.2",
    ];
    let server = Running::start_with(&arguments, root.path()).await;
    let mut feed = Feed::open(&control(root.path())).await;
    let mut held = Client::connect(server.address).await;
    held.send(expecting_put_head("held", 4)).await;
    assert_eq!(held.response().await.status, 100);
    let mut other = Client::connect(server.address).await;
    assert_eq!(other.put("other", b"").await.status, 503);
    assert_eq!(feed.upload().await.outcome, Outcome::Refused);
    assert_eq!(held.response().await.status, 408);
}
