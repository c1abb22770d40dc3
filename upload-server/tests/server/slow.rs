//! Clients that take their time.

use std::{
    fs::{self, File},
    time::Duration,
};

use h2::Reason;
use hyper::Request;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpSocket,
    time::{Interval, interval},
};
use upload_server::{record::Outcome, server::Limits};

use crate::{
    client::{Client, content, put_head},
    http2,
    test_server::{TestServer, within_limit},
};

const SHORT: Duration = Duration::from_millis(100);

async fn serve(adjust: impl FnOnce(&mut Limits)) -> TestServer {
    TestServer::start_with(|config| adjust(&mut config.limits)).await
}

/// Sends single bytes until the server answers or closes. Returns its answer.
async fn trickle(client: &mut Client, bytes: &str) -> Vec<u8> {
    let mut clock: Interval = interval(SHORT / 20);
    let mut bytes = bytes.bytes().cycle();
    loop {
        tokio::select! {
            _ = clock.tick() => {
                let byte = bytes.next().unwrap_or_default();
                if client.try_send(&[byte]).await.is_err() {
                    return client.rest().await;
                }
            }
            () = client.readable() => return client.rest().await,
        }
    }
}

#[tokio::test]
async fn a_slow_head_times_out() {
    let server = serve(|limits| limits.head = SHORT).await;
    let mut feed = server.feed().await;
    let mut client = server.connect().await;
    client.send("PUT /file HTTP/1.1\r\n").await;
    let answer = trickle(&mut client, "X-Slow: 1\r\n").await;
    let answer = String::from_utf8(answer).unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 408 Request Timeout\r\n"),
        "{answer}"
    );
    assert!(answer.contains("application/problem+json"), "{answer}");
    assert!(answer.ends_with("took more than 0.1 s\"}\n"), "{answer}");
    assert_eq!(feed.connection().await.requests, 0);
}

#[tokio::test]
async fn a_silent_connection_is_closed_without_an_answer() {
    let server = serve(|limits| limits.head = SHORT).await;
    let mut silent = server.connect().await;
    assert_eq!(silent.rest().await, b"");
    let mut used = server.connect().await;
    assert_eq!(used.put("file", b"whole").await.status, 201);
    assert_eq!(used.rest().await, b"");
}

#[tokio::test]
async fn a_slow_body_times_out() {
    let server = serve(|limits| {
        limits.min_rate = 1_000_000;
        limits.rate_window = SHORT;
    })
    .await;
    let mut feed = server.feed().await;
    let mut client = server.connect().await;
    client.send(put_head("file", 1_000_000)).await;
    let answer = trickle(&mut client, "x").await;
    let answer = String::from_utf8(answer).unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 408 Request Timeout\r\n"),
        "{answer}"
    );
    assert!(
        answer.contains("less than 1000000 bytes per second"),
        "{answer}"
    );
    let upload = feed.upload().await;
    assert_eq!(
        (upload.outcome, upload.status),
        (Outcome::TimedOut, Some(408))
    );
    assert!(upload.bytes > 0 && upload.bytes < 1_000, "{}", upload.bytes);
    assert_eq!(server.names(), [""; 0]);
}

#[tokio::test]
async fn an_unread_response_times_out() {
    let server = serve(|limits| limits.idle = SHORT).await;
    let mut feed = server.feed().await;
    let large = File::create(server.path("large")).unwrap();
    large.set_len(1 << 30).unwrap();
    let mut client = server.connect().await;
    client
        .send("GET /files/large HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await;
    assert_eq!(feed.connection().await.requests, 1);
    drop(client);
}

/// A client that takes some of it again and again would hold a download for ever.
#[tokio::test]
async fn a_response_that_is_read_too_slowly_times_out() {
    let server = serve(|limits| {
        limits.min_rate = 100_000_000;
        limits.rate_window = SHORT;
    })
    .await;
    let mut feed = server.feed().await;
    let large = File::create(server.path("large")).unwrap();
    large.set_len(1 << 30).unwrap();
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    let mut client = socket.connect(server.address).await.unwrap();
    let get = b"GET /files/large HTTP/1.1\r\nHost: localhost\r\n\r\n";
    client.write_all(get).await.unwrap();
    let mut clock: Interval = interval(SHORT / 20);
    let mut taken = [0; 1_024];
    let cut = async {
        loop {
            clock.tick().await;
            if client.read(&mut taken).await.is_err() {
                return;
            }
        }
    };
    within_limit(cut).await;
    assert_eq!(feed.connection().await.requests, 1);
}

/// An answer that the client does not take is given up. One that has nothing to take is not.
#[tokio::test]
async fn an_unread_answer_of_http_2_times_out() {
    let server = TestServer::start_with(|config| {
        config.http2 = true;
        config.limits.idle = Duration::from_millis(200);
    })
    .await;
    fs::write(server.path("large"), content(1_000_000)).unwrap();
    let mut client = http2::connect(&server).await;
    let get = |path| {
        let request = Request::get(format!("http://localhost{path}"));
        request.body(()).unwrap()
    };
    let (events, _) = client.send_request(get("/events"), true).unwrap();
    let mut events = within_limit(events).await.unwrap().into_body();
    let first = within_limit(events.data()).await.unwrap().unwrap();
    assert!(first.starts_with(b"event: tracer"), "{first:?}");

    // The window has 64 KiB, and does not grow while the client takes nothing.
    let (unread, _) = client.send_request(get("/files/large"), true).unwrap();
    let mut unread = within_limit(unread).await.unwrap().into_body();
    let broken = loop {
        match within_limit(unread.data()).await.unwrap() {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert_eq!(broken.reason(), Some(Reason::CANCEL));
    events.flow_control().release_capacity(first.len()).unwrap();
    drop(unread);

    let upload = http2::put(&mut client, "file");
    assert_eq!(http2::finish(upload, b"whole").await, 201);
    let next = within_limit(events.data()).await.unwrap().unwrap();
    assert!(next.starts_with(b"event: upload"), "{next:?}");
}
