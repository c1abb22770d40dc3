//! Bodies that break off: nothing is stored, and the record has the way it broke.

use std::time::Duration;

use upload_server::record::Outcome;

use crate::{
    client::{Client, chunked_put_head, content, expecting_put_head, put_head},
    test_server::TestServer,
};

const LENGTH: usize = 2 * 1024 * 1024;

/// The size of one write to the disk.
const BATCH: usize = 512 * 1024;

#[tokio::test]
async fn a_cut_body_leaves_no_file() {
    // Nothing, a part of a batch, and one byte around the batch's edge and the body's end.
    let offsets = [0, 1, BATCH - 1, BATCH, BATCH + 1, 600_000, LENGTH - 1];
    for sent in offsets {
        check(sent, Cut::Fin, Outcome::Aborted, Some(400)).await;
        check(sent, Cut::Close, Outcome::Aborted, Some(400)).await;
        check(sent, Cut::Rst, Outcome::Reset, None).await;
    }

    async fn check(sent: usize, cut: Cut, expected: Outcome, status: Option<u16>) {
        let server = TestServer::start().await;
        let mut feed = server.feed().await;
        let mut client = server.connect().await;
        client.send(expecting_put_head("file", LENGTH)).await;
        assert_eq!(client.response().await.status, 100);
        client.send(&content(LENGTH)[..sent]).await;
        cut.apply(client).await;

        let upload = feed.upload().await;
        assert_eq!(
            upload.outcome, expected,
            "{sent} {cut:?}: {:?}",
            upload.error
        );
        assert_eq!(upload.status, status, "{sent} {cut:?}");
        assert_eq!(upload.times.sent_ns.is_some(), status.is_some());
        assert_eq!(upload.times.stored_ns, None);
        if !matches!(cut, Cut::Rst) {
            assert_eq!(upload.bytes, sent as u64, "{cut:?}");
        }
        assert_eq!(server.names(), [""; 0]);
        assert_eq!(feed.connection().await.cookie, upload.cookie);
    }
}

#[derive(Clone, Copy, Debug)]
enum Cut {
    /// Closes the sending side and reads on.
    Fin,
    Close,
    Rst,
}

impl Cut {
    async fn apply(self, mut client: Client) {
        match self {
            Self::Fin => {
                client.finish_sending().await;
                assert_eq!(client.response().await.status, 400);
            }
            Self::Close => drop(client),
            Self::Rst => client.reset(),
        }
    }
}

#[tokio::test]
async fn a_cut_head_is_no_upload() {
    let head = put_head("file", 3);
    for sent in [1, 3, head.len() / 2, head.len() - 2, head.len() - 1] {
        check(&head[..sent], false).await;
        check(&head[..sent], true).await;
    }

    async fn check(head: &str, reset: bool) {
        let server = TestServer::start().await;
        let mut feed = server.feed().await;
        let mut client = server.connect().await;
        client.send(head).await;
        if reset {
            client.reset();
        } else {
            drop(client);
        }
        assert_eq!(feed.connection().await.requests, 0, "{head:?} {reset}");
        assert_eq!(server.names(), [""; 0]);
    }
}

#[tokio::test]
async fn a_chunked_body_ends_with_its_last_chunk_only() {
    check("", Outcome::Aborted).await;
    check("3\r\nab", Outcome::Aborted).await;
    check("3\r\nabc\r\n", Outcome::Aborted).await;
    check("3\r\nabc\r\n0\r\n", Outcome::Aborted).await;
    check("x\r\nabc\r\n", Outcome::Refused).await;

    async fn check(body: &str, expected: Outcome) {
        let server = TestServer::start().await;
        let mut feed = server.feed().await;
        let mut client = server.connect().await;
        client.send(chunked_put_head("file")).await;
        client.send(body).await;
        client.finish_sending().await;
        assert_eq!(client.response().await.status, 400, "{body:?}");
        assert_eq!(feed.upload().await.outcome, expected, "{body:?}");
        assert_eq!(server.names(), [""; 0]);
    }
}

#[tokio::test]
async fn a_silent_client_times_out() {
    let server =
        TestServer::start_with(|config| config.limits.idle = Duration::from_millis(50)).await;
    let mut feed = server.feed().await;
    let mut client = server.connect().await;
    client.send(put_head("file", 10)).await;
    client.send("abc").await;
    assert_eq!(client.response().await.status, 408);
    assert!(client.is_closed().await);
    let upload = feed.upload().await;
    assert_eq!((upload.outcome, upload.bytes), (Outcome::TimedOut, 3));
    assert_eq!(server.names(), [""; 0]);
}
