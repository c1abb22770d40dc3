//! What trusted proxies report of a client: in limits, records, the log and the pages.

use upload_server::{record::Upload, server::TrustedProxies};

use crate::{
    client::{Client, Response},
    process::{Running, refusal_and_status, stderr, tempdir},
    test_server::TestServer,
};

/// A server that trusts its own machine, and another proxy.
async fn trusting() -> TestServer {
    TestServer::start_with(|config| {
        let proxies = ["127.0.0.1/32", "10.0.0.0/8"].map(|network| network.parse().unwrap());
        config.access.proxies = TrustedProxies::new(proxies);
        config.limits.uploads_per_client = 1;
    })
    .await
}

async fn put_with(server: &TestServer, fields: &str) -> Response {
    let mut client = server.connect().await;
    client.put_with(fields, "file", b"abc").await
}

async fn get_with(server: &TestServer, target: &str, fields: &str) -> Response {
    let mut client = server.connect().await;
    let head = format!("GET {target} HTTP/1.1\r\nHost: localhost:5000\r\n{fields}\r\n");
    client.send(head).await;
    client.response().await
}

#[tokio::test]
async fn the_record_names_the_client_and_the_proxy() {
    let server = trusting().await;
    let mut feed = server.feed().await;
    let mut client = server.connect().await;
    for (fields, expected) in [
        (
            "X-Forwarded-For: 1.2.3.4, 192.0.2.7, 10.0.0.2\r\n",
            Some("192.0.2.7"),
        ),
        (
            "Forwarded: for=\"[2001:db8::7]:4711\"\r\n",
            Some("2001:db8::7"),
        ),
        ("X-Forwarded-For: unknown\r\n", None),
        (
            "Forwarded: for=1.2.3.4\r\nX-Forwarded-For: 192.0.2.7\r\n",
            None,
        ),
        ("", None),
    ] {
        assert_eq!(client.put_with(fields, "file", b"abc").await.status, 201);
        let upload = feed.upload().await;
        let expected = expected.map(|address| address.parse().unwrap());
        assert_eq!(upload.forwarded_for, expected, "{fields}");
        // The connection's other end, by which a tracer knows the connection.
        assert_eq!(upload.client, client.local_address());
    }
    let page = get_with(&server, "/t/1", "").await;
    let from = format!(
        "from 192.0.2.7, through the proxy {}.",
        client.local_address()
    );
    assert!(page.text().contains(&from), "{}", page.text());
}

#[tokio::test]
async fn nobody_else_is_believed() {
    let server = TestServer::start().await;
    let mut feed = server.feed().await;
    let fields = "X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Prefix: /upload\r\n";
    let answer = put_with(&server, fields).await;
    assert!(answer.text().contains("\"timeline\":\"/t/1\""));
    assert_eq!(feed.next_upload().await.forwarded_for, None);
    let page = get_with(&server, "/", fields).await;
    assert!(page.text().contains("\"page/page.js\""));
}

/// The clients of a proxy do not share one limit.
#[tokio::test]
async fn each_client_has_its_own_limit() {
    let server = trusting().await;
    let begin = async |client: &str| -> Client {
        let mut connection = server.connect().await;
        let head = format!(
            "PUT /slow HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: {client}\r\n\
             Content-Length: 3\r\nExpect: 100-continue\r\n\r\n"
        );
        connection.send(head).await;
        connection
    };
    let mut first = begin("192.0.2.7").await;
    assert_eq!(first.response().await.status, 100);
    assert_eq!(begin("192.0.2.7").await.response().await.status, 429);
    assert_eq!(
        begin("1.2.3.4, 192.0.2.7").await.response().await.status,
        429
    );
    assert_eq!(begin("192.0.2.8").await.response().await.status, 100);
    first.send("abc").await;
    assert_eq!(first.response().await.status, 201);
}

#[tokio::test]
async fn pages_and_receipts_know_the_prefix() {
    let server = trusting().await;
    let fields = "X-Forwarded-Prefix: /upload/\r\nX-Forwarded-Proto: https\r\n\
                  X-Forwarded-Host: files.example\r\n";
    let mut feed = server.feed().await;
    let answer = put_with(&server, fields).await;
    // The page lists an upload once its answer is sent.
    feed.upload().await;
    assert!(
        answer.text().contains("\"timeline\":\"/upload/t/1\""),
        "{}",
        answer.text()
    );
    assert_eq!(
        answer.field("link"),
        Some("</upload/t/1>; rel=\"describedby\"")
    );
    assert_eq!(answer.field("location"), Some("files/file"));
    let page = get_with(&server, "/", fields).await;
    for part in [
        "src=\"/upload/page/page.js\"",
        "href=\"/upload/page/page.css\"",
        "action=\"/upload/\"",
        "href=\"/upload/files/file\"",
        "href=\"/upload/t/1\"",
        "data-download=\"/upload/files/\"",
        ">https://files.example/upload/</span>",
    ] {
        assert!(page.text().contains(part), "{part}: {}", page.text());
    }
    assert!(!page.head.contains("strict-transport-security"));
    // A link to another host.
    let page = get_with(&server, "/", "X-Forwarded-Prefix: //evil.example\r\n").await;
    assert!(!page.text().contains("evil"));
}

#[tokio::test]
async fn metrics_are_for_this_machine_alone() {
    check("", [200, 200]).await;
    check("X-Forwarded-For: 127.0.0.1\r\n", [200, 404]).await;
    check("X-Forwarded-For: 192.0.2.7\r\n", [404, 404]).await;
    check("X-Forwarded-For: unknown\r\n", [404, 404]).await;
    check("Forwarded: for=_hidden\r\n", [404, 404]).await;

    /// Of a server that trusts the proxy, and one that does not.
    async fn check(fields: &str, expected: [u16; 2]) {
        let servers = [trusting().await, TestServer::start().await];
        for (server, expected) in servers.iter().zip(expected) {
            let answer = get_with(server, "/metrics", fields).await;
            assert_eq!(answer.status, expected, "{fields}");
        }
    }
}

#[tokio::test]
async fn the_option_takes_addresses_and_networks() {
    let root = tempdir();
    let proxies = [
        "--trusted-proxy",
        "127.0.0.1",
        "--trusted-proxy",
        "2001:db8::/32",
    ];
    let server = Running::start_with(&proxies, root.path()).await;
    let mut client = Client::connect(server.address).await;
    let fields = "X-Forwarded-For: 192.0.2.7, 2001:db8::1\r\n";
    let receipt = client.put_with(fields, "file", b"abc").await;
    assert_eq!(receipt.status, 201);
    let record = get_record(&mut client).await;
    assert_eq!(record.forwarded_for, Some([192, 0, 2, 7].into()));
    let log = stderr(root.path());
    let line = log.lines().find(|line| line.contains("PUT")).unwrap();
    let peer = client.local_address().to_string();
    assert!(line.contains("192.0.2.7") && line.contains(&peer), "{line}");

    for (value, says) in [
        ("localhost", "give an address or a network"),
        ("127.0.0.1:80", "give an address or a network"),
        ("10.0.0.0/33", "give an address or a network"),
        ("10.0.0.1/8", "give 10.0.0.0/8"),
    ] {
        let (status, stderr) = refusal_and_status(&["--trusted-proxy", value]).await;
        assert_eq!(status, Some(2), "{value}");
        assert!(stderr.contains(says), "{stderr}");
    }
}

async fn get_record(client: &mut Client) -> Upload {
    client
        .send("GET /t/1.json HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await;
    let answer = client.response().await;
    let mut record: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    serde_json::from_value(record["upload"].take()).unwrap()
}
