//! Resumable uploads, request by request. What a real client makes of them is in `tus_client`.

use std::{fs, net::SocketAddr, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD};
use ring::digest::{Algorithm, SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use rustix::process::Signal;
use upload_server::{
    record::{Outcome, Upload},
    server::OnDuplicate,
};

use crate::{
    client::{Client, Response, content},
    feed::Feed,
    history::history,
    process::{Running, control, tempdir},
    test_server::{TestServer, within_limit},
};

const LENGTH: usize = 2_000_000;
const HALF: usize = LENGTH / 2;

pub(crate) fn head(method: &str, target: &str, fields: &str) -> String {
    format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\nTus-Resumable: 1.0.0\r\n{fields}\r\n")
}

fn creation(name: &str, length: usize) -> String {
    let name = BASE64_STANDARD.encode(name);
    format!("Upload-Length: {length}\r\nUpload-Metadata: filetype eA==,filename {name}\r\n")
}

pub(crate) fn bytes(length: usize) -> String {
    format!("Content-Type: application/offset+octet-stream\r\nContent-Length: {length}\r\n")
}

fn part(offset: usize, length: usize) -> String {
    format!("Upload-Offset: {offset}\r\n{}", bytes(length))
}

/// Begins an upload; where it is.
pub(crate) async fn create(address: SocketAddr, name: &str, length: usize) -> String {
    let mut client = Client::connect(address).await;
    let fields = format!("{}Content-Length: 0\r\n", creation(name, length));
    client.send(head("POST", "/tus/", &fields)).await;
    let response = client.response().await;
    assert_eq!(response.status, 201, "{}", response.text());
    assert_eq!(response.field("upload-offset"), Some("0"));
    assert!(response.field("upload-expires").unwrap().ends_with(" GMT"));
    address_of(&response)
}

/// The address of a new upload, which is relative to that of the request.
pub(crate) fn address_of(response: &Response) -> String {
    let location = response.field("location").unwrap();
    format!("/tus/{}", location.rsplit('/').next().unwrap())
}

/// Sends a part on a connection of its own.
pub(crate) async fn patch(
    address: SocketAddr,
    target: &str,
    offset: usize,
    bytes: &[u8],
    fields: &str,
) -> Response {
    let mut client = Client::connect(address).await;
    let fields = format!("{}{fields}", part(offset, bytes.len()));
    client.send(head("PATCH", target, &fields)).await;
    client.send(bytes).await;
    client.response().await
}

pub(crate) async fn ask(address: SocketAddr, method: &str, target: &str) -> Response {
    let mut client = Client::connect(address).await;
    client.send(head(method, target, "")).await;
    let response = match method {
        "HEAD" => client.response_head().await,
        _ => client.response().await,
    };
    if response.status != 405 {
        assert_eq!(response.field("tus-resumable"), Some("1.0.0"));
    }
    response
}

async fn offset(address: SocketAddr, target: &str) -> usize {
    let response = ask(address, "HEAD", target).await;
    assert_eq!(response.status, 200);
    assert_eq!(response.field("cache-control"), Some("no-store"));
    response.field("upload-offset").unwrap().parse().unwrap()
}

/// The record of an upload whose parts came on connections of their own, one behind the other.
fn assert_parts(upload: &Upload, ends: &[usize]) {
    let mut cookies = Vec::new();
    let mut begin = 0;
    for (part, end) in upload.connections.iter().zip(ends) {
        assert_eq!(
            (part.offset, part.offset + part.bytes),
            (begin, *end as u64)
        );
        assert!(part.times.accepted_ns <= part.times.head_ns);
        assert!(part.times.body_first_ns <= part.times.body_last_ns);
        cookies.push(part.cookie);
        begin = *end as u64;
    }
    assert_eq!(cookies.len(), ends.len());
    assert_eq!(cookies.last(), Some(&upload.cookie));
    cookies.sort();
    cookies.dedup();
    assert_eq!(cookies.len(), ends.len());
}

#[tokio::test]
async fn resumes_where_it_broke_off() {
    let server = TestServer::start().await;
    let mut feed = server.feed().await;
    let content = content(LENGTH);
    let target = create(server.address, "cat.png", LENGTH).await;
    feed.connection().await;

    let mut client = server.connect().await;
    client.send(head("PATCH", &target, &part(0, LENGTH))).await;
    client.send(&content[..HALF]).await;
    client.finish_sending().await;
    assert_eq!(client.response().await.status, 400);
    drop(client);
    feed.connection().await;
    assert_eq!(offset(server.address, &target).await, HALF);
    feed.connection().await;
    assert!(server.names().iter().all(|name| name.starts_with('.')));

    let response = patch(server.address, &target, HALF, &content[HALF..], "").await;
    assert_eq!(response.status, 204);
    assert_eq!(response.field("upload-offset"), Some("2000000"));
    let link = response.field("link");
    assert_eq!(link, Some("<../t/1>; rel=\"describedby\""));
    assert!(fs::read(server.path("cat.png")).unwrap() == content);
    let upload = feed.upload().await;
    assert_eq!(
        (upload.outcome, upload.bytes),
        (Outcome::Complete, LENGTH as u64)
    );
    assert_eq!(upload.name.as_deref(), Some("cat.png"));
    assert_parts(&upload, &[HALF, LENGTH]);
    let last = upload.connections.last().unwrap();
    assert_eq!((last.times, last.request), (upload.times, upload.request));
    assert!(upload.times.sent_ns.is_some());
    feed.connection().await;

    // A client that missed the last answer asks once more.
    assert_eq!(offset(server.address, &target).await, LENGTH);
    assert_eq!(ask(server.address, "DELETE", &target).await.status, 404);
    assert!(server.path("cat.png").exists());
}

#[tokio::test]
async fn begins_with_bytes() {
    let server = TestServer::start().await;
    let mut feed = server.feed().await;
    let content = content(LENGTH);
    for (sent, expected) in [(LENGTH, "2000000"), (HALF, "1000000")] {
        let mut client = server.connect().await;
        let fields = creation("file", LENGTH) + &bytes(sent);
        client.send(head("POST", "/tus/", &fields)).await;
        client.send(&content[..sent]).await;
        let response = client.response().await;
        assert_eq!(response.status, 201);
        assert_eq!(response.field("upload-offset"), Some(expected));
        let target = &address_of(&response);
        if sent < LENGTH {
            let rest = &content[sent..];
            assert_eq!(
                patch(server.address, target, sent, rest, "").await.status,
                204
            );
        }
    }
    let whole = feed.upload().await;
    assert_eq!(whole.connections.len(), 1);
    for name in ["file", "file (1)"] {
        assert!(fs::read(server.path(name)).unwrap() == content, "{name}");
    }
}

#[tokio::test]
async fn an_empty_file_needs_no_bytes() {
    let server = TestServer::start().await;
    create(server.address, "empty", 0).await;
    assert_eq!(fs::read(server.path("empty")).unwrap(), b"");
}

#[tokio::test]
async fn bytes_with_a_wrong_checksum_are_discarded() {
    let server = TestServer::start().await;
    let content = content(LENGTH);
    let target = create(server.address, "file", LENGTH).await;
    let checksum = |name: &str, algorithm: &'static Algorithm, bytes: &[u8]| {
        let value = BASE64_STANDARD.encode(digest(algorithm, bytes));
        format!("Upload-Checksum: {name} {value}\r\n")
    };
    let (first, second) = content.split_at(HALF);
    let sha1 = checksum("sha1", &SHA1_FOR_LEGACY_USE_ONLY, first);
    let sha256 = checksum("sha256", &SHA256, second);

    let wrong = patch(server.address, &target, 0, first, &sha256).await;
    assert_eq!(wrong.status, 460);
    wrong.problem();
    assert_eq!(offset(server.address, &target).await, 0);
    let right = patch(server.address, &target, 0, first, &sha1).await;
    assert_eq!(right.status, 204);

    let mut client = server.connect().await;
    let fields = part(HALF, second.len()) + &sha256;
    client.send(head("PATCH", &target, &fields)).await;
    client.send(&second[..700_000]).await;
    client.finish_sending().await;
    assert_eq!(client.response().await.status, 400);
    assert_eq!(offset(server.address, &target).await, HALF);

    let unknown = patch(
        server.address,
        &target,
        HALF,
        second,
        "Upload-Checksum: md5 AA==\r\n",
    );
    assert_eq!(unknown.await.status, 400);
    let right = patch(server.address, &target, HALF, second, &sha256).await;
    assert_eq!(right.status, 204);
    assert!(fs::read(server.path("file")).unwrap() == content);
}

#[tokio::test]
async fn is_cancelled_or_expires() {
    for lapses in [false, true] {
        let server = TestServer::start_with(|config| {
            if lapses {
                config.resume_within = Duration::from_millis(300);
            }
        })
        .await;
        let target = create(server.address, "file", LENGTH).await;
        let some = content(1_000);
        assert_eq!(
            patch(server.address, &target, 0, &some, "").await.status,
            204
        );
        if !lapses {
            assert_eq!(ask(server.address, "DELETE", &target).await.status, 204);
        }
        let mut feed = server.feed().await;
        let upload = loop {
            if let Some(upload_server::record::FeedLine::Upload(upload)) = feed.next().await {
                break upload;
            }
        };
        assert_eq!((upload.outcome, upload.bytes), (Outcome::Aborted, 1_000));
        let expected = if lapses {
            "in time"
        } else {
            "cancelled the upload"
        };
        assert!(upload.error.unwrap().contains(expected));
        assert_eq!(ask(server.address, "HEAD", &target).await.status, 404);
        assert_eq!(server.names(), [""; 0]);
    }
}

#[tokio::test]
async fn the_latest_request_wins() {
    let server = TestServer::start().await;
    let content = content(LENGTH);
    let target = create(server.address, "file", LENGTH).await;
    let mut hanging = server.connect().await;
    let fields = part(0, LENGTH) + "Expect: 100-continue\r\n";
    hanging.send(head("PATCH", &target, &fields)).await;
    assert_eq!(hanging.response().await.status, 100);

    assert_eq!(offset(server.address, &target).await, 0);
    assert_eq!(hanging.response().await.status, 409);
    assert_eq!(
        patch(server.address, &target, 0, &content, "").await.status,
        204
    );
    assert!(fs::read(server.path("file")).unwrap() == content);
}

#[tokio::test]
async fn refuses_malformed_requests() {
    let server = TestServer::start_with(|config| {
        config.limits.max_size = Some(LENGTH as u64);
        config.on_duplicate = OnDuplicate::Error;
    })
    .await;
    fs::write(server.path("taken"), "").unwrap();
    let post = async |fields: String, status: u16| {
        let mut client = server.connect().await;
        client.send(head("POST", "/tus/", &fields)).await;
        let response = client.response().await;
        assert_eq!(response.status, status, "{fields}");
        response.problem();
    };
    post(creation("file", LENGTH + 1), 413).await;
    post(creation("taken", 1), 409).await;
    post(creation("../file", 1), 400).await;
    post(creation(".tus-x", 1), 400).await;
    post(creation("file", 1).replace("Length: 1", "Length: -1"), 400).await;

    let target = create(server.address, "file", LENGTH).await;
    let missing = format!("/tus/{}", "0".repeat(32));
    let some = content(10);
    for (target, offset, fields, status) in [
        (&target, 5, "", 409),
        (&target, 0, "Upload-Checksum: sha1\r\n", 400),
        (&missing, 0, "", 404),
        (&"/tus/x".to_owned(), 0, "", 404),
    ] {
        let response = patch(server.address, target, offset, &some, fields).await;
        assert_eq!(response.status, status, "{target} {offset} {fields}");
        response.problem();
    }
    for (request, status) in [
        (head("PATCH", &target, "Upload-Offset: 0\r\n"), 415),
        (head("PATCH", &target, &bytes(0)), 400),
        (head("HEAD", &target, "").replace("1.0.0", "0.2.2"), 412),
        (head("PUT", &target, ""), 405),
    ] {
        let mut client = server.connect().await;
        client.send(&request).await;
        assert_eq!(client.response_head().await.status, status, "{request}");
    }
    let more = patch(server.address, &target, 0, &content(LENGTH + 1), "").await;
    assert_eq!(more.status, 400);
    assert!(!server.path("file").exists());
}

#[tokio::test]
async fn takes_a_method_override() {
    let server = TestServer::start().await;
    let target = create(server.address, "file", 3).await;
    let mut client = server.connect().await;
    let fields = part(0, 3) + "X-HTTP-Method-Override: PATCH\r\n";
    client.send(head("POST", &target, &fields)).await;
    client.send("abc").await;
    assert_eq!(client.response().await.status, 204);
    assert_eq!(fs::read(server.path("file")).unwrap(), b"abc");
}

#[tokio::test]
async fn outlives_a_kill() {
    let root = tempdir();
    let content = content(LENGTH);
    let server = Running::start(root.path()).await;
    let target = create(server.address, "file", LENGTH).await;
    let early = patch(server.address, &target, 0, &content[..HALF], "").await;
    assert_eq!(early.status, 204);
    server.stop_with(Signal::KILL).await;

    let server = Running::start(root.path()).await;
    let mut feed = Feed::open(&control(root.path())).await;
    assert_eq!(offset(server.address, &target).await, HALF);
    feed.connection().await;
    let late = patch(server.address, &target, HALF, &content[HALF..], "").await;
    assert_eq!(late.status, 204);
    let upload = feed.upload().await;
    assert_parts(&upload, &[HALF, LENGTH]);
    assert!(fs::read(root.path().join("files/file")).unwrap() == content);
    // The history has the response a moment after the feed.
    let kept = within_limit(async {
        loop {
            let (kept, _) = history(root.path(), "").await.remove(0);
            if kept.status.is_some() {
                break kept;
            }
        }
    });
    assert_eq!(kept.await, upload);
}

/// A server may be killed between the last byte and the rename.
#[tokio::test]
async fn gets_its_name_after_a_kill() {
    let root = tempdir();
    let server = Running::start(root.path()).await;
    let target = create(server.address, "file", 3).await;
    server.stop_with(Signal::KILL).await;
    let id = target.strip_prefix("/tus/").unwrap();
    fs::write(root.path().join(format!("files/.tus-{id}")), "abc").unwrap();

    let server = Running::start_with(&["--sha256"], root.path()).await;
    assert_eq!(offset(server.address, &target).await, 3);
    let stored = fs::read(root.path().join("files/file")).unwrap();
    assert_eq!(stored, b"abc");
    let (upload, _) = &history(root.path(), "").await[0];
    assert!(upload.sha256.as_ref().unwrap().starts_with("ba7816bf"));
}
