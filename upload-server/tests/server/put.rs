//! Successful `PUT /NAME`, and its record.

use std::fs;

use upload_server::record::{Outcome, Upload};

use crate::{
    client::{chunked_put_head, content, put_head},
    test_server::TestServer,
};

#[tokio::test]
async fn stores_what_was_sent() {
    check(0).await;
    check(1).await;
    check(64 * 1024).await;
    check(512 * 1024).await;
    check(5 * 1024 * 1024 + 7).await;

    async fn check(length: usize) {
        let server = TestServer::start().await;
        let mut feed = server.feed().await;
        let mut client = server.connect().await;
        let response = client.put("some%20file", &content(length)).await;
        let expected = format!(
            r#"{{"id":"1","name":"some file","bytes":{length},"status":201,"timeline":"/t/1"}}"#
        );
        assert_eq!(response.status, 201);
        assert_eq!(response.text(), expected + "\n");
        assert!(
            response.head.contains("location: files/some%20file\r\n"),
            "{}",
            response.head
        );
        let link = response.field("link");
        assert_eq!(link, Some("<t/1>; rel=\"describedby\""));
        assert!(fs::read(server.path("some file")).unwrap() == content(length));
        assert_eq!(server.names(), ["some file"]);

        let upload = feed.upload().await;
        assert_eq!(upload.id, "1");
        assert_eq!(upload.request, 1);
        assert_eq!(upload.client, client.local_address());
        assert_eq!(upload.method, "PUT");
        assert_eq!(upload.target, "/some%20file");
        assert_eq!(upload.version, "HTTP/1.1");
        assert_eq!(upload.name.as_deref(), Some("some file"));
        assert_eq!(upload.content_length, Some(length as u64));
        assert_eq!(upload.bytes, length as u64);
        assert_eq!(upload.status, Some(201));
        assert_eq!(upload.outcome, Outcome::Complete);
        assert_eq!(upload.error, None);
        assert_in_order(&upload);
    }
}

/// The record has all times in this order, except those of the body of an empty file.
pub(crate) fn assert_in_order(upload: &Upload) {
    let times = &upload.times;
    let mut seen = vec![
        Some(times.accepted_ns),
        times.first_byte_ns,
        Some(times.head_ns),
    ];
    if upload.bytes > 0 {
        seen.extend([times.body_first_ns, times.body_last_ns]);
    } else {
        assert_eq!((times.body_first_ns, times.body_last_ns), (None, None));
    }
    seen.extend([times.stored_ns, times.response_ns, times.sent_ns]);
    assert!(
        seen.iter().all(Option::is_some) && seen.is_sorted(),
        "{times:?}"
    );
}

#[tokio::test]
async fn takes_a_body_of_unknown_length() {
    let server = TestServer::start().await;
    let mut feed = server.feed().await;
    let mut client = server.connect().await;
    client.send(chunked_put_head("file")).await;
    client.send("3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n").await;
    assert_eq!(client.response().await.status, 201);
    assert_eq!(fs::read(server.path("file")).unwrap(), b"abcde");
    let upload = feed.upload().await;
    assert_eq!((upload.content_length, upload.bytes), (None, 5));
}

#[tokio::test]
async fn counts_the_requests_of_a_connection() {
    let server = TestServer::start().await;
    let mut feed = server.feed().await;
    let mut client = server.connect().await;
    client.put("one", b"1").await;
    client.put("two", b"2").await;
    drop(client);

    let (one, two) = (feed.upload().await, feed.upload().await);
    assert_eq!((one.request, two.request), (1, 2));
    assert_eq!(one.cookie, two.cookie);
    assert_in_order(&one);
    assert_in_order(&two);
    assert!(one.times.sent_ns <= two.times.first_byte_ns);

    let end = feed.connection().await;
    assert_eq!((end.cookie, end.requests), (one.cookie, 2));
    assert_eq!(end.accepted_ns, one.times.accepted_ns);
    assert!(two.times.sent_ns <= Some(end.closed_ns));
}

#[tokio::test]
async fn does_not_guess_the_first_byte_of_a_pipelined_request() {
    let server = TestServer::start().await;
    let mut feed = server.feed().await;
    let mut client = server.connect().await;
    client
        .send(
            [
                put_head("one", 1),
                "1".into(),
                put_head("two", 1),
                "2".into(),
            ]
            .concat(),
        )
        .await;
    assert_eq!(client.response().await.status, 201);
    assert_eq!(client.response().await.status, 201);
    assert!(feed.upload().await.times.first_byte_ns.is_some());
    assert_eq!(feed.upload().await.times.first_byte_ns, None);
}

#[tokio::test]
async fn answers_a_client_that_closes_its_side_after_the_body() {
    let server = TestServer::start().await;
    let mut client = server.connect().await;
    client.send(put_head("file", 3)).await;
    client.send("abc").await;
    client.finish_sending().await;
    assert_eq!(client.response().await.status, 201);
    assert_eq!(fs::read(server.path("file")).unwrap(), b"abc");
}

/// As behind a proxy that replaces `/upload` by `/`. The record has the target as it came.
#[tokio::test]
async fn a_path_may_begin_with_several_slashes() {
    let server = TestServer::start().await;
    let mut feed = server.feed().await;
    let mut client = server.connect().await;
    let answer = client.put("/cat.png", b"abc").await;
    assert_eq!(
        (answer.status, answer.field("location")),
        (201, Some("files/cat.png"))
    );
    assert_eq!(feed.upload().await.target, "//cat.png");
    client
        .send("GET ///files//cat.png HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await;
    assert_eq!(client.response().await.status, 404);
    client
        .send("GET ///files/cat.png HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await;
    assert_eq!(client.response().await.text(), "abc");
}
