//! The page, and downloads from it.

use std::{collections::HashSet, fs, os::unix::fs::symlink};

use upload_server::{
    record::Outcome,
    server::{History, OnDuplicate},
};

use crate::{
    client::Response,
    test_server::{TestServer, within_limit},
};

async fn get(server: &TestServer, target: &str) -> Response {
    get_with(server, target, "").await
}

async fn get_with(server: &TestServer, target: &str, fields: &str) -> Response {
    let mut client = server.connect().await;
    client
        .send(format!(
            "GET {target} HTTP/1.1\r\nHost: localhost:1\r\n{fields}\r\n"
        ))
        .await;
    client.response().await
}

/// A server with a history, and the history's directory.
async fn with_history() -> (TestServer, tempfile::TempDir) {
    let root = tempfile::tempdir().unwrap();
    let history = History::open(root.path(), 100, false).unwrap();
    let server = TestServer::start_with(|config| config.history = Some(history)).await;
    (server, root)
}

/// What a name may have and nobody sees: the list and a page of an error show it.
#[tokio::test]
async fn hidden_characters_are_shown() {
    let server = TestServer::start_with(|config| config.on_duplicate = OnDuplicate::Error).await;
    fs::write(server.path("in\u{200b}voice.pdf"), "").unwrap();
    let list = get(&server, "/").await;
    let link = r#"<a href="files/in%E2%80%8Bvoice.pdf">in\u{200b}voice.pdf</a>"#;
    assert!(list.text().contains(link), "{}", list.text());

    let form = "--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"in\u{200b}voice.pdf\"\r\n\r\n\r\n--b--\r\n";
    let mut client = server.connect().await;
    client
        .send(format!(
            "POST / HTTP/1.1\r\nHost: localhost:1\r\nAccept: text/html\r\n\
             Content-Type: multipart/form-data; boundary=b\r\nContent-Length: {}\r\n\r\n{form}",
            form.len()
        ))
        .await;
    let refused = client.response().await;
    assert_eq!(refused.status, 409);
    assert!(
        refused.text().contains(r"in\u{200b}voice.pdf"),
        "{}",
        refused.text()
    );
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
            .contains("<a href=\"files/%3Cb%3E%26.txt\">&lt;b&gt;&amp;.txt</a>")
    );
    assert!(
        page.text()
            .contains("curl -T FILE <span id=\"address\">http://localhost:1/</span>")
    );
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
        file.head
            .contains("filename=\"naïve page.html\"; filename*=UTF-8''na%C3%AFve%20page.html\r\n")
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

#[tokio::test]
async fn lists_the_latest_uploads() {
    check(TestServer::start().await).await;
    let (server, _root) = with_history().await;
    check(server).await;

    async fn check(server: TestServer) {
        let mut feed = server.feed().await;
        assert!(get(&server, "/").await.text().contains("No upload yet."));
        feed.connection().await;
        let mut client = server.connect().await;
        for _ in 0..21 {
            assert_eq!(client.put("%3Cb%3E", b"12345").await.status, 201);
            feed.upload().await;
        }
        client
            .send("PUT /broken HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nabc")
            .await;
        client.finish_sending().await;
        assert_eq!(feed.upload().await.outcome, Outcome::Aborted);
        fs::remove_file(server.path("<b> (20)")).unwrap();

        let page = listed(&server, "/", "t/22").await;
        assert!(page.contains("aborted: the client closed the connection"));
        assert!(page.contains("<bdi class=\"name\">broken</bdi>"));
        let stored = "<a href=\"files/%3Cb%3E%20%2819%29\">&lt;b&gt; (19)</a>";
        assert!(page.contains(stored), "{page}");
        // A removed file has no link.
        assert!(page.contains("<bdi class=\"name\">&lt;b&gt; (20)</bdi>"));
        assert_eq!(page.matches("\"t/").count(), 20);
        assert!(page.contains("<a href=\"./?before=3\">Older uploads</a>"));

        let older = listed(&server, "/?before=3", "t/2").await;
        assert_eq!(older.matches("\"t/").count(), 2);
        assert!(older.contains("<a href=\"./\">Latest uploads</a>") && !older.contains("before="));
        assert_eq!(get(&server, "/?before=x").await.status, 400);
    }
}

/// The page, once it has this text: a record may reach the history a little after the feed.
async fn listed(server: &TestServer, target: &str, expected: &str) -> String {
    let asked = async {
        loop {
            let page = get(server, target).await.text().to_owned();
            if page.contains(&format!("\"{expected}\"")) {
                return page;
            }
        }
    };
    within_limit(asked).await
}

/// However many files there are, a page has a bounded number of bytes, and all files are on some page.
#[tokio::test]
async fn a_long_list_of_files_has_pages() {
    let server = TestServer::start().await;
    for number in 0..3_000 {
        fs::write(server.path(format!("{number} & more")), "").unwrap();
    }
    let mut seen = HashSet::new();
    let mut target = "/?before=7".to_owned();
    let mut pages = 0;
    loop {
        let page = get(&server, &target).await;
        assert_eq!(page.status, 200, "{target}");
        let page = page.text();
        assert!(page.len() < 60_000, "{} bytes", page.len());
        assert!(page.contains(" of 3000 files: "));
        assert_eq!(
            page.contains("\"./?before=7#files\">Latest files"),
            pages > 0
        );
        let files = page.split("<h2 id=\"files\">").nth(1).unwrap();
        let names = files.split("%20%26%20more\">").skip(1);
        seen.extend(names.map(|rest| rest.split('<').next().unwrap().to_owned()));
        pages += 1;
        let Some((before, _)) = files.split_once("#files\">Older files") else {
            break;
        };
        let next = before.rsplit("href=\".").next().unwrap();
        target = next.replace("&amp;", "&");
    }
    assert_eq!((pages, seen.len()), (15, 3_000));
    assert_eq!(get(&server, "/?files_after=x").await.status, 400);
}

/// A name from right to left does not turn the text around it.
#[tokio::test]
async fn names_are_isolated() {
    let server = TestServer::start().await;
    let mut feed = server.feed().await;
    let mut client = server.connect().await;
    let name = "%D7%A9%D7%9C%D7%95%D7%9D.png";
    assert_eq!(client.put(name, b"12345").await.status, 201);
    feed.upload().await;
    let page = listed(&server, "/", "t/1").await;
    assert_eq!(page.matches("<bdi class=\"name\"><a").count(), 2, "{page}");
    assert_eq!(page.matches("<bdi>שלום.png</bdi>").count(), 1, "{page}");
    let page = get(&server, "/t/1").await;
    assert!(page.text().contains("<h1><bdi>שלום.png</bdi></h1>"));
}

#[tokio::test]
async fn hands_its_parts_out() {
    let server = TestServer::start().await;
    let page = get(&server, "/").await;
    let policy = page.field("content-security-policy").unwrap();
    assert!(!policy.contains("unsafe") && !policy.contains("http"));
    assert!(!page.text().contains("<style") && !page.text().contains(" style="));
    for (name, media_type) in [("page.css", "text/css"), ("page.js", "text/javascript")] {
        let target = format!("/page/{name}");
        assert!(page.text().contains(&format!("\"page/{name}\"")));
        let part = get(&server, &target).await;
        assert_eq!(part.status, 200);
        assert!(part.field("content-type").unwrap().starts_with(media_type));
        assert_eq!(part.field("cache-control"), Some("no-cache"));
        let tag = part.field("etag").unwrap();
        for (known, status) in [(tag, 304), ("\"other\", W/\"x\"", 200), ("*", 304)] {
            let fields = format!("If-None-Match: {known}\r\n");
            let again = get_with(&server, &target, &fields).await;
            assert_eq!((again.status, again.field("etag")), (status, Some(tag)));
        }
    }
    assert_eq!(get(&server, "/page/page.rs").await.status, 404);
}

/// Each script imports others by their address.
#[tokio::test]
async fn no_script_misses_another() {
    let server = TestServer::start().await;
    let mut wanted = vec!["page.js".to_owned()];
    let mut seen = 0;
    while let Some(name) = wanted.get(seen).cloned() {
        seen += 1;
        let script = get(&server, &format!("/page/{name}")).await;
        assert_eq!(script.status, 200, "{name}");
        for import in script.text().split("from \"./").skip(1) {
            let import = import.split('"').next().unwrap().to_owned();
            if !wanted.contains(&import) {
                wanted.push(import);
            }
        }
    }
    assert!(seen > 1);
}

#[tokio::test]
async fn shows_the_size_limit() {
    let server = TestServer::start_with(|config| config.limits.max_size = Some(2_500_000)).await;
    let page = get(&server, "/").await;
    assert!(page.text().contains("Files may have up to 2.5 MB."));
    assert!(page.text().contains("data-most=\"2500000\""));
    assert!(page.text().contains("data-download=\"files/\""));
    let server = TestServer::start_with(|config| config.access.offer.download = false).await;
    let page = get(&server, "/").await;
    assert!(page.text().contains("data-most=\"\"") && page.text().contains("data-download=\"\""));
}

#[tokio::test]
async fn a_record_names_the_clients_own_id() {
    let server = TestServer::start().await;
    let mut feed = server.feed().await;
    let mut client = server.connect().await;
    let long = "x".repeat(129);
    for (id, expected) in [("7f-a", Some("7f-a")), ("", None), (&long, None)] {
        let field = format!("X-Request-Id: {id}\r\n");
        assert_eq!(client.put_with(&field, "file", b"abc").await.status, 201);
        assert_eq!(feed.upload().await.request_id.as_deref(), expected);
    }
}
