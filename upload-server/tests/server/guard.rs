//! The checks before a request reaches its route.

use std::{
    fs,
    time::{Duration, Instant},
};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{RootCertStore, pki_types::PrivateKeyDer};
use tokio::net::TcpSocket;
use upload_server::{
    record::Outcome,
    server::{Access, Hosts, TlsIdentity, Token},
};

use crate::{
    client::{Client, Response, content},
    test_server::TestServer,
    tls::Trust,
};

const TOKEN: &str = "0123456789abcdef";

pub(crate) async fn serve(adjust: impl FnOnce(&mut Access)) -> TestServer {
    TestServer::start_with(|config| adjust(&mut config.access)).await
}

async fn with_token() -> TestServer {
    serve(|access| access.token = Some(Token::new(TOKEN).unwrap())).await
}

/// Uploads "abc" with these headers.
pub(crate) async fn put(server: &TestServer, headers: &str) -> Response {
    put_over(&mut server.connect().await, headers).await
}

async fn put_over(client: &mut Client, headers: &str) -> Response {
    let head = format!("PUT /file HTTP/1.1\r\n{headers}Content-Length: 3\r\n\r\n");
    client.send(head + "abc").await;
    client.response().await
}

pub(crate) async fn get(server: &TestServer, target: &str, headers: &str) -> Response {
    let mut client = server.connect().await;
    client
        .send(format!("GET {target} HTTP/1.1\r\n{headers}\r\n"))
        .await;
    client.response().await
}

#[tokio::test]
async fn the_token_is_asked_for() {
    check("", 401).await;
    check("Authorization: Bearer 0123456789abcdeg\r\n", 401).await;
    check("Authorization: Basic Ondyb25n\r\n", 401).await;
    check("Authorization: Bearer 0123456789abcdef\r\n", 201).await;
    check("Authorization: Basic OjAxMjM0NTY3ODlhYmNkZWY=\r\n", 201).await;

    async fn check(authorization: &str, status: u16) {
        let server = with_token().await;
        let mut feed = server.feed().await;
        let response = put(&server, &format!("Host: localhost\r\n{authorization}")).await;
        assert_eq!(response.status, status, "{authorization}");
        if status == 401 {
            response.problem();
            assert!(response.head.contains("\r\nwww-authenticate: Basic realm="));
            assert!(response.head.contains("\r\nwww-authenticate: Bearer\r\n"));
            // Without the token, a request leaves no record of an upload.
            assert_eq!(feed.connection().await.requests, 1);
            assert_eq!(server.names(), [""; 0]);
        } else {
            assert_eq!(feed.upload().await.outcome, Outcome::Complete);
        }
        assert!(!response.head.contains(TOKEN) && !response.text().contains(TOKEN));
    }
}

/// At first at once. Then one after another, a few at a time, even the right one.
#[tokio::test]
async fn tokens_cannot_be_tried_at_any_rate() {
    let server = with_token().await;
    let ask = async |client: &mut Client, token: &str| {
        let fields = format!("Host: localhost\r\nAuthorization: Bearer {token}\r\n");
        client.send(format!("GET / HTTP/1.1\r\n{fields}\r\n")).await;
    };
    let wrong = "0123456789abcdeg";
    let mut client = server.connect().await;
    for _ in 0..20 {
        ask(&mut client, wrong).await;
        assert_eq!(client.response().await.status, 401);
    }
    let begun = Instant::now();
    let mut clients = Vec::new();
    for _ in 0..64 {
        let mut client = server.connect().await;
        ask(&mut client, wrong).await;
        clients.push(client);
    }
    let mut refused = 0;
    for client in &mut clients {
        match client.response().await.status {
            401 => {}
            429 => refused += 1,
            status => panic!("{status}"),
        }
    }
    let took = begun.elapsed();
    assert!(took >= Duration::from_secs(1), "{took:?}");
    assert!(refused > 0 && refused <= 48, "{refused}");
    // The one who knows the token only waits.
    ask(&mut client, TOKEN).await;
    assert_eq!(client.response().await.status, 200);
    // Others do not.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 2], 0).into()).unwrap();
    let mut other = Client::over(socket.connect(server.address).await.unwrap());
    let begun = Instant::now();
    ask(&mut other, TOKEN).await;
    assert_eq!(other.response().await.status, 200);
    assert!(begun.elapsed() < Duration::from_secs(1));
}

#[tokio::test]
async fn without_the_token_there_is_nothing() {
    let server = with_token().await;
    fs::write(server.path("file"), "secret").unwrap();
    for target in [
        "/",
        "/files/file",
        "/files/missing",
        "/metrics",
        "/page/page.js",
        "/else/where",
    ] {
        let response = get(&server, target, "Host: localhost\r\n").await;
        assert_eq!(response.status, 401, "{target}");
    }
}

#[tokio::test]
async fn the_refusal_of_a_large_body_is_read() {
    let server = with_token().await;
    let mut client = server.connect().await;
    assert_eq!(
        client.put("file", &content(16 * 1024 * 1024)).await.status,
        401
    );
    assert!(client.is_closed().await);

    let mut client = server.connect().await;
    client
        .send("PUT /file HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n")
        .await;
    assert_eq!(client.response().await.status, 401);
}

#[tokio::test]
async fn other_names_for_this_machine_are_refused() {
    check("Host: localhost:5000\r\n", 201).await;
    check("Host: 127.0.0.1\r\n", 201).await;
    check("Host: files.example\r\n", 201).await;
    check("Host: evil.example\r\n", 421).await;
    check("Host: evil.example\r\nOrigin: http://evil.example\r\n", 421).await;
    check("Host: 192.0.2.1\r\n", 421).await;
    check("", 400).await;
    check("Host: \r\n", 400).await;
    check("Host: localhost\r\nHost: localhost\r\n", 400).await;
    check("Host: localhost\r\nHost: evil.example\r\n", 400).await;
    check("Host: user@localhost\r\n", 400).await;
    check("Host: user:word@files.example\r\n", 400).await;

    async fn check(headers: &str, status: u16) {
        let server = serve(|access| access.hosts = Hosts::new(["files.example".to_owned()])).await;
        let response = put(&server, headers).await;
        assert_eq!(response.status, status, "{headers}");
        if status == 421 {
            let detail = response.problem()["detail"].to_string();
            assert!(detail.contains("--host"), "{detail}");
        }
    }
}

#[tokio::test]
async fn a_target_with_a_name_of_its_own_counts() {
    let server = TestServer::start().await;
    let target = "http://evil.example/";
    let response = get(&server, target, "Host: localhost\r\n").await;
    assert_eq!(response.status, 421);
    let target = "http://user@localhost/";
    let response = get(&server, target, "Host: localhost\r\n").await;
    assert_eq!(response.status, 400);
}

#[tokio::test]
async fn every_answer_has_security_headers() {
    let server = TestServer::start().await;
    fs::write(server.path("file"), "content").unwrap();
    for (target, host, status) in [
        ("/", "localhost", 200),
        ("/files/file", "localhost", 200),
        ("/files/missing", "localhost", 404),
        ("/other", "localhost", 404),
        ("/", "evil.example", 421),
    ] {
        let response = get(&server, target, &format!("Host: {host}\r\n")).await;
        assert_eq!(response.status, status);
        let policy = response
            .head
            .lines()
            .find_map(|line| line.strip_prefix("content-security-policy: "))
            .unwrap();
        for part in [
            "default-src 'none'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
        ] {
            assert!(policy.contains(part), "{target}: {policy}");
        }
        for header in [
            "x-content-type-options: nosniff",
            "x-frame-options: DENY",
            "referrer-policy: same-origin",
            "cross-origin-resource-policy: same-origin",
        ] {
            assert_eq!(
                response.head.matches(header).count(),
                1,
                "{target}: {header}"
            );
        }
        assert!(!response.head.contains("strict-transport-security"));
    }
}

#[tokio::test]
async fn a_publicly_trusted_certificate_comes_with_hsts() {
    check(signed_by_an_authority(), "files.example", true).await;
    check(signed_by_an_authority(), "localhost", false).await;
    check(signed_by_an_authority(), "127.0.0.1", false).await;
    check(Trust::new(), "files.example", false).await;

    async fn check(trust: Trust, host: &str, expected: bool) {
        let adjust = |access: &mut Access| access.hosts = Hosts::new(["files.example".to_owned()]);
        let server = trust.serve(|config| adjust(&mut config.access)).await;
        let mut client = trust.connect(&server).await;
        client
            .send(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"))
            .await;
        let response = client.response().await;
        assert_eq!(response.status, 200);
        let sent = response
            .head
            .contains("strict-transport-security: max-age=");
        assert_eq!(sent, expected, "{host}");
    }
}

/// A certificate from an authority.
fn signed_by_an_authority() -> Trust {
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_key = KeyPair::generate().unwrap();
    let root = authority.self_signed(&authority_key).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(["localhost".to_owned()])
        .unwrap()
        .signed_by(&key, &Issuer::new(authority, &authority_key))
        .unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(root.der().clone()).unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    Trust {
        tls: TlsIdentity::new(vec![certificate.der().clone()], key).unwrap(),
        roots,
    }
}

#[tokio::test]
async fn what_is_offered_can_be_switched() {
    let localhost = "Host: localhost\r\n";
    let server = serve(|access| access.offer.listing = false).await;
    fs::write(server.path("known"), "content").unwrap();
    assert_eq!(put(&server, localhost).await.status, 201);
    let page = get(&server, "/", localhost).await;
    assert!(page.text().contains("<form") && !page.text().contains("known"));
    assert!(!page.text().contains("\"t/"));
    assert_eq!(get(&server, "/files/known", localhost).await.status, 200);

    let server = serve(|access| access.offer.download = false).await;
    fs::write(server.path("known"), "content").unwrap();
    let page = get(&server, "/", localhost).await;
    assert!(page.text().contains("known") && !page.text().contains("\"files/"));
    assert_eq!(get(&server, "/files/known", localhost).await.status, 404);
    assert_eq!(put(&server, localhost).await.status, 201);
}

#[tokio::test]
async fn files_are_removed_where_that_is_offered() {
    let delete = async |server: &TestServer, name: &str| {
        let mut client = server.connect().await;
        client
            .send(format!(
                "DELETE /files/{name} HTTP/1.1\r\nHost: localhost\r\n\r\n"
            ))
            .await;
        client.response().await.status
    };
    let server = TestServer::start().await;
    fs::write(server.path("file"), "content").unwrap();
    assert_eq!(delete(&server, "file").await, 405);

    let server = serve(|access| access.offer.delete = true).await;
    fs::write(server.path("a file"), "content").unwrap();
    fs::write(server.path(".hidden"), "content").unwrap();
    fs::create_dir(server.path("directory")).unwrap();
    let kept = server.control();
    std::os::unix::fs::symlink(&kept, server.path("link")).unwrap();
    for name in [
        "directory",
        "link",
        ".hidden",
        "..%2Fcontrol",
        "missing",
        "%ff",
    ] {
        assert_eq!(delete(&server, name).await, 404, "{name}");
    }
    assert_eq!(delete(&server, "a%20file").await, 204);
    assert_eq!(delete(&server, "a%20file").await, 404);
    assert_eq!(server.names(), [".hidden", "directory", "link"]);
    assert!(kept.exists());
}
