//! The parts of forms: 2xx only if each file is stored, and what the client is told otherwise.

use std::fs;

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Command,
};
use upload_server::server::OnDuplicate;

use crate::{
    client::Response,
    programs::run,
    test_server::{TestServer, within_limit},
};

const DISPOSITION: &str = "Content-Disposition: form-data; name=\"f\"; filename=";

async fn post(server: &TestServer, fields: &str, body: &str) -> Response {
    let mut client = server.connect().await;
    let length = body.len();
    let head =
        format!("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n{fields}\r\n");
    client.send(head + body).await;
    client.response().await
}

async fn post_form(server: &TestServer, body: &str) -> Response {
    let fields = "Content-Type: multipart/form-data; boundary=b\r\n";
    post(server, fields, body).await
}

#[tokio::test]
async fn are_read_as_clients_write_them() {
    let file = |header: &str| format!("--b\r\n{header}{DISPOSITION}\"a\"\r\n\r\nx\r\n--b--\r\n");
    check(&file("")).await;
    check(&file("Content-Type: text/plain\r\n")).await;
    // Ruby's multipart-post, Apache HttpClient and OkHttp (emulated).
    let fields = "Content-Length: 1\r\nContent-Transfer-Encoding: binary\r\n";
    check(&file(fields)).await;
    check(&file("X-Long:\r\n folded\r\n\tthrice\r\n")).await;
    check(&file("X-Latin: \u{e9}\r\n")).await;
    check(&format!("a preamble\r\n{}an epilogue\r\n", file(""))).await;
    check(&file("").replace("--b\r\n", "--b \t\r\n")).await;
    check(&file("").replace("--b--\r\n", "--b--")).await;
    // More fields than libraries expect.
    check(&file(&"X-Field: x\r\n".repeat(100))).await;
    // What a browser sends where no file is chosen, and a field.
    let nothing =
        format!("--b\r\n{DISPOSITION}\"\"\r\nContent-Type: application/octet-stream\r\n\r\n\r\n");
    check(&(nothing + &file(""))).await;
    let field = "--b\r\nContent-Disposition: form-data; name=\"n\"\r\n\r\nfield\r\n";
    check(&(field.to_owned() + &file(""))).await;

    async fn check(form: &str) {
        let server = TestServer::start().await;
        let response = post_form(&server, form).await;
        assert_eq!(response.status, 201, "{form:?}: {}", response.text());
        assert_eq!(server.names(), ["a"], "{form:?}");
        assert_eq!(fs::read(server.path("a")).unwrap(), b"x", "{form:?}");
    }
}

#[tokio::test]
async fn have_a_boundary_as_clients_write_it() {
    check("boundary=b", "b").await;
    check("Boundary=\"b\"", "b").await;
    check("charset=utf-8; boundary=b; x=y", "b").await;
    check("boundary=\"a b:c\"", "a b:c").await;
    // JavaMail and others leave the quotes out.
    check("boundary=----=_Part_1_2.3/4", "----=_Part_1_2.3/4").await;
    check("boundary=b;", "b").await;

    async fn check(parameter: &str, boundary: &str) {
        let server = TestServer::start().await;
        let fields = format!("Content-Type: multipart/Form-Data;{parameter}\r\n");
        let form = format!("--{boundary}\r\n{DISPOSITION}\"a\"\r\n\r\nx\r\n--{boundary}--\r\n");
        let response = post(&server, &fields, &form).await;
        assert_eq!(response.status, 201, "{parameter}: {}", response.text());
        assert_eq!(server.names(), ["a"], "{parameter}");
    }
}

#[tokio::test]
async fn are_refused_rather_than_lost() {
    const FILE: &str =
        "--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a\"\r\n\r\nx\r\n";
    let typed = |content_type: &str| {
        format!(
            "{FILE}--b\r\nContent-Disposition: form-data; name=\"g\"\r\n\
             Content-Type: {content_type}\r\n\r\nx\r\n--b--\r\n"
        )
    };
    let second = |part: &str| format!("{FILE}--b\r\n{part}\r\n--b--\r\n");
    let one = " (1 file of the form is stored)";
    for content_type in [
        "application/octet-stream",
        "image/png",
        "video/mp4",
        "application/zip",
    ] {
        let sentence =
            "part 2 of the form (field \"g\"): it is a file without a name: add a filename";
        check(&typed(content_type), &(sentence.to_owned() + one)).await;
    }
    check(
        &typed("multipart/mixed; boundary=c"),
        "it is a multipart of its own",
    )
    .await;
    // Pages with Dropzone send a large file in several forms.
    check(
        &second("Content-Disposition: form-data; name=\"dztotalchunkcount\"\r\n\r\n3"),
        "part 2 of the form (field \"dztotalchunkcount\"): dztotalchunkcount is 3",
    )
    .await;
    check(
        &second("Content-Disposition: form-data; name=\"g\"\r\n\r\na\0b"),
        "part 2 of the form (field \"g\"): it is a file without a name",
    )
    .await;
    check(
        &second("\r\nx"),
        "part 2 of the form: it has no field Content-Disposition",
    )
    .await;
    check(
        &second(&format!(
            "{DISPOSITION}\"b\"\r\n{DISPOSITION}\"c\"\r\n\r\nx"
        )),
        "it has several fields Content-Disposition",
    )
    .await;
    check(
        &second(&format!(
            "{DISPOSITION}\"b\"\r\nContent-Encoding: gzip\r\n\r\nx"
        )),
        "does not decode Content-Encoding: gzip",
    )
    .await;
    check(
        &second(&format!(
            "{DISPOSITION}\"b\"\r\nContent-Transfer-Encoding: base64\r\n\r\nx"
        )),
        "Content-Transfer-Encoding is base64, and its content is not",
    )
    .await;
    check(
        &second(&format!(
            "{DISPOSITION}\"b\"\r\nContent-Range: bytes 0-0/2\r\n\r\nx"
        )),
        "part 2 of the form (field \"f\", filename \"b\"): this is a part of a file",
    )
    .await;
    check(
        &second(&format!("{DISPOSITION}\"b\"\r\nX\r\n\r\nx")),
        "a line that is not a field",
    )
    .await;
    check(
        &format!("{FILE}--b--\r\n{FILE}--b--\r\n"),
        "more parts follow the form's final boundary",
    )
    .await;
    check(&format!("{FILE}--b\r\n"), "its final boundary is missing").await;
    check(
        &format!("{FILE}--b\r\n{DISPOSITION}\"b\"\r\n\r\ncut"),
        "its final boundary is missing",
    )
    .await;
    check(
        &second(&format!("{DISPOSITION}\"b\"\r\n\r\nx\r\n--bc\r\ny")),
        "begins with the boundary",
    )
    .await;

    async fn check(form: &str, expected: &str) {
        let server = TestServer::start().await;
        let response = post_form(&server, form).await;
        assert!(
            matches!(response.status, 400 | 415),
            "{form:?}: {}",
            response.text()
        );
        let problem = response.problem();
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(expected), "{form:?}: {detail}");
        assert!(
            detail.ends_with(" (1 file of the form is stored)"),
            "{form:?}: {detail}"
        );
        assert_eq!(server.names(), ["a"], "{form:?}");
    }
}

#[tokio::test]
async fn of_other_bodies_are_refused() {
    check("", "the body is not a form").await;
    check(
        "Content-Type: application/x-www-form-urlencoded\r\n",
        "the body is not a form",
    )
    .await;
    check(
        "Content-Type: multipart/mixed; boundary=b\r\n",
        "the body is not a form",
    )
    .await;
    check(
        "Content-Type: multipart/form-data\r\n",
        "must give one boundary",
    )
    .await;
    check(
        "Content-Type: multipart/form-data; boundary=\r\n",
        "must give one boundary",
    )
    .await;
    check(
        "Content-Type: multipart/form-data; boundary=b; boundary=c\r\n",
        "must give one",
    )
    .await;
    check(
        "Content-Type: multipart/form-data; boundary=c\r\n",
        "its boundary is not the one",
    )
    .await;
    let form = "Content-Type: multipart/form-data; boundary=b\r\n";
    check(
        &format!("{form}Content-Range: bytes 0-0/2\r\n"),
        "this is a part of a file",
    )
    .await;
    check(
        &format!("{form}Content-Encoding: gzip\r\n"),
        "Content-Encoding: gzip",
    )
    .await;

    async fn check(fields: &str, expected: &str) {
        let server = TestServer::start().await;
        let form = format!("--b\r\n{DISPOSITION}\"a\"\r\n\r\nx\r\n--b--\r\n");
        let response = post(&server, fields, &form).await;
        assert!(matches!(response.status, 400 | 415), "{fields:?}");
        let problem = response.problem();
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(expected), "{fields:?}: {detail}");
        assert_eq!(server.names(), [""; 0], "{fields:?}");
    }
}

#[tokio::test]
async fn do_not_replace_each_other() {
    let form = format!(
        "--b\r\n{DISPOSITION}\"x/a\"\r\n\r\nfirst\r\n--b\r\n{DISPOSITION}\"y/a\"\r\n\r\nsecond\r\n--b--\r\n"
    );
    check(&form, OnDuplicate::Rename, 201, &["a", "a (1)"]).await;
    check(&form, OnDuplicate::Error, 409, &["a"]).await;
    check(&form, OnDuplicate::Overwrite, 409, &["a"]).await;

    async fn check(form: &str, on_duplicate: OnDuplicate, status: u16, names: &[&str]) {
        let server = TestServer::start_with(|config| config.on_duplicate = on_duplicate).await;
        let response = post_form(&server, form).await;
        assert_eq!(response.status, status, "{}", response.text());
        assert_eq!(server.names(), names);
        assert_eq!(fs::read(server.path("a")).unwrap(), b"first");
    }
}

/// nginx refuses answers with a header of more than 4 or 8 KiB.
#[tokio::test]
async fn hundreds_pass_nginx() {
    const FILES: usize = 400;
    let server = TestServer::start().await;
    let folder = tempfile::tempdir().unwrap();
    let (path, address) = (folder.path().display(), server.address);
    let configuration = format!(
        "daemon off; master_process off; pid {path}/pid; error_log stderr notice; events {{}}\n\
         http {{ access_log off; client_body_temp_path {path}/body; proxy_temp_path {path}/proxy;\n\
         fastcgi_temp_path {path}/1; uwsgi_temp_path {path}/2; scgi_temp_path {path}/3;\n\
         server {{ listen unix:{path}/socket; location / {{ proxy_pass http://{address}; }} }} }}"
    );
    fs::write(folder.path().join("nginx.conf"), configuration).unwrap();
    let mut nginx = Command::new("nginx")
        .arg("-c")
        .arg(folder.path().join("nginx.conf"))
        .args(["-e", "stderr"])
        .stderr(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(nginx.stderr.take().unwrap()).lines();
    while let Some(line) = within_limit(lines.next_line()).await.unwrap() {
        if line.contains("event method") {
            break;
        }
    }
    let sent = folder.path().join("sent");
    fs::write(&sent, "content").unwrap();
    let forms = (0..FILES).map(|number| {
        format!(
            "form = \"file=@{};filename=\\\"{number}\\\"\"\n",
            sent.display()
        )
    });
    let options = folder.path().join("options");
    fs::write(&options, forms.collect::<String>()).unwrap();
    let mut curl = Command::new("curl");
    curl.args([
        "-sS",
        "--fail-with-body",
        "http://localhost/",
        "--unix-socket",
    ])
    .arg(folder.path().join("socket"))
    .arg("-K")
    .arg(options);
    let receipts: Value = serde_json::from_str(&run(&mut curl).await).unwrap();
    let mut names: Vec<usize> = Vec::new();
    for receipt in receipts.as_array().unwrap() {
        assert_eq!(receipt["bytes"], 7);
        assert!(receipt["timeline"].is_string());
        names.push(receipt["name"].as_str().unwrap().parse().unwrap());
    }
    assert_eq!(names, (0..FILES).collect::<Vec<_>>());
    assert_eq!(server.names().len(), FILES);
}

#[tokio::test]
async fn a_few_have_links() {
    check(8, 8).await;
    check(9, 0).await;

    async fn check(files: usize, links: usize) {
        let server = TestServer::start().await;
        let parts = (0..files).map(|n| format!("--b\r\n{DISPOSITION}{n}\r\n\r\n\r\n"));
        let response = post_form(&server, &(parts.collect::<String>() + "--b--")).await;
        assert_eq!(response.status, 201);
        assert_eq!(response.head.matches("link: ").count(), links);
    }
}
