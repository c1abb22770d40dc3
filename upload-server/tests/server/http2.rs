//! HTTP/2: several requests on one connection, each with a record of its own.

use std::{fs, future::poll_fn, time::Duration};

use bytes::Bytes;
use h2::{
    Reason, RecvStream, SendStream,
    client::{ResponseFuture, SendRequest},
};
use hyper::Request;
use rustls::version::TLS13;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use upload_server::record::Outcome;

use crate::{
    client::content,
    feed::Feed,
    process::{Running, control, curl, tempdir},
    put::assert_in_order,
    test_server::{TestServer, within_limit},
    tls::Trust,
};

const NEVER: Duration = Duration::from_secs(3_600);

async fn serve(head: Duration) -> TestServer {
    TestServer::start_with(|config| {
        config.http2 = true;
        config.limits.head = head;
        config.grace = NEVER;
    })
    .await
}

pub(crate) async fn connect(server: &TestServer) -> SendRequest<Bytes> {
    speak(TcpStream::connect(server.address).await.unwrap()).await
}

pub(crate) async fn speak<S>(stream: S) -> SendRequest<Bytes>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (client, connection) = within_limit(h2::client::handshake(stream)).await.unwrap();
    tokio::spawn(async move {
        let _ = connection.await;
    });
    within_limit(client.ready()).await.unwrap()
}

pub(crate) fn put(
    client: &mut SendRequest<Bytes>,
    name: &str,
) -> (ResponseFuture, SendStream<Bytes>) {
    let request = Request::put(format!("http://localhost/{name}"))
        .body(())
        .unwrap();
    client.send_request(request, false).unwrap()
}

pub(crate) async fn finish(
    (response, mut body): (ResponseFuture, SendStream<Bytes>),
    content: &[u8],
) -> u16 {
    body.send_data(content.to_vec().into(), true).unwrap();
    let (head, rest) = within_limit(response).await.unwrap().into_parts();
    read_out(rest).await;
    head.status.as_u16()
}

async fn read_out(mut body: RecvStream) {
    while let Some(chunk) = within_limit(body.data()).await {
        chunk.unwrap();
    }
}

#[tokio::test]
async fn does_not_mix_requests_up() {
    let server = serve(NEVER).await;
    let mut feed = server.feed().await;
    let mut client = connect(&server).await;
    let slow = put(&mut client, "slow");
    let mut cookie = None;
    for number in 2..=20 {
        let name = format!("quick-{number}");
        let quick = put(&mut client, &name);
        assert_eq!(finish(quick, name.as_bytes()).await, 201);
        let upload = feed.upload().await;
        assert_eq!(upload.name.as_ref(), Some(&name));
        assert_eq!(upload.request, number);
        assert_eq!(
            (upload.target, upload.version.as_str()),
            (format!("/{name}"), "HTTP/2.0")
        );
        assert_eq!(
            (upload.bytes, upload.status),
            (name.len() as u64, Some(201))
        );
        assert_eq!(upload.times.first_byte_ns, None);
        assert!(upload.times.response_ns.is_some());
        assert!(upload.times.response_ns <= upload.times.sent_ns);
        assert!(cookie.is_none_or(|cookie| cookie == upload.cookie));
        cookie = Some(upload.cookie);
    }
    assert_eq!(finish(slow, b"at last").await, 201);
    let upload = feed.upload().await;
    assert_eq!((upload.request, upload.name.as_deref()), (1, Some("slow")));
    assert!(upload.times.head_ns < upload.times.body_first_ns.unwrap());
    drop(client);
    assert_eq!(feed.connection().await.requests, 20);
}

/// Begins a form with two files. Returns when the first is stored and other requests have been answered
/// since, with their number.
async fn begin_form(
    server: &TestServer,
    client: &mut SendRequest<Bytes>,
) -> (ResponseFuture, SendStream<Bytes>, u32) {
    let form = Request::post("http://localhost/")
        .header("content-type", "multipart/form-data; boundary=b")
        .body(())
        .unwrap();
    let (response, mut body) = client.send_request(form, false).unwrap();
    let part =
        |name| format!("--b\r\nContent-Disposition: form-data; filename=\"{name}\"\r\n\r\nx\r\n");
    let begun = part("form-1") + &part("form-2");
    body.send_data(begun.into(), false).unwrap();
    let (mut others, mut since_stored) = (0, 0);
    while since_stored < 5 {
        others += 1;
        let other = put(client, &format!("other-{others}"));
        assert_eq!(finish(other, b"whole").await, 201);
        since_stored += u32::from(server.names().contains(&"form-1".to_owned()));
    }
    (response, body, others)
}

/// The first file of a form is done long before its response.
#[tokio::test]
async fn a_file_waits_for_the_response_of_its_own_request() {
    let server = serve(NEVER).await;
    let mut feed = server.feed().await;
    let mut client = connect(&server).await;
    let (response, mut body, others) = begin_form(&server, &mut client).await;
    body.send_data("--b--\r\n".into(), true).unwrap();
    assert_eq!(within_limit(response).await.unwrap().status(), 201);
    for request in 2..others + 2 {
        let upload = feed.upload().await;
        assert_eq!((upload.request, upload.method.as_str()), (request, "PUT"));
    }
    let (one, two) = (feed.upload().await, feed.upload().await);
    assert_eq!(
        (one.name.as_deref(), two.name.as_deref()),
        (Some("form-1"), Some("form-2"))
    );
    assert_eq!((one.request, two.request), (1, 1));
    assert!(one.times.response_ns >= two.times.stored_ns);
    assert_eq!(one.times.sent_ns, two.times.sent_ns);
}

#[tokio::test]
async fn a_file_without_a_response_has_no_status() {
    let server = serve(NEVER).await;
    let mut feed = server.feed().await;
    let mut client = connect(&server).await;
    let (_response, mut body, others) = begin_form(&server, &mut client).await;
    let mut others_answered = None;
    for _ in 0..others {
        let other = feed.upload().await;
        assert_eq!(other.status, Some(201));
        others_answered = others_answered.max(other.times.response_ns);
    }
    body.send_reset(Reason::CANCEL);
    let (one, two) = (feed.upload().await, feed.upload().await);
    assert_eq!(
        (one.outcome, two.outcome),
        (Outcome::Complete, Outcome::Aborted)
    );
    for upload in [one, two] {
        assert_eq!((upload.request, upload.status), (1, None));
        // The answer may have been ready before the server noticed that the client cancelled.
        let times = upload.times;
        assert!(times.response_ns.is_none() || times.response_ns > others_answered);
        assert_eq!(times.sent_ns, None);
    }
}

#[tokio::test]
async fn takes_many_at_once() {
    let server = serve(NEVER).await;
    let mut feed = server.feed().await;
    let mut client = connect(&server).await;
    let content = content(200_000);
    let mut uploads = Vec::new();
    for number in 0..100 {
        uploads.push(put(&mut client, &format!("file-{number}")));
    }
    for (_, body) in &mut uploads {
        body.send_data(content.clone().into(), true).unwrap();
    }
    for (response, _) in uploads {
        assert_eq!(within_limit(response).await.unwrap().status(), 201);
    }
    let mut requests = Vec::new();
    for _ in 0..100 {
        let upload = feed.upload().await;
        assert_eq!((upload.bytes, upload.outcome), (200_000, Outcome::Complete));
        requests.push(upload.request);
    }
    requests.sort_unstable();
    assert!(requests.into_iter().eq(1..=100));
    for name in server.names() {
        assert!(fs::read(server.path(name)).unwrap() == content);
    }
    assert_eq!(server.names().len(), 100);
}

/// A client sends in a round trip as much as it may before the server has read it.
#[tokio::test]
async fn a_long_path_is_as_fast_as_with_http_1() {
    // 100 ms at 2.5 Gbit/s.
    const ON_THE_WAY: usize = 32 * 1024 * 1024;
    let server = serve(NEVER).await;
    let stream = TcpStream::connect(server.address).await.unwrap();
    let (client, connection) = h2::client::Builder::new()
        .max_send_buffer_size(2 * ON_THE_WAY)
        .handshake(stream)
        .await
        .unwrap();
    tokio::spawn(connection);
    let mut client = within_limit(client.ready()).await.unwrap();
    let (response, mut body) = put(&mut client, "file");
    body.reserve_capacity(ON_THE_WAY);
    while body.capacity() < ON_THE_WAY {
        let more = poll_fn(|cx| body.poll_capacity(cx));
        within_limit(more).await.unwrap().unwrap();
    }
    assert_eq!(finish((response, body), b"whole").await, 201);
}

#[tokio::test]
async fn a_cancelled_request_leaves_the_others() {
    let server = serve(NEVER).await;
    let mut feed = server.feed().await;
    let mut client = connect(&server).await;
    let (_response, mut body) = put(&mut client, "withdrawn");
    body.send_data("some".into(), false).unwrap();
    let other = put(&mut client, "other");
    assert_eq!(finish(other, b"whole").await, 201);
    assert_eq!(feed.upload().await.outcome, Outcome::Complete);
    body.send_reset(Reason::CANCEL);
    let upload = feed.upload().await;
    assert_eq!((upload.outcome, upload.status), (Outcome::Aborted, None));
    assert_eq!(upload.request, 1);
    let next = put(&mut client, "next");
    assert_eq!(finish(next, b"whole").await, 201);
    assert_eq!(feed.upload().await.request, 3);
    assert_eq!(server.names(), ["next", "other"]);
}

#[tokio::test]
async fn a_refused_body_need_not_be_sent() {
    let server = TestServer::start_with(|config| {
        config.http2 = true;
        config.limits.max_size = Some(1_000);
    })
    .await;
    let mut client = connect(&server).await;
    let request = Request::put("http://localhost/file")
        .header("content-length", 1_000_000)
        .body(())
        .unwrap();
    let (response, _body) = client.send_request(request, false).unwrap();
    let response = within_limit(response).await.unwrap();
    assert_eq!(response.status(), 413);
    read_out(response.into_body()).await;
    let next = put(&mut client, "next");
    assert_eq!(finish(next, b"small").await, 201);
}

#[tokio::test]
async fn a_silent_client_is_dropped() {
    let server = serve(Duration::from_millis(100)).await;
    let mut feed = server.feed().await;
    let mut half = server.connect().await;
    half.send("PRI * HTT").await;
    assert!(half.is_closed().await);
    assert_eq!(feed.connection().await.requests, 0);

    let mut unanswering = server.connect().await;
    let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    unanswering
        .send([&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &settings].concat())
        .await;
    assert_eq!(feed.connection().await.requests, 0);

    let mut client = connect(&server).await;
    let upload = put(&mut client, "file");
    assert_eq!(finish(upload, b"and then no more").await, 201);
    feed.upload().await;
    assert_eq!(feed.connection().await.requests, 1);
}

#[tokio::test]
async fn a_shutdown_lets_requests_finish() {
    let server = serve(NEVER).await;
    let mut feed = server.feed().await;
    let mut client = connect(&server).await;
    let (response, mut body) = put(&mut client, "file");
    body.send_data("begun ".into(), false).unwrap();
    let before = put(&mut client, "before");
    assert_eq!(finish(before, b"").await, 201);
    feed.upload().await;
    let stopped = tokio::spawn(server.stop());
    body.send_data("and ended".into(), true).unwrap();
    assert_eq!(within_limit(response).await.unwrap().status(), 201);
    stopped.await.unwrap();
    assert_eq!(feed.upload().await.outcome, Outcome::Complete);
    assert_eq!(feed.connection().await.requests, 2);
    assert_eq!(feed.next().await, None);
}

#[tokio::test]
async fn a_shutdown_waits_for_no_idle_client() {
    let server = serve(NEVER).await;
    let mut feed = server.feed().await;
    let mut client = connect(&server).await;
    let upload = put(&mut client, "file");
    assert_eq!(finish(upload, b"whole").await, 201);
    server.stop().await;
    feed.upload().await;
    assert_eq!(feed.connection().await.requests, 1);
}

#[tokio::test]
async fn is_negotiated_within_tls() {
    let trust = Trust::new();
    let server = trust.serve(|config| config.http2 = true).await;
    let mut feed = server.feed().await;
    let stream = trust.handshake(&server, &TLS13, &["h2", "http/1.1"]).await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let mut client = speak(stream).await;
    let upload = put(&mut client, "file");
    assert_eq!(finish(upload, b"whole").await, 201);
    assert_eq!(feed.upload().await.version, "HTTP/2.0");

    let mut old = trust.connect(&server).await;
    assert_eq!(old.put("other", b"without").await.status, 201);
    assert_eq!(feed.upload().await.version, "HTTP/1.1");
}

#[tokio::test]
async fn clear_text_goes_on_with_http_1() {
    let server = serve(NEVER).await;
    let mut feed = server.feed().await;
    let mut client = server.connect().await;
    // Three letters in common with the preface of HTTP/2.
    client.send("PR").await;
    client
        .send("OPFIND / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await;
    assert_eq!(client.response().await.status, 405);
    assert_eq!(client.put("file", b"whole").await.status, 201);
    assert_in_order(&feed.upload().await);
}

#[tokio::test]
async fn curl_speaks_it() {
    let root = tempdir();
    let server = Running::start_with(&["--http2"], root.path()).await;
    let mut feed = Feed::open(&control(root.path())).await;
    let file = root.path().join("sent.bin");
    fs::write(&file, content(5_000_000)).unwrap();
    let (file, url) = (
        file.to_str().unwrap(),
        format!("http://{}/", server.address),
    );
    for (option, version) in [
        ("--http2-prior-knowledge", "HTTP/2.0"),
        ("--http1.1", "HTTP/1.1"),
    ] {
        curl(&["--fail", option, "-T", file, &url]).await;
        let upload = feed.upload().await;
        assert_eq!(
            (upload.version.as_str(), upload.target.as_str()),
            (version, "/sent.bin")
        );
        assert_eq!(
            (upload.bytes, upload.content_length),
            (5_000_000, Some(5_000_000))
        );
        feed.connection().await;
    }
    assert!(fs::read(root.path().join("files/sent.bin")).unwrap() == content(5_000_000));
}
