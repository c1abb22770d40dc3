//! Requests that the server declines.

use std::fs;

use upload_server::{record::Outcome, server::OnDuplicate};

use crate::{
    client::{chunked_put_head, content, expecting_put_head},
    process::curl,
    test_server::TestServer,
};

#[tokio::test]
async fn names_that_are_not_plain() {
    check("..").await;
    check("%2e%2e").await;
    check(".hidden").await;
    check("..%2f..%2fetc%2fpasswd").await;
    check(".upload-1-0").await;
    check("%00").await;
    check("a%00b").await;
    check("a%0Db").await;
    check("%ff").await;
    check("a%2Fb").await;
    check("a/b").await;
    check("../b").await;
    check("a/").await;
    check(&"x".repeat(300)).await;

    async fn check(name: &str) {
        let server = TestServer::start().await;
        let mut feed = server.feed().await;
        let mut client = server.connect().await;
        let response = client.put(name, b"abc").await;
        assert_eq!(response.status, 400, "{name}");
        assert!(
            response
                .head
                .contains("content-type: application/problem+json\r\n")
        );
        assert!(
            response.text().contains("the name is not accepted"),
            "{}",
            response.text()
        );
        let upload = feed.upload().await;
        assert_eq!(upload.outcome, Outcome::Refused, "{name}");
        assert_eq!(
            (upload.name, upload.bytes, upload.status),
            (None, 0, Some(400)),
            "{name}"
        );
        assert_eq!(server.names(), [""; 0], "{name}");
    }
}

/// hyper itself refuses an invalid target (RFC 9112, 3.2): there is no request, and so no record.
#[tokio::test]
async fn invalid_targets() {
    for name in [&b"a\0b"[..], b"a\xffb", b"a b"] {
        let server = TestServer::start().await;
        let mut client = server.connect().await;
        let line = [b"PUT /", name, b" HTTP/1.1\r\nHost: localhost\r\n"].concat();
        client.send(line).await;
        client.send("Content-Length: 3\r\n\r\nabc").await;
        let rest = String::from_utf8(client.rest().await).unwrap();
        assert!(rest.starts_with("HTTP/1.1 400 "), "{rest}");
        assert_eq!(server.names(), [""; 0]);
    }
}

#[tokio::test]
async fn methods_that_do_nothing() {
    check("PUT", "/", 405, "GET,HEAD,POST").await;
    check("PUT", "/files/a", 405, "GET,HEAD").await;
    check("DELETE", "/a", 405, "GET,HEAD,PUT").await;
    check("POST", "/a", 405, "GET,HEAD,PUT").await;
    check("PATCH", "/a", 405, "GET,HEAD,PUT").await;
    check("OPTIONS", "/a", 405, "GET,HEAD,PUT").await;

    async fn check(method: &str, target: &str, status: u16, allow: &str) {
        let server = TestServer::start().await;
        let mut client = server.connect().await;
        client
            .send(format!(
                "{method} {target} HTTP/1.1\r\nHost: localhost\r\n\r\n"
            ))
            .await;
        let response = client.response().await;
        assert_eq!(response.status, status, "{method} {target}");
        assert!(
            response.head.contains(&format!("allow: {allow}\r\n")),
            "{}",
            response.head
        );
    }
}

/// curl resumes an upload with a PUT of the rest. Stored, it would pass for the file, and in this mode
/// replace it.
#[tokio::test]
async fn a_part_of_a_file() {
    let server =
        TestServer::start_with(|config| config.on_duplicate = OnDuplicate::Overwrite).await;
    fs::write(server.path("file"), "all of it").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    fs::write(&path, content(1_000)).unwrap();
    let path = path.to_str().unwrap();
    let url = format!("http://{}/", server.address);
    let answer = curl(&["-sS", "-w", "%{http_code}", "-C", "600", "-T", path, &url]).await;
    let answer = String::from_utf8(answer.stdout).unwrap();
    assert!(
        answer.ends_with("400") && answer.contains("resume uploads with tus"),
        "{answer}"
    );
    // Other clients send the parts of a file as forms (emulated: jQuery File Upload).
    for target in ["/file", "/"] {
        let mut client = server.connect().await;
        let method = if target == "/" { "POST" } else { "PUT" };
        let head = format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3");
        client
            .send(head + "\r\nContent-Range: bytes 0-2/9\r\n\r\nall")
            .await;
        let response = client.response().await;
        assert_eq!(response.status, 400, "{method}");
        assert!(
            response.text().contains("Content-Range"),
            "{}",
            response.text()
        );
    }
    assert_eq!(
        fs::read_to_string(server.path("file")).unwrap(),
        "all of it"
    );
    assert_eq!(server.names(), ["file"]);
}

#[tokio::test]
async fn a_name_that_a_directory_has() {
    let server =
        TestServer::start_with(|config| config.on_duplicate = OnDuplicate::Overwrite).await;
    fs::create_dir(server.path("taken")).unwrap();
    let mut client = server.connect().await;
    assert_eq!(client.put("taken", b"abc").await.status, 409);
    assert_eq!(server.names(), ["taken"]);
}

/// A simple client sends everything before it reads. It still gets the answer.
#[tokio::test]
async fn a_file_that_is_too_large_by_its_length() {
    let server = TestServer::start_with(|config| config.limits.max_size = Some(1_000)).await;
    let mut feed = server.feed().await;
    let mut client = server.connect().await;
    let response = client.put("file", &content(16 * 1024 * 1024)).await;
    assert_eq!(response.status, 413);
    assert!(response.head.contains("connection: close\r\n"));
    let upload = feed.upload().await;
    assert_eq!((upload.outcome, upload.bytes), (Outcome::TooLarge, 0));
    assert_eq!(upload.times.body_first_ns, None);
    assert_eq!(server.names(), [""; 0]);
}

#[tokio::test]
async fn a_file_that_is_too_large_is_not_asked_for() {
    let server = TestServer::start_with(|config| config.limits.max_size = Some(1_000)).await;
    let mut client = server.connect().await;
    client.send(expecting_put_head("file", 1_001)).await;
    assert_eq!(client.response().await.status, 413);
}

#[tokio::test]
async fn a_file_that_turns_out_too_large() {
    check(1_000, 201, Outcome::Complete).await;
    check(1_001, 413, Outcome::TooLarge).await;

    async fn check(length: usize, status: u16, outcome: Outcome) {
        let server = TestServer::start_with(|config| config.limits.max_size = Some(1_000)).await;
        let mut feed = server.feed().await;
        let mut client = server.connect().await;
        client.send(chunked_put_head("file")).await;
        client.send(format!("{length:x}\r\n")).await;
        client.send(content(length)).await;
        client.send("\r\n0\r\n\r\n").await;
        assert_eq!(client.response().await.status, status);
        let upload = feed.upload().await;
        assert_eq!((upload.outcome, upload.bytes), (outcome, length as u64));
        assert_eq!(server.names().is_empty(), outcome != Outcome::Complete);
    }
}
