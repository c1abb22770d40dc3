//! `GET /events`, as a browser's EventSource reads it.

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    net::{TcpSocket, TcpStream, UnixStream},
};
use upload_server::record::Upload;

use crate::test_server::{TestServer, within_limit};

/// A listener.
pub(crate) struct Listener {
    lines: Lines<BufReader<TcpStream>>,
}

impl Listener {
    pub(crate) async fn connect(server: &TestServer) -> (u16, Self) {
        Self::connect_from(server, 1).await
    }

    /// From the address of this machine with this last number. As HTTP/1.0, so that the body is what follows the
    /// head, without chunks.
    async fn connect_from(server: &TestServer, address: u8) -> (u16, Self) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(([127, 0, 0, address], 0).into()).unwrap();
        let mut stream = within_limit(socket.connect(server.address)).await.unwrap();
        stream
            .write_all(b"GET /events HTTP/1.0\r\nHost: localhost\r\n\r\n")
            .await
            .unwrap();
        let mut lines = BufReader::new(stream).lines();
        let status = lines.next_line().await.unwrap().unwrap();
        let status = status.split(' ').nth(1).unwrap().parse().unwrap();
        while !within_limit(lines.next_line())
            .await
            .unwrap()
            .unwrap()
            .is_empty()
        {}
        (status, Self { lines })
    }

    /// The next event, or none at the stream's end.
    async fn next(&mut self) -> Option<(String, Value)> {
        let (mut name, mut data) = (String::new(), Value::Null);
        loop {
            let line = within_limit(self.lines.next_line()).await.unwrap()?;
            match line.split_once(": ") {
                Some(("event", of)) => of.clone_into(&mut name),
                Some(("data", json)) => data = serde_json::from_str(json).unwrap(),
                _ if line.is_empty() && !name.is_empty() => return Some((name, data)),
                _ => {}
            }
        }
    }

    pub(crate) async fn expect(&mut self, name: &str) -> Value {
        let (found, data) = self.next().await.unwrap();
        assert_eq!(found, name, "{data}");
        data
    }
}

/// Attaches as a tracer, until the connection is dropped.
pub(crate) async fn attach(server: &TestServer) -> UnixStream {
    let mut tracer = UnixStream::connect(server.control()).await.unwrap();
    let request = b"POST /tracer HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n";
    tracer.write_all(request).await.unwrap();
    tracer
}

pub(crate) async fn hand_in(server: &TestServer, id: &str, timeline: &Value) {
    let mut stream = UnixStream::connect(server.control()).await.unwrap();
    let body = timeline.to_string();
    let head = format!(
        "POST /uploads/{id}/timeline HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut lines = BufReader::new(stream).lines();
    let status = within_limit(lines.next_line()).await.unwrap().unwrap();
    assert_eq!(status, "HTTP/1.1 204 No Content");
}

#[tokio::test]
async fn sends_uploads_timelines_and_tracer_changes() {
    let server = TestServer::start().await;
    let (status, mut listener) = Listener::connect(&server).await;
    assert_eq!(status, 200);
    assert_eq!(listener.expect("tracer").await, json!({"attached": false}));

    let (tracer, second) = (attach(&server).await, attach(&server).await);
    assert_eq!(listener.expect("tracer").await, json!({"attached": true}));

    server.connect().await.put("file", b"abc").await;
    let upload: Upload = serde_json::from_value(listener.expect("upload").await).unwrap();
    assert_eq!((upload.id.as_str(), upload.bytes), ("1", 3));

    let timeline = json!({"connection": "77", "open": true});
    hand_in(&server, "1", &timeline).await;
    assert_eq!(
        listener.expect("timeline").await,
        json!({"upload": "1", "connection": "77", "open": true, "address": "/t/1"})
    );

    drop((tracer, second));
    assert_eq!(listener.expect("tracer").await, json!({"attached": false}));
    let (_, mut late) = Listener::connect(&server).await;
    assert_eq!(late.expect("tracer").await, json!({"attached": false}));

    server.stop().await;
    assert_eq!(listener.next().await, None);
    assert_eq!(late.next().await, None);
}

#[tokio::test]
async fn the_end_of_the_server_ends_the_tracers_request() {
    let server = TestServer::start().await;
    let tracer = attach(&server).await;
    let mut lines = BufReader::new(tracer).lines();
    let status = within_limit(lines.next_line()).await.unwrap().unwrap();
    assert_eq!(status, "HTTP/1.1 200 OK");
    server.stop().await;
    while within_limit(lines.next_line()).await.unwrap().is_some() {}
}

#[tokio::test]
async fn no_listing_hides_uploads() {
    let server = TestServer::start_with(|config| config.access.offer.listing = false).await;
    let mut feed = server.feed().await;
    let (_, mut listener) = Listener::connect(&server).await;
    listener.expect("tracer").await;
    let answer = server.connect().await.put("file", b"abc").await;
    let receipt: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(feed.upload().await.id, "1");
    let address = receipt["timeline"].as_str().unwrap();
    assert!(
        address.starts_with("/t/1-") && address.len() == 5 + 32,
        "{address}"
    );
    hand_in(&server, "1", &json!({})).await;
    assert_eq!(
        listener.expect("timeline").await,
        json!({"upload": "1", "connection": null, "open": false})
    );
}

#[tokio::test]
async fn listeners_are_bounded() {
    let server = TestServer::start().await;
    let mut listeners = Vec::new();
    for client in 1..=4 {
        for _ in 0..64 {
            let (status, mut listener) = Listener::connect_from(&server, client).await;
            assert_eq!(status, 200);
            listener.expect("tracer").await;
            listeners.push(listener);
        }
        // One client does not take the places of all.
        if client < 4 {
            assert_eq!(Listener::connect_from(&server, client).await.0, 429);
        }
    }
    assert_eq!(Listener::connect_from(&server, 5).await.0, 503);
    let upload = tokio::spawn({
        let mut client = server.connect().await;
        async move { client.put("file", b"abc").await.status }
    });
    assert_eq!(upload.await.unwrap(), 201);
    for listener in &mut listeners {
        listener.expect("upload").await;
    }
}
