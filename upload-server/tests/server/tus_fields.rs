//! The header fields of resumable uploads: those that clients leave out, and those that they get wrong.

use std::fs;

use base64::{Engine, prelude::BASE64_STANDARD};
use upload_server::record::Outcome;

use crate::{
    client::{Response, content},
    test_server::TestServer,
    tus::{address_of, ask, bytes, create, head, patch},
};

/// The most that nginx takes of an answer's head (`proxy_buffer_size`).
const PROXY_BUFFER: usize = 4_096;

async fn send(server: &TestServer, request: impl AsRef<[u8]>) -> Response {
    let mut client = server.connect().await;
    client.send(request).await;
    client.response().await
}

async fn post(server: &TestServer, target: &str, fields: &str) -> Response {
    let fields = format!("{fields}Content-Length: 0\r\n");
    send(server, head("POST", target, &fields)).await
}

#[tokio::test]
async fn reports_its_capabilities() {
    let server = TestServer::start_with(|config| config.limits.max_size = Some(7)).await;
    let response = ask(server.address, "OPTIONS", "/tus/").await;
    assert_eq!(response.status, 204);
    assert_eq!(response.field("tus-version"), Some("1.0.0"));
    assert_eq!(response.field("tus-max-size"), Some("7"));
    let extensions = "creation,creation-with-upload,creation-defer-length,expiration,checksum,\
                      termination,concatenation";
    assert_eq!(response.field("tus-extension"), Some(extensions));
    let algorithms = response.field("tus-checksum-algorithm").unwrap();
    assert!(algorithms.contains("sha1"));
}

#[tokio::test]
async fn a_refusal_names_the_field() {
    let server = TestServer::start_with(|config| config.limits.max_size = Some(7)).await;
    let target = create(server.address, "file", 7).await;
    let ids: Vec<_> = (0..257).map(|number| format!("{number:032x}")).collect();
    let many = format!("Upload-Concat: final;{}\r\n", ids.join(" "));
    let one = format!("Upload-Concat: final;/tus/{}\r\n", ids[0]);
    let deferred_final = format!("Upload-Defer-Length: 1\r\n{one}");
    let long = format!(
        "Upload-Length: 1\r\nUpload-Metadata: x {}\r\n",
        "A".repeat(2_100)
    );
    for (fields, status, expected) in [
        (
            "",
            400,
            "Upload-Length is missing: send the number of bytes, or",
        ),
        (
            "Upload-Length: -1\r\n",
            400,
            "Upload-Length is not a number",
        ),
        (
            "Upload-Length: 1\r\nUpload-Length: 2\r\n",
            400,
            "Upload-Length is sent twice",
        ),
        ("Upload-Length: 8\r\n", 413, "larger than 7 bytes"),
        (
            "Upload-Defer-Length: 2\r\n",
            400,
            "Upload-Defer-Length is not 1",
        ),
        (
            "Upload-Length: 1\r\nUpload-Defer-Length: 1\r\n",
            400,
            "Upload-Defer-Length and Upload-Length exclude each other",
        ),
        (
            "Upload-Length: 1\r\nUpload-Metadata: filename cat.png\r\n",
            400,
            "Upload-Metadata has a value of filename that is not Base64",
        ),
        (
            "Upload-Length: 1\r\nUpload-Metadata: filename eA==\r\nUpload-Metadata: filename eQ==\r\n",
            400,
            "Upload-Metadata has two values of filename",
        ),
        (&long, 431, "Upload-Metadata is longer than 2048 bytes"),
        (
            "Upload-Length: 1\r\nUpload-Checksum: sha1\r\n",
            400,
            "Upload-Checksum is not",
        ),
        (
            "Upload-Length: 1\r\nUpload-Checksum: md5 AA==\r\n",
            400,
            "Upload-Checksum has an unknown algorithm: use one of sha1,",
        ),
        ("Upload-Concat: whole\r\n", 400, "Upload-Concat is neither"),
        (
            "Upload-Concat: final;\r\n",
            400,
            "Upload-Concat names no partial upload",
        ),
        (
            &many,
            400,
            "Upload-Concat names more than 256 partial uploads",
        ),
        (
            &one,
            409,
            "Upload-Concat: upload 1 of the list does not exist",
        ),
        (
            &deferred_final,
            400,
            "Upload-Defer-Length is not for a final upload",
        ),
    ] {
        let response = post(&server, "/tus/", fields).await;
        assert_refused(&response, fields, status, expected);
    }
    let data = |fields: &str| format!("{}{fields}", bytes(1));
    for (fields, status, expected) in [
        (data(""), 400, "Upload-Offset is missing"),
        (
            data("Upload-Offset: x\r\n"),
            400,
            "Upload-Offset is not a number",
        ),
        (
            data("Upload-Offset: 5\r\n"),
            409,
            "Upload-Offset is 5, but the upload continues at 0",
        ),
        (
            data("Upload-Offset: 0\r\nUpload-Length: 6\r\n"),
            400,
            "Upload-Length is 6, but was 7 before",
        ),
        (
            data("Upload-Offset: 0\r\n").replace("offset+", ""),
            415,
            "Content-Type must be application/offset+octet-stream",
        ),
        (
            data("Upload-Offset: 0\r\n").replace("Length: 1", "Length: 8"),
            400,
            "the request has more bytes than the upload of 7 bytes lacks",
        ),
    ] {
        let response = send(&server, head("PATCH", &target, &fields) + "x").await;
        assert_refused(&response, &fields, status, expected);
    }
    assert_eq!(
        ask(server.address, "HEAD", &target)
            .await
            .field("upload-offset"),
        Some("0")
    );

    fn assert_refused(response: &Response, fields: &str, status: u16, expected: &str) {
        let problem = response.problem();
        let detail = problem["detail"].as_str().unwrap();
        assert_eq!(response.status, status, "{fields}: {detail}");
        assert!(detail.contains(expected), "{fields}: {detail}");
        assert!(!detail.contains("body"), "{fields}: {detail}");
    }
}

/// The defaults of tuspy and tus-js-client, byte for byte, and what other clients leave out.
#[tokio::test]
async fn a_file_without_a_name_gets_one() {
    let server = TestServer::start().await;
    for metadata in [
        "",
        "upload-metadata: \r\n",
        "Upload-Metadata: is_private\r\n",
        "Upload-Metadata: filename,name ,filetype aW1hZ2UvcG5n\r\n",
        "Upload-Metadata: relativePath bnVsbA==\r\n",
    ] {
        let fields = format!("Upload-Length: 3\r\n{metadata}");
        let response = post(&server, "/tus/", &fields).await;
        assert_eq!(response.status, 201, "{metadata}: {}", response.text());
        let target = address_of(&response);
        let stored = patch(server.address, &target, 0, b"abc", "").await;
        assert_eq!(stored.status, 204, "{metadata}");
        // Too few digits of the id to continue an upload.
        let name = format!("upload-{}", &target["/tus/".len()..][..8]);
        assert_eq!(fs::read(server.path(name)).unwrap(), b"abc", "{metadata}");
    }
}

#[tokio::test]
async fn needs_no_slash_at_the_end() {
    let server = TestServer::start().await;
    let options = send(&server, "OPTIONS /tus HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert_eq!(options.status, 204);
    assert!(
        options
            .field("tus-extension")
            .unwrap()
            .contains("concatenation")
    );
    // Relative to the address that was asked, whatever a proxy calls it.
    for (endpoint, before) in [("/tus", "tus/"), ("/tus/", "")] {
        let response = post(&server, endpoint, "Upload-Length: 0\r\n").await;
        assert_eq!(response.status, 201);
        let location = response.field("location").unwrap();
        assert_eq!(location.len(), before.len() + 32, "{location}");
        assert!(location.starts_with(before), "{location}");
    }
    let mut client = server.connect().await;
    assert_eq!(client.put("tus", b"a file of this name").await.status, 201);
    assert!(server.path("tus").exists());
}

#[tokio::test]
async fn names_its_version() {
    let server = TestServer::start().await;
    let target = create(server.address, "file", 3).await;
    for (method, target) in [("POST", "/tus/"), ("HEAD", &target), ("DELETE", &target)] {
        for version in ["", "Tus-Resumable: 0.2.2\r\n"] {
            let request = format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n{version}\r\n");
            let mut client = server.connect().await;
            client.send(request).await;
            let response = client.response_head().await;
            assert_eq!(response.status, 412, "{method} {version}");
            assert_eq!(response.field("tus-version"), Some("1.0.0"));
        }
    }
    let other = "OPTIONS /tus/ HTTP/1.1\r\nHost: localhost\r\nTus-Resumable: 0.2.2\r\n\r\n";
    assert_eq!(send(&server, other).await.status, 204);
}

#[tokio::test]
async fn takes_another_method_in_a_field() {
    let server = TestServer::start().await;
    let target = create(server.address, "file", 3).await;
    let of = async |target: &str, method: &str| {
        let fields = format!("X-HTTP-Method-Override: {method}\r\n");
        post(&server, target, &fields).await
    };
    let offset = of(&target, "HEAD").await;
    assert_eq!(
        (offset.status, offset.field("upload-offset")),
        (200, Some("0"))
    );
    assert_eq!(of(&target, "OPTIONS").await.status, 204);
    assert_eq!(of("/tus/", "OPTIONS").await.status, 204);
    assert_eq!(of("/tus/", "PATCH").await.status, 405);
    assert_eq!(of(&target, "PUT").await.status, 405);
    assert_eq!(of(&target, "delete").await.status, 204);
    assert_eq!(of(&target, "HEAD").await.status, 404);
}

/// HEAD sends back what a client sent. A proxy in between still takes the answer.
#[tokio::test]
async fn an_answer_stays_small() {
    let server = TestServer::start().await;
    let name = BASE64_STANDARD.encode("é".repeat(127));
    let path = BASE64_STANDARD.encode("directory/".repeat(40));
    let uppy = format!(
        "relativePath {path},name {name},type aW1hZ2UvcG5n,filetype aW1hZ2UvcG5n,filename {name}"
    );
    let most = format!("filename {name},x {}", "A".repeat(2_048 - name.len() - 12));
    for metadata in [uppy, most] {
        assert!(metadata.len() <= 2_048);
        let mut parts = Vec::new();
        for _ in 0..40 {
            let fields = "Upload-Concat: partial\r\nUpload-Length: 0\r\n";
            parts.push(address_of(&post(&server, "/tus/", fields).await));
        }
        let fields = format!(
            "Upload-Concat: final;{}\r\nUpload-Metadata: {metadata}\r\n",
            parts.join(" ")
        );
        let response = post(&server, "/tus/", &fields).await;
        assert_eq!(response.status, 201, "{}", response.text());
        let target = address_of(&response);
        let about = ask(server.address, "HEAD", &target).await;
        assert_eq!(about.field("upload-metadata"), Some(&*metadata));
        assert!(about.field("upload-concat").unwrap().starts_with("final"));
        // Room for what other origins and TLS add.
        assert!(about.head.len() + 700 < PROXY_BUFFER, "{}", about.head);
    }
}

#[tokio::test]
async fn the_length_may_come_later() {
    let server = TestServer::start().await;
    let mut feed = server.feed().await;
    let content = content(300_000);
    let (first, second) = content.split_at(200_000);
    let fields = "Upload-Defer-Length: 1\r\nUpload-Metadata: filename c3RyZWFt\r\n";
    let target = address_of(&post(&server, "/tus/", fields).await);
    let about = ask(server.address, "HEAD", &target).await;
    assert_eq!(about.field("upload-defer-length"), Some("1"));
    assert_eq!(about.field("upload-length"), None);
    assert_eq!(
        patch(server.address, &target, 0, first, "").await.status,
        204
    );

    let declare = async |length: usize, bytes: &[u8]| {
        let fields = format!("Upload-Length: {length}\r\n");
        patch(server.address, &target, first.len(), bytes, &fields).await
    };
    let less = declare(100_000, b"").await;
    assert_eq!(less.status, 400);
    let problem = less.problem();
    let expected = "Upload-Length is 100000, but 200000 bytes have arrived";
    assert_eq!(problem["detail"], expected);
    assert!(server.names().iter().all(|name| name.starts_with('.')));
    assert_eq!(declare(content.len(), second).await.status, 204);
    assert!(fs::read(server.path("stream")).unwrap() == content);
    let about = ask(server.address, "HEAD", &target).await;
    assert_eq!(about.field("upload-length"), Some("300000"));
    assert_eq!(about.field("upload-defer-length"), None);
    let upload = feed.next_upload().await;
    assert_eq!((upload.outcome, upload.bytes), (Outcome::Complete, 300_000));
    assert_eq!(upload.connections.len(), 2);
}

#[tokio::test]
async fn the_length_may_come_without_bytes_and_bytes_without_a_length() {
    let server = TestServer::start().await;
    let target = address_of(&post(&server, "/tus/", "Upload-Defer-Length: 1\r\n").await);
    let fields = "Upload-Offset: 0\r\nContent-Type: application/offset+octet-stream\r\n\
                  Transfer-Encoding: chunked\r\n";
    let chunked = head("PATCH", &target, fields) + "3\r\nabc\r\n0\r\n\r\n";
    assert_eq!(send(&server, chunked).await.status, 204);
    let declared = patch(server.address, &target, 3, b"", "Upload-Length: 3\r\n").await;
    assert_eq!(declared.status, 204);
    let name = format!("upload-{}", &target["/tus/".len()..][..8]);
    assert_eq!(fs::read(server.path(name)).unwrap(), b"abc");
}

#[tokio::test]
async fn an_unknown_length_is_no_way_around_the_maximum() {
    let server = TestServer::start_with(|config| config.limits.max_size = Some(1_000)).await;
    let mut feed = server.feed().await;
    let begin = async || address_of(&post(&server, "/tus/", "Upload-Defer-Length: 1\r\n").await);
    let target = begin().await;
    let declared = patch(server.address, &target, 0, b"x", "Upload-Length: 1001\r\n").await;
    assert_eq!(declared.status, 413);
    assert_eq!(
        patch(server.address, &target, 0, &content(600), "")
            .await
            .status,
        204
    );
    let more = patch(server.address, &target, 600, &content(600), "").await;
    assert_eq!(more.status, 413);
    let upload = feed.next_upload().await;
    assert_eq!(upload.outcome, Outcome::TooLarge);
    assert_eq!(ask(server.address, "HEAD", &target).await.status, 404);
    assert_eq!(server.names(), [""; 0]);
}

#[tokio::test]
async fn a_refusal_for_lack_of_space_names_the_option() {
    let server = TestServer::start_with(|config| config.limits.min_free = 1).await;
    let huge = "Upload-Length: 4611686018427387904\r\n";
    let deferred = address_of(&post(&server, "/tus/", "Upload-Defer-Length: 1\r\n").await);
    let declared = patch(server.address, &deferred, 0, b"", huge).await;
    for response in [post(&server, "/tus/", huge).await, declared] {
        assert_eq!(response.status, 507);
        let problem = response.problem();
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains("--min-free"), "{detail}");
    }
}
