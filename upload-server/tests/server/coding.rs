//! A coded body is refused, not stored in its coding under the name of the file that it decodes to.

use std::fs;

use serde_json::Value;
use tokio::process::Command;

use crate::{
    programs::{python, run, script},
    test_server::TestServer,
};

#[tokio::test]
async fn by_clients_is_refused() {
    let server = TestServer::start().await;
    let url = format!("http://{}/", server.address);
    let mut client = python();
    client.arg(script("server/form_clients.py"));
    client.args([&url, "[\"name\"]", "compressed_aiohttp"]);
    let answers: Value = serde_json::from_str(&run(&mut client).await).unwrap();
    assert_eq!(answers[0]["status"], 415, "{answers}");

    let path = server.path("../sent.gz");
    fs::write(&path, "coded").unwrap();
    let form = format!("file=@{}", path.display());
    for upload in [["-T", path.to_str().unwrap()], ["-F", &form]] {
        let mut curl = Command::new("curl");
        curl.args(["-sSi", "-H", "Content-Encoding: gzip", &url])
            .args(upload);
        let answer = run(&mut curl).await;
        assert!(
            answer.contains(" 415 Unsupported Media Type\r\n"),
            "{answer}"
        );
        assert!(answer.contains("accept-encoding: identity\r\n"), "{answer}");
        assert!(
            answer.contains("does not decode Content-Encoding: gzip"),
            "{answer}"
        );
    }
    assert_eq!(server.names(), [""; 0]);
}

/// The exact bytes of clients that cannot be run here (emulated).
#[tokio::test]
async fn of_each_kind_is_refused() {
    let put = "PUT /name HTTP/1.1\r\n";
    let form = "POST / HTTP/1.1\r\nContent-Type: multipart/form-data; boundary=b\r\n";
    let create = "POST /tus/ HTTP/1.1\r\nTus-Resumable: 1.0.0\r\nUpload-Length: 5\r\n\
        Upload-Metadata: filename bmFtZQ==\r\nContent-Type: application/offset+octet-stream\r\n";
    for request in [put, form, create] {
        check(request, "Content-Encoding: gzip\r\n", 415).await;
        check(
            request,
            "Content-Encoding: identity\r\nContent-Encoding: aws-chunked\r\n",
            415,
        )
        .await;
        check(request, "Content-Transfer-Encoding: base64\r\n", 415).await;
        check(request, "Transfer-Encoding: gzip, chunked\r\n", 501).await;
    }
    check(put, "Content-Encoding: Identity\r\n", 201).await;
    check(put, "Content-Transfer-Encoding: binary\r\n", 201).await;

    async fn check(request: &str, fields: &str, expected: u16) {
        let server = TestServer::start().await;
        let mut client = server.connect().await;
        let (length, body) = match expected {
            501 => ("", "5\r\ncoded\r\n0\r\n\r\n"),
            _ => ("Content-Length: 5\r\n", "coded"),
        };
        client
            .send(format!(
                "{request}Host: localhost\r\n{length}{fields}\r\n{body}"
            ))
            .await;
        let response = client.response().await;
        assert_eq!(
            response.status,
            expected,
            "{request}{fields}{}",
            response.text()
        );
        if expected == 201 {
            assert_eq!(fs::read(server.path("name")).unwrap(), b"coded");
            return;
        }
        let field = fields.split(':').next().unwrap();
        let problem = response.problem();
        let detail = problem["detail"].as_str().unwrap();
        assert!(
            detail.contains(&format!("does not decode {field}: ")),
            "{detail}"
        );
        let accepts = response.field("accept-encoding");
        assert_eq!(accepts, (field == "Content-Encoding").then_some("identity"));
        assert_eq!(server.names(), [""; 0]);
    }
}

#[tokio::test]
async fn of_a_part_of_a_resumable_upload_is_refused() {
    let server = TestServer::start().await;
    let mut client = server.connect().await;
    let tus = "Host: localhost\r\nTus-Resumable: 1.0.0\r\n";
    client
        .send(format!(
            "POST /tus/ HTTP/1.1\r\n{tus}Upload-Length: 5\r\nContent-Length: 0\r\n\
             Upload-Metadata: filename bmFtZQ==\r\n\r\n"
        ))
        .await;
    let response = client.response().await;
    assert_eq!(response.status, 201, "{}", response.text());
    let id = response
        .field("location")
        .unwrap()
        .rsplit('/')
        .next()
        .unwrap();
    let patch = format!(
        "PATCH /tus/{id} HTTP/1.1\r\n{tus}Upload-Offset: 0\r\nContent-Length: 5\r\n\
         Content-Type: application/offset+octet-stream\r\n"
    );
    client
        .send(format!("{patch}Content-Encoding: gzip\r\n\r\ncoded"))
        .await;
    let refused = client.response().await;
    assert_eq!(
        (refused.status, refused.field("accept-encoding")),
        (415, Some("identity"))
    );
    // The server has closed the connection, since it did not read the body.
    let mut client = server.connect().await;
    client.send(format!("{patch}\r\nplain")).await;
    assert_eq!(client.response().await.status, 204);
    assert_eq!(fs::read(server.path("name")).unwrap(), b"plain");
}
