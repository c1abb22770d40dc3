//! The page, and downloads from it.

use std::{fs, os::unix::fs::symlink};

use crate::{client::Response, test_server::TestServer};

async fn get(server: &TestServer, target: &str) -> Response {
    let mut client = server.connect().await;
    client
        .send(format!(
            "GET {target} HTTP/1.1\r\nHost: localhost:1\r\n\r\n"
        ))
        .await;
    client.response().await
}

#[tokio::test]
async fn lists_the_files() {
    let server = TestServer::start().await;
    assert!(get(&server, "/").await.text().contains("No file yet."));

    fs::write(server.path("<b>&.txt"), "12345").unwrap();
    fs::write(server.path(".upload-x"), "under way").unwrap();
    fs::create_dir(server.path("directory")).unwrap();
    let page = get(&server, "/").await;
    assert_eq!(page.status, 200);
    assert!(
        page.head
            .contains("content-security-policy: default-src 'none'")
    );
    assert!(
        page.text()
            .contains("<a href=\"/files/%3Cb%3E%26.txt\">&lt;b&gt;&amp;.txt</a>")
    );
    assert!(page.text().contains("curl -T FILE http://localhost:1/"));
    assert!(!page.text().contains("upload-x") && !page.text().contains("directory"));
}

#[tokio::test]
async fn downloads_a_file() {
    let server = TestServer::start().await;
    fs::write(server.path("naïve page.html"), "<script>").unwrap();
    let file = get(&server, "/files/na%C3%AFve%20page.html").await;
    assert_eq!((file.status, file.text()), (200, "<script>"));
    assert!(
        file.head
            .contains("content-type: application/octet-stream\r\n")
    );
    assert!(file.head.contains("x-content-type-options: nosniff\r\n"));
    assert!(
        file.head.contains(
            "content-disposition: attachment; filename*=UTF-8''na%C3%AFve%20page.html\r\n"
        )
    );

    let mut client = server.connect().await;
    client
        .send("HEAD /files/na%C3%AFve%20page.html HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await;
    let head = client.response_head().await;
    assert_eq!(head.status, 200);
    assert!(head.head.contains("content-length: 8\r\n"));
}

#[tokio::test]
async fn downloads_nothing_else() {
    let server = TestServer::start().await;
    fs::create_dir(server.path("directory")).unwrap();
    symlink("/etc/hostname", server.path("link")).unwrap();
    fs::write(server.path(".hidden"), "").unwrap();
    for target in [
        "missing",
        "directory",
        "link",
        ".hidden",
        "..%2Fcontrol",
        "%2e%2e",
        "%ff",
    ] {
        assert_eq!(
            get(&server, &format!("/files/{target}")).await.status,
            404,
            "{target}"
        );
    }
}
