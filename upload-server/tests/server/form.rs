//! `POST /`: forms with files.

use std::fs;

use upload_server::record::Outcome;

use crate::test_server::TestServer;

const TWO_FILES: &str = "--b\r\n\
    Content-Disposition: form-data; name=\"note\"\r\n\r\nnot a file\r\n--b\r\n\
    Content-Disposition: form-data; name=\"file\"; filename=\"one.txt\"\r\n\
    Content-Type: text/plain\r\n\r\nfirst\r\n--b\r\n\
    Content-Disposition: form-data; name=\"file\"; filename=\"naïve.txt\"\r\n\r\nthe second\r\n\
    --b--\r\n";

fn post(headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\
         Content-Type: multipart/form-data; boundary=b\r\n{headers}\r\n{body}"
    )
}

#[tokio::test]
async fn stores_each_file() {
    let server = TestServer::start().await;
    let mut feed = server.feed().await;
    let mut client = server.connect().await;
    client.send(post("", TWO_FILES)).await;
    let response = client.response().await;
    assert_eq!(response.status, 201);
    assert_eq!(
        response.text(),
        "[{\"id\":\"1\",\"name\":\"one.txt\",\"bytes\":5,\"status\":201,\"timeline\":\"/t/1\"},\
         {\"id\":\"2\",\"name\":\"naïve.txt\",\"bytes\":10,\"status\":201,\"timeline\":\"/t/2\"}]\n"
    );
    let links = response.head.matches("link: <t/").count();
    assert_eq!(links, 2, "{}", response.head);
    assert_eq!(fs::read(server.path("one.txt")).unwrap(), b"first");
    assert_eq!(fs::read(server.path("naïve.txt")).unwrap(), b"the second");

    let (one, two) = (feed.upload().await, feed.upload().await);
    assert_eq!((one.name.as_deref(), one.bytes), (Some("one.txt"), 5));
    assert_eq!((two.name.as_deref(), two.bytes), (Some("naïve.txt"), 10));
    assert_eq!((one.request, two.request), (1, 1));
    assert_eq!((one.cookie, one.status), (two.cookie, two.status));
    assert!(one.times.stored_ns <= two.times.body_first_ns);
    assert_eq!(one.times.sent_ns, two.times.sent_ns);

    // The form was read to its end: the connection stays usable.
    assert_eq!(client.put("three", b"3").await.status, 201);
    assert_eq!(feed.upload().await.request, 2);
}

#[tokio::test]
async fn sends_a_browser_back_to_the_page() {
    let server = TestServer::start().await;
    let mut client = server.connect().await;
    let headers = "Accept: text/html,*/*;q=0.8\r\nOrigin: http://localhost\r\n";
    client.send(post(headers, TWO_FILES)).await;
    let response = client.response().await;
    assert_eq!(response.status, 303);
    assert!(response.head.contains("location: ./\r\n"));
    assert_eq!(server.names(), ["naïve.txt", "one.txt"]);
}

#[tokio::test]
async fn refuses_forms_of_other_sites() {
    check("http://localhost", 201).await;
    check("https://localhost", 201).await;
    check("http://evil.example", 403).await;
    check("http://localhost:81", 403).await;
    check("null", 403).await;

    async fn check(origin: &str, expected: u16) {
        let server = TestServer::start().await;
        let mut client = server.connect().await;
        client
            .send(post(&format!("Origin: {origin}\r\n"), TWO_FILES))
            .await;
        assert_eq!(client.response().await.status, expected, "{origin}");
        assert_eq!(server.names().is_empty(), expected == 403, "{origin}");
    }
}

#[tokio::test]
async fn refuses_what_is_not_a_form_with_files() {
    check("").await;
    check("no boundary").await;
    check("--b--\r\n").await;
    check("--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\ntext\r\n--b--\r\n").await;
    check("--b\r\nContent-Disposition: form-data; filename=\"\"\r\n\r\n\r\n--b--\r\n").await;
    check("--b\r\nContent-Disposition: form-data; filename=\"../x\"\r\n\r\nx\r\n--b--\r\n").await;
    check("--b\r\nContent-Disposition: form-data; filename=\"x\"\r\n\r\nunfinished").await;

    async fn check(body: &str) {
        let server = TestServer::start().await;
        let mut feed = server.feed().await;
        let mut client = server.connect().await;
        client.send(post("", body)).await;
        assert_eq!(client.response().await.status, 400, "{body:?}");
        assert_eq!(feed.upload().await.outcome, Outcome::Refused, "{body:?}");
        assert_eq!(server.names(), [""; 0], "{body:?}");
    }
}

#[tokio::test]
async fn does_not_hold_endless_headers() {
    let server = TestServer::start().await;
    let mut client = server.connect().await;
    client.send(post("", &"x".repeat(4 * 1024 * 1024))).await;
    let response = client.response().await;
    assert_eq!(response.status, 400);
    assert!(
        response.text().contains("more than 1 MiB besides"),
        "{}",
        response.text()
    );
}

#[tokio::test]
async fn keeps_the_files_before_a_break() {
    let server = TestServer::start().await;
    let mut feed = server.feed().await;
    let mut client = server.connect().await;
    let request = post("", TWO_FILES);
    client
        .send(&request[..request.find("second").unwrap()])
        .await;
    client.finish_sending().await;
    assert_eq!(client.response().await.status, 400);
    let (one, two) = (feed.upload().await, feed.upload().await);
    assert_eq!((one.outcome, one.status), (Outcome::Complete, Some(400)));
    assert_eq!((two.outcome, two.status), (Outcome::Aborted, Some(400)));
    assert_eq!(two.name.as_deref(), Some("naïve.txt"));
    assert_eq!(server.names(), ["one.txt"]);
}
