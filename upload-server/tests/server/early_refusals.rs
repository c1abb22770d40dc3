//! Refusals that reach clients which send the whole body before they read: wget, urllib, requests, and
//! curl that waits for no `100 Continue`. A page shows a refusal to people whose browser has no script.

use std::{fs, path::Path};

use tokio::process::Command;
use upload_server::{
    record::Outcome,
    server::{Config, OnDuplicate, Token},
};

use crate::{
    client::{Client, expecting_put_head, put_head},
    process::curl,
    programs::{python, run, script},
    test_server::{TestServer, within_limit},
};

/// More than the kernel's buffers hold.
const BYTES: u64 = 8_000_000;

/// So much that all of it takes a while.
const MANY_BYTES: u64 = 100_000_000;

/// A file that takes no space.
fn large(folder: &Path, bytes: u64) -> String {
    let path = folder.join(bytes.to_string()).join("large");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::File::create(&path).unwrap().set_len(bytes).unwrap();
    path.to_str().unwrap().to_owned()
}

type Setting = (u16, fn(&mut Config));

/// The servers' settings by the status with which they refuse a PUT to `/large`.
const SETTINGS: [Setting; 4] = [
    (401, |config| {
        config.access.token = Some(Token::new("0123456789abcdef").unwrap());
    }),
    (409, |config| config.on_duplicate = OnDuplicate::Error),
    (413, |config| config.limits.max_size = Some(1_000)),
    (507, |config| config.limits.min_free = u64::MAX / 2),
];

#[tokio::test]
async fn reach_those_who_send_first() {
    let folder = tempfile::tempdir().unwrap();
    let mut servers = Vec::new();
    for (status, adjust) in SETTINGS {
        let server = TestServer::start_with(adjust).await;
        fs::write(server.path("large"), "").unwrap();
        servers.push((status, server));
    }
    // Many uploads in one interpreter.
    let mut python = python();
    python.arg(script("server/early_refusals.py"));
    for (status, server) in &servers {
        let bytes = if *status == 413 { MANY_BYTES } else { BYTES };
        let large = large(folder.path(), bytes);
        let url = format!("http://{}/large", server.address);
        python.args([&status.to_string(), &large, &url]);
        // wget exits with 6 for a refused token, with 8 for other refusals.
        let mut wget = Command::new("wget");
        wget.args([
            "-q",
            "-O-",
            "--content-on-error",
            "--method=PUT",
            "--tries=1",
        ]);
        wget.arg(format!("--body-file={large}")).arg(&url);
        let answer = within_limit(wget.output()).await.unwrap();
        let exit = if *status == 401 { 6 } else { 8 };
        assert_eq!(
            answer.status.code(),
            Some(exit),
            "wget {status}: {answer:?}"
        );
        let body = String::from_utf8(answer.stdout).unwrap();
        // wget drops the body of a 401.
        let expected = format!("\"status\":{status}");
        assert!(
            *status == 401 || body.contains(&expected),
            "wget {status}: {body}"
        );

        let code = [
            "-sS",
            "-o",
            "/dev/null",
            "-w",
            "%{http_code}",
            "-H",
            "Expect:",
        ];
        let answer = curl(&[&code[..], &["-T", &large, &url]].concat()).await;
        assert_eq!(answer.stdout, status.to_string().as_bytes());
        let form = format!("file=@{large}");
        let url = format!("http://{}/", server.address);
        let answer = curl(&[&code[..], &["-F", &form, &url]].concat()).await;
        assert_eq!(answer.stdout, status.to_string().as_bytes(), "form");
    }
    run(&mut python).await;
}

#[tokio::test]
async fn reach_clients_of_http2() {
    let folder = tempfile::tempdir().unwrap();
    let large = large(folder.path(), MANY_BYTES);
    for (status, adjust) in SETTINGS {
        let server = TestServer::start_with(|config| {
            config.http2 = true;
            adjust(config);
        })
        .await;
        fs::write(server.path("large"), "").unwrap();
        let url = format!("http://{}/large", server.address);
        let code = ["-sS", "-o", "/dev/null", "-w", "%{http_code}"];
        let http2 = ["--http2-prior-knowledge", "-T", &large, &url];
        let answer = curl(&[&code[..], &http2].concat()).await;
        assert_eq!(answer.stdout, status.to_string().as_bytes());
    }
}

/// A client that goes on sending after its refusal holds no connection that another one needs.
#[tokio::test]
async fn keep_nobody_out() {
    let server = TestServer::start_with(|config| {
        config.limits.max_size = Some(1_000);
        config.limits.connections = 1;
    })
    .await;
    let mut feed = server.feed().await;
    let mut refused = server.connect().await;
    refused.send(put_head("large", 1_000_000_000)).await;
    refused.send([0; 100_000]).await;
    assert_eq!(refused.response().await.status, 413);
    assert_eq!(feed.upload().await.outcome, Outcome::TooLarge);
    let mut other = server.connect().await;
    assert_eq!(other.put("small", b"fits").await.status, 201);
    assert!(refused.is_closed().await);
}

/// Nor does it, where it has no connection of its own, keep others waiting for their refusal.
#[tokio::test]
async fn delay_no_other_refusal() {
    let server = TestServer::start_with(|config| config.limits.connections = 1).await;
    let mut busy = server.connect().await;
    busy.send(expecting_put_head("busy", 4)).await;
    assert_eq!(busy.response().await.status, 100);
    let mut refused = Vec::new();
    // Sixteen are refused at a time.
    for _ in 0..17 {
        let mut client = server.connect().await;
        client.send(put_head("large", 1_000_000_000)).await;
        client.send([0; 1_000]).await;
        assert_eq!(client.response().await.status, 503);
        refused.push(client);
    }
    busy.send("busy").await;
    assert_eq!(busy.response().await.status, 201);
}

/// As a browser sends a form without the script.
#[tokio::test]
async fn are_pages_for_people() {
    const BROWSER: &str = "Accept: text/html,application/xhtml+xml,*/*;q=0.8";
    for (status, adjust) in SETTINGS {
        let server = TestServer::start_with(adjust).await;
        fs::write(server.path("large"), "").unwrap();
        for (accept, media_type) in [
            (BROWSER, "text/html"),
            ("Accept: */*", "application/problem+json"),
        ] {
            let mut client = server.connect().await;
            let form = "--b\r\nContent-Disposition: form-data; name=\"file\"; \
                        filename=\"large\"\r\n\r\n";
            let form = form.to_owned() + &"x".repeat(2_000) + "\r\n--b--\r\n";
            client
                .send(format!(
                    "POST / HTTP/1.1\r\nHost: localhost\r\n{accept}\r\n\
                     Content-Type: multipart/form-data; boundary=b\r\n\
                     Content-Length: {}\r\n\r\n{form}",
                    form.len()
                ))
                .await;
            let refusal = client.response().await;
            assert_eq!(refusal.status, status);
            let got = refusal.field("content-type").unwrap();
            assert!(got.starts_with(media_type), "{got}");
            assert_eq!(
                refusal.head.contains("www-authenticate: Basic"),
                status == 401
            );
            if accept == BROWSER {
                let page = refusal.text();
                assert!(page.contains("<a href=\"./\">Back to the upload page</a>"));
                assert!(!page.contains("about:blank"), "{page}");
            }
        }
    }
    let server = TestServer::start().await;
    let mut client: Client = server.connect().await;
    client
        .send(format!(
            "GET /files/missing HTTP/1.1\r\nHost: localhost\r\n{BROWSER}\r\n\r\n"
        ))
        .await;
    let missing = client.response().await;
    assert_eq!(missing.status, 404);
    assert!(
        missing
            .text()
            .contains("<p>There is nothing at this address.</p>")
    );
    assert!(missing.text().contains("<a href=\"../\">"));
    let policy = missing.field("content-security-policy").unwrap();
    assert!(policy.contains("style-src 'self'") && !policy.contains("unsafe"));
}
