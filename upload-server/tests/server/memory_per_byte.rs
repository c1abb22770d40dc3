//! What a client makes the server hold is in proportion to what it sends: a search (`cargo xtask cost`) found
//! these requests, which were not.

use std::fs;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use hyper::{Request, http::request};
use tokio::net::TcpStream;

use crate::{
    client::Client,
    much_work::{MIB, peak_memory, takes_no_answer},
    process::{Running, tempdir},
    test_server::{TestServer, within_limit},
};

/// Has the server do something else meanwhile.
async fn others_are_served(server: &Running) {
    let mut clients = [
        Client::connect(server.address).await,
        Client::connect(server.address).await,
    ];
    for number in 0..20 {
        for client in &mut clients {
            let response = client.put(&format!("other-{number}"), b"x").await;
            assert_eq!(response.status, 201);
        }
    }
}

fn get(client: &mut SendRequest<Bytes>, path: &str) -> ResponseFuture {
    send(client, Request::get(format!("http://localhost{path}")))
}

fn send(client: &mut SendRequest<Bytes>, request: request::Builder) -> ResponseFuture {
    let (answer, _) = client
        .send_request(request.body(()).unwrap(), true)
        .unwrap();
    answer
}

/// A page has some 200 kB here, and the request for it a few bytes.
#[tokio::test]
async fn pages_that_nobody_reads() {
    const CONNECTIONS: usize = 2;
    const EACH: usize = 60;
    let root = tempdir();
    let server = Running::start_with(&["--http2"], root.path()).await;
    for number in 0..250 {
        let name = format!("{number}-{}", "é".repeat(100));
        fs::write(root.path().join("files").join(name), "x").unwrap();
    }
    let before = peak_memory(&server);
    let (mut clients, mut answers, mut refused) = (Vec::new(), Vec::new(), 0);
    for _ in 0..CONNECTIONS {
        let mut client = takes_no_answer(&server).await;
        for _ in 0..EACH {
            let answer = within_limit(get(&mut client, "/")).await.unwrap();
            match answer.status().as_u16() {
                200 => answers.push(answer),
                429 => refused += 1,
                status => panic!("{status}"),
            }
        }
        clients.push(client);
    }
    assert!(!answers.is_empty() && refused > 0);
    let memory = peak_memory(&server) - before;
    assert!(memory < 32 * MIB, "{} MiB", memory / MIB);
    others_are_served(&server).await;

    // A page that is not taken counts no longer than its request.
    drop((clients, answers));
    let mut client = Client::connect(server.address).await;
    loop {
        client
            .send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .await;
        if client.response().await.status == 200 {
            break;
        }
    }
}

/// With HTTP/2, a field that was sent before is a single byte.
#[tokio::test]
async fn requests_of_many_fields() {
    let root = tempdir();
    let server = Running::start_with(&["--http2"], root.path()).await;
    let mut client = takes_no_answer(&server).await;
    for (name, number, expected) in [("x", 90, 200), ("x", 150, 431), ("cookie", 150, 200)] {
        let mut request = Request::get("http://localhost/healthz");
        for _ in 0..number {
            request = request.header(name, "a=b");
        }
        let answer = within_limit(send(&mut client, request)).await.unwrap();
        assert_eq!(answer.status(), expected, "{number} × {name}");
    }
}

/// A parameter is two bytes, and takes a hundred.
#[tokio::test]
async fn fields_of_many_parameters() {
    let server = TestServer::start().await;
    for (number, expected) in [(60, 201), (100, 400)] {
        let many = "; a=".repeat(number);
        let disposition = format!("Content-Disposition: form-data; filename=a{many}");
        for [outer, inner] in [
            ["", disposition.as_str()],
            [&many, "Content-Disposition: form-data; filename=b"],
        ] {
            let form = format!("--b\r\n{inner}\r\n\r\nx\r\n--b--\r\n");
            let head = format!(
                "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\
                 Content-Type: multipart/form-data; boundary=b{outer}\r\n\r\n",
                form.len()
            );
            let mut client = server.connect().await;
            client.send(head + &form).await;
            let response = client.response().await;
            assert_eq!(response.status, expected, "{}", response.text());
            assert_eq!(
                response.text().contains("too many parameters"),
                expected == 400
            );
        }
    }
}

/// Whatever they ask for, requests in flight take memory.
#[tokio::test]
async fn many_connections_have_fewer_requests_in_flight() {
    let root = tempdir();
    let server = Running::start_with(&["--http2"], root.path()).await;
    let mut open = Vec::new();
    let mut requests = Vec::new();
    for _ in 0..200 {
        let stream = TcpStream::connect(server.address).await.unwrap();
        let (client, mut connection) = h2::client::handshake(stream).await.unwrap();
        let mut client = within_limit(client.ready()).await.unwrap();
        let answer = get(&mut client, "/healthz");
        // The settings come before the answer.
        tokio::select! {
            answer = within_limit(answer) => assert_eq!(answer.unwrap().status(), 200),
            ended = &mut connection => ended.unwrap(),
        }
        requests.push(connection.max_concurrent_send_streams());
        open.push((client, connection));
    }
    assert_eq!(requests.first(), Some(&100));
    assert_eq!(requests.last(), Some(&4));
    assert!(requests.iter().sum::<usize>() < 4_096 + 200 * 4);
}
