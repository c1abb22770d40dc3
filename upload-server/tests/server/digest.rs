//! Digests (RFC 9530): the client's are checked, and the one that it wants is returned.

use std::fs;

use tokio::process::Command;
use upload_server::{record::Outcome, server::OnDuplicate};

use crate::{
    client::{Client, content},
    process::{Running, tempdir},
    test_server::TestServer,
};

const LENGTH: usize = 1_500_000;

/// The digest as another program computes it, as a field's member.
async fn digest(algorithm: &str, content: &[u8]) -> String {
    let root = tempdir();
    fs::write(root.path().join("file"), content).unwrap();
    let script = format!(
        "openssl dgst -{} -binary file | base64 -w0",
        algorithm.replace('-', "")
    );
    let output = Command::new("sh")
        .args(["-c", &script])
        .current_dir(root.path())
        .output();
    let digest = String::from_utf8(output.await.unwrap().stdout).unwrap();
    format!("{algorithm}=:{digest}:")
}

#[tokio::test]
async fn a_right_one_is_passed() {
    let server = TestServer::start().await;
    let mut client = server.connect().await;
    for length in [0, 1, LENGTH] {
        let content = content(length);
        for algorithm in ["sha-256", "sha-512"] {
            for field in ["Content-Digest", "Repr-Digest"] {
                let field = format!("{field}: {}\r\n", digest(algorithm, &content).await);
                let response = client.put_with(&field, "file", &content).await;
                assert_eq!(response.status, 201, "{field}: {}", response.text());
            }
        }
    }
}

#[tokio::test]
async fn nothing_is_stored_with_a_wrong_one() {
    let right = digest("sha-256", &content(LENGTH)).await;
    let other = digest("sha-512", b"another").await;
    for field in ["Content-Digest", "Repr-Digest"] {
        for value in [other.clone(), format!("{right}, {other}")] {
            let server =
                TestServer::start_with(|config| config.on_duplicate = OnDuplicate::Overwrite).await;
            fs::write(server.path("file"), "older").unwrap();
            let mut feed = server.feed().await;
            let mut client = server.connect().await;
            let field = format!("{field}: {value}\r\n");
            let response = client.put_with(&field, "file", &content(LENGTH)).await;
            assert_eq!(response.status, 400, "{field}");
            let detail = response.problem()["detail"].to_string();
            assert!(detail.contains("sha-512"), "{detail}");
            let upload = feed.upload().await;
            assert_eq!(
                (upload.outcome, upload.bytes),
                (Outcome::Refused, LENGTH as u64)
            );
            assert_eq!(server.names(), ["file"]);
            assert_eq!(fs::read(server.path("file")).unwrap(), b"older");
        }
    }
}

#[tokio::test]
async fn one_that_cannot_be_read_is_refused_and_an_unknown_one_is_not() {
    for (field, status) in [
        ("Repr-Digest: sha-256=abc", 400),
        ("Content-Digest: sha-256=:abc", 400),
        ("Want-Repr-Digest: sha-256=\"much\"", 400),
        ("Repr-Digest: md5=:AA==:", 201),
        ("Want-Repr-Digest: unixsum=10", 201),
    ] {
        let server = TestServer::start().await;
        let mut client = server.connect().await;
        let response = client
            .put_with(&format!("{field}\r\n"), "file", b"abc")
            .await;
        assert_eq!(response.status, status, "{field}");
        assert_eq!(response.field("repr-digest"), None);
        assert_eq!(server.names().len(), usize::from(status == 201), "{field}");
    }
}

#[tokio::test]
async fn is_sent_on_request() {
    let server = TestServer::start().await;
    let mut feed = server.feed().await;
    let content = content(LENGTH);
    let mut client = server.connect().await;
    for (wants, algorithm) in [
        ("sha-256=1", "sha-256"),
        ("sha-256=3, sha-512=10", "sha-512"),
    ] {
        let field = format!("Want-Repr-Digest: {wants}\r\n");
        let expected = digest(algorithm, &content).await;
        let response = client.put_with(&field, "file", &content).await;
        assert_eq!(response.field("repr-digest"), Some(&*expected));
        assert_eq!(feed.upload().await.sha256.is_some(), algorithm == "sha-256");

        let head = format!("GET /files/file HTTP/1.1\r\nHost: localhost\r\n{field}\r\n");
        client.send(head).await;
        let response = client.response().await;
        assert_eq!(response.field("repr-digest"), Some(&*expected));
        assert!(response.body == content);
    }
    let response = client.put("file", &content).await;
    assert_eq!(response.field("repr-digest"), None);
}

#[tokio::test]
async fn is_that_of_each_part_of_a_form() {
    let server = TestServer::start().await;
    for (content, status) in [("abc", 201), ("abd", 400)] {
        let body = format!(
            "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"file\"\r\n\
             Repr-Digest: {}\r\n\r\n{content}\r\n--b--\r\n",
            digest("sha-256", b"abc").await
        );
        let mut client = server.connect().await;
        client
            .send(format!(
                "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\
                 Content-Type: multipart/form-data; boundary=b\r\n\r\n{body}",
                body.len()
            ))
            .await;
        assert_eq!(client.response().await.status, status, "{content}");
    }
    assert_eq!(server.names(), ["file"]);
}

#[tokio::test]
async fn is_computed_for_every_file_with_the_option() {
    let root = tempdir();
    let server = Running::start_with(&["--sha256"], root.path()).await;
    let mut client = Client::connect(server.address).await;
    let response = client.put("file", b"abc").await;
    let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let expected = format!("\"sha256\":\"{abc}\"");
    assert!(response.text().contains(&expected), "{}", response.text());
}
