//! Preconditions (RFC 9110, 13): a file is changed only in the state that its client expects.

use std::fs;

use upload_server::server::OnDuplicate;

use crate::{client::expecting_put_head, process::curl, test_server::TestServer};

const OLD: &str = "Mon, 05 Feb 2024 10:00:00 GMT";
const FUTURE: &str = "Tue, 01 Jan 2115 10:00:00 GMT";

async fn serve(on_duplicate: OnDuplicate) -> TestServer {
    TestServer::start_with(|config| {
        config.on_duplicate = on_duplicate;
        config.access.offer.delete = true;
    })
    .await
}

/// The status that curl gets.
async fn status(server: &TestServer, target: &str, arguments: &[&str]) -> u16 {
    let url = format!("http://{}/{target}", server.address);
    let mut all = vec!["-sS", "-o", "/dev/null", "-w", "%{http_code}", &url];
    all.extend(arguments);
    let output = curl(&all).await;
    String::from_utf8(output.stdout).unwrap().parse().unwrap()
}

/// Stores a file, and returns its entity tag, which the answer to the PUT and to the GET agree on.
async fn stored(server: &TestServer) -> String {
    let mut client = server.connect().await;
    let put = client.put("cat.png", b"old").await;
    let tag = put.field("etag").unwrap();
    client
        .send("HEAD /files/cat.png HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await;
    assert_eq!(client.response_head().await.field("etag"), Some(tag));
    tag.to_owned()
}

#[tokio::test]
async fn hold_for_an_upload_of_curl() {
    use OnDuplicate::{Error, Overwrite, Rename};
    let root = tempfile::tempdir().unwrap();
    let new = root.path().join("cat.png");
    fs::write(&new, "new").unwrap();
    let new = new.to_str().unwrap();
    // Fields with TAG for the file's tag, and the status in each mode.
    let cases = [
        ("If-None-Match: *", [412, 412, 412]),
        ("If-None-Match: TAG", [412, 412, 412]),
        ("If-None-Match: \"a\", W/TAG", [412, 412, 412]),
        ("If-None-Match: \"other\"", [409, 201, 200]),
        ("If-Match: \"other\"", [412, 412, 412]),
        ("If-Match: W/TAG", [412, 412, 412]),
        ("If-Match: \"a,b\", TAG", [409, 409, 200]),
        ("If-Match: *", [409, 409, 200]),
        ("If-Unmodified-Since: OLD", [412, 412, 412]),
        ("If-Unmodified-Since: FUTURE", [409, 409, 200]),
        // The tag counts, the date does not (13.2.2).
        ("If-Match: TAG\nIf-Unmodified-Since: OLD", [409, 409, 200]),
        // Both count.
        ("If-Match: TAG\nIf-None-Match: *", [412, 412, 412]),
        // A date that is none is ignored, a tag that is none is refused.
        ("If-Unmodified-Since: yesterday", [409, 201, 200]),
        ("If-None-Match: cat", [400, 400, 400]),
        ("If-Match: TAG x", [400, 400, 400]),
        // Of no meaning for PUT.
        ("If-Modified-Since: FUTURE", [409, 201, 200]),
    ];
    for (index, on_duplicate) in [Error, Rename, Overwrite].into_iter().enumerate() {
        let server = serve(on_duplicate).await;
        for (fields, expected) in &cases {
            let tag = stored(&server).await;
            let fields = fields.replace("TAG", &tag);
            let fields = fields.replace("OLD", OLD).replace("FUTURE", FUTURE);
            let fields: Vec<_> = fields.lines().flat_map(|field| ["-H", field]).collect();
            let got = status(&server, "", &[&["-T", new], &fields[..]].concat()).await;
            assert_eq!(got, expected[index], "{on_duplicate:?} {fields:?}");
            let content = if got == 200 { "new" } else { "old" };
            assert_eq!(fs::read_to_string(server.path("cat.png")).unwrap(), content);
            let names = match got {
                201 => vec!["cat (1).png", "cat.png"],
                _ => vec!["cat.png"],
            };
            assert_eq!(server.names(), names, "{on_duplicate:?} {fields:?}");
            for name in names {
                fs::remove_file(server.path(name)).unwrap();
            }
        }
        for (field, expected) in [
            ("If-Match: *", 412),
            ("If-Match: \"x\"", 412),
            ("If-None-Match: *", 201),
        ] {
            let got = status(&server, "", &["-T", new, "-H", field]).await;
            assert_eq!(got, expected, "{field} where there is no file");
        }
    }
}

/// A client that waits for `100 Continue` sends nothing of a body that is refused.
#[tokio::test]
async fn are_checked_before_the_body() {
    let server = serve(OnDuplicate::Overwrite).await;
    stored(&server).await;
    let mut client = server.connect().await;
    let head = expecting_put_head("cat.png", 3);
    client
        .send(head.replace("\r\n\r\n", "\r\nIf-None-Match: *\r\n\r\n"))
        .await;
    let response = client.response().await;
    assert_eq!(response.status, 412);
    assert_eq!(
        response.problem()["detail"],
        "the condition If-None-Match is not met: a file of this name exists"
    );
}

/// Of many uploads that all expect the same state, one gets through, whatever the mode.
#[tokio::test]
async fn hold_at_the_moment_of_the_change() {
    for (on_duplicate, field, status) in [
        (OnDuplicate::Error, "If-None-Match: *", 201),
        (OnDuplicate::Rename, "If-None-Match: *", 201),
        (OnDuplicate::Overwrite, "If-None-Match: *", 201),
        (OnDuplicate::Overwrite, "If-Match: TAG", 200),
    ] {
        let server = serve(on_duplicate).await;
        let name = if status == 200 { "cat.png" } else { "new.png" };
        let field = field.replace("TAG", &stored(&server).await);
        let head = expecting_put_head(name, 2);
        let head = head.replace("\r\n\r\n", &format!("\r\n{field}\r\n\r\n"));
        let mut clients = Vec::new();
        for number in 0..20 {
            let mut client = server.connect().await;
            client.send(&head).await;
            assert_eq!(client.response().await.status, 100);
            clients.push((number, client));
        }
        let sent = clients.into_iter().map(|(number, mut client)| {
            tokio::spawn(async move {
                client.send(format!("{number:02}")).await;
                (number, client.response().await.status)
            })
        });
        let mut stored = None;
        for answer in sent.collect::<Vec<_>>() {
            let (number, got) = answer.await.unwrap();
            if got == 412 {
                continue;
            }
            assert_eq!((got, stored), (status, None), "{on_duplicate:?} {field}");
            stored = Some(number);
        }
        let content = fs::read_to_string(server.path(name)).unwrap();
        assert_eq!(content, format!("{:02}", stored.unwrap()));
        assert!(server.names().len() <= 2, "{:?}", server.names());
    }
}

/// The target of a form is the page. Its files cannot be protected, and so nothing is stored.
#[tokio::test]
async fn hold_for_a_form() {
    let server = serve(OnDuplicate::Overwrite).await;
    stored(&server).await;
    for (field, expected) in [
        ("If-None-Match: *", 412),
        ("If-Match: \"x\"", 412),
        ("If-Match: x", 400),
        ("If-Match: *", 201),
        ("If-None-Match: \"x\"", 201),
    ] {
        let form = ["-F", "file=new;filename=cat.png", "-H", field];
        let got = status(&server, "", &form).await;
        assert_eq!(got, expected, "{field}");
        let content = fs::read_to_string(server.path("cat.png")).unwrap();
        assert_eq!(content == "new", expected == 201, "{field}");
    }
}

#[tokio::test]
async fn hold_for_a_removal() {
    let server = serve(OnDuplicate::Overwrite).await;
    let tag = stored(&server).await;
    let tag = format!("If-Match: {tag}");
    for (field, expected) in [
        ("If-Match: \"other\"", 412),
        ("If-None-Match: *", 412),
        (&format!("If-Unmodified-Since: {OLD}"), 412),
        ("If-Match: other", 400),
        (&tag, 204),
        (&tag, 404),
    ] {
        let got = status(&server, "files/cat.png", &["-X", "DELETE", "-H", field]).await;
        assert_eq!(got, expected, "{field}");
        assert_eq!(
            server.names().is_empty(),
            expected == 204 || expected == 404
        );
    }
}
