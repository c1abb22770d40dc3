//! The end of the server: the requests in flight, and the last lines of the feed.

use std::time::Duration;

use upload_server::record::Outcome;

use crate::{client::expecting_put_head, test_server::TestServer};

/// No test waits this long: a server that does has failed it.
const NEVER: Duration = Duration::from_secs(3_600);

#[tokio::test]
async fn lets_a_request_finish() {
    let server = TestServer::start_with(|config| config.grace = NEVER).await;
    let mut feed = server.feed().await;
    let mut client = server.connect().await;
    client.send(expecting_put_head("file", 3)).await;
    assert_eq!(client.response().await.status, 100);
    let stopped = tokio::spawn(server.stop());
    client.send("abc").await;
    assert_eq!(client.response().await.status, 201);
    assert!(client.is_closed().await);
    stopped.await.unwrap();
    assert_eq!(feed.upload().await.outcome, Outcome::Complete);
    assert_eq!(feed.connection().await.requests, 1);
    assert_eq!(feed.next().await, None);
}

#[tokio::test]
async fn drops_a_request_that_does_not() {
    let server = TestServer::start_with(|config| config.grace = Duration::from_millis(50)).await;
    let mut feed = server.feed().await;
    let mut client = server.connect().await;
    client.send(expecting_put_head("file", 10)).await;
    assert_eq!(client.response().await.status, 100);
    server.stop().await;
    let upload = feed.upload().await;
    assert_eq!((upload.outcome, upload.status), (Outcome::Failed, None));
    assert_eq!(feed.connection().await.cookie, upload.cookie);
    assert_eq!(feed.next().await, None);
}

#[tokio::test]
async fn does_not_wait_for_idle_connections() {
    let server = TestServer::start_with(|config| config.grace = NEVER).await;
    let mut feed = server.feed().await;
    let mut used = server.connect().await;
    used.put("file", b"abc").await;
    feed.upload().await;
    let mut unused = server.connect().await;
    server.stop().await;
    assert!(used.is_closed().await);
    assert!(unused.is_closed().await);
}

#[tokio::test]
async fn drops_everything_when_asked_again() {
    let server = TestServer::start_with(|config| config.grace = NEVER).await;
    let mut feed = server.feed().await;
    let mut client = server.connect().await;
    client.send(expecting_put_head("file", 10)).await;
    assert_eq!(client.response().await.status, 100);
    server.stop_now().cancel();
    server.stop().await;
    assert_eq!(feed.upload().await.outcome, Outcome::Failed);
    feed.connection().await;
    assert_eq!(feed.next().await, None);
}
