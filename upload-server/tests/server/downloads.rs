//! Downloads: whole, in part, and only where the client does not have the file yet.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use ring::digest::{SHA256, digest};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncWrite, BufReader},
    net::UnixStream,
    process::{Child, Command},
};

use crate::{
    client::{Client, Response, content},
    process::curl,
    programs::run,
    test_server::{TestServer, within_limit},
};

const BYTES: usize = 1_000_000;

async fn request(server: &TestServer, method: &str, target: &str, fields: &str) -> Response {
    request_over(server.connect().await, method, target, fields).await
}

async fn request_over<S>(
    mut client: Client<S>,
    method: &str,
    target: &str,
    fields: &str,
) -> Response
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let head = format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n");
    client.send(head).await;
    match method {
        "HEAD" => client.response_head().await,
        _ => client.response().await,
    }
}

/// nginx with this folder at `/files/`, on a socket in the other one.
async fn start_nginx(files: &Path, root: &Path) -> (Child, PathBuf) {
    let (at, socket) = (root.display(), root.join("socket"));
    let text = format!(
        "daemon off; master_process off; pid {at}/pid; error_log stderr notice; events {{}}\n\
         http {{ access_log off; client_body_temp_path {at}/body; proxy_temp_path {at}/proxy;\n\
         fastcgi_temp_path {at}/fastcgi; uwsgi_temp_path {at}/uwsgi; scgi_temp_path {at}/scgi;\n\
         server {{ listen unix:{}; location /files/ {{ alias {}/; }} }} }}",
        socket.display(),
        files.display()
    );
    fs::write(root.join("nginx.conf"), text).unwrap();
    let mut nginx = Command::new("nginx")
        .args(["-e", "stderr", "-c", "nginx.conf", "-p"])
        .arg(root)
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut log = BufReader::new(nginx.stderr.take().unwrap()).lines();
    let mut line = String::new();
    while !line.contains("using the \"epoll\" event method") {
        line = within_limit(log.next_line()).await.unwrap().unwrap();
    }
    // nginx ends when nobody reads its log.
    tokio::spawn(async move { while let Ok(Some(_)) = log.next_line().await {} });
    (nginx, socket)
}

/// nginx answers each request in the same way, but for the cases that say why not.
#[tokio::test]
async fn are_answered_as_by_nginx() {
    let server = TestServer::start().await;
    let root = tempfile::tempdir().unwrap();
    fs::write(server.path("cat.png"), content(BYTES)).unwrap();
    fs::write(server.path("empty"), "").unwrap();
    let (_nginx, nginx) = start_nginx(&server.path(""), root.path()).await;
    let same = [
        "",
        "Range: bytes=0-0",
        "Range: bytes=0-",
        "Range: bytes=999999-",
        "Range: bytes=500000-2000000",
        "Range: bytes=-1",
        "Range: bytes=-2000000",
        "Range: bytes=1000000-",
        "Range: bytes=1000000-1000001",
        "Range: bytes=5-10\r\nIf-Range: TAG",
        "Range: bytes=5-10\r\nIf-Range: \"other\"",
        "Range: bytes=5-10\r\nIf-Range: DATE",
        "Range: bytes=5-10\r\nIf-Range: Mon, 05 Feb 2024 10:00:00 GMT",
        "If-None-Match: TAG",
        "If-None-Match: W/TAG",
        "If-None-Match: \"other\", TAG",
        "If-None-Match: *",
        "If-None-Match: \"other\"",
        "If-None-Match: other",
        "If-Match: other",
        "If-None-Match: \"other\"\r\nIf-Modified-Since: DATE",
        "If-Modified-Since: DATE",
        "If-Modified-Since: Mon, 05 Feb 2024 10:00:00 GMT",
        "If-Modified-Since: yesterday",
        "If-Match: TAG",
        "If-Match: *",
        "If-Match: \"other\"",
        "If-Match: \"other\"\r\nIf-None-Match: TAG",
        "If-Unmodified-Since: DATE",
        "If-Unmodified-Since: Mon, 05 Feb 2024 10:00:00 GMT",
        "If-None-Match: TAG\r\nRange: bytes=0-5",
        "If-Match: TAG\r\nRange: bytes=0-5",
    ];
    let target = "/files/cat.png";
    let own_head = request(&server, "HEAD", target, "").await;
    let head = Client::over(UnixStream::connect(&nginx).await.unwrap());
    let other_head = request_over(head, "HEAD", target, "").await;
    let mut differences = Vec::new();
    for method in ["GET", "HEAD"] {
        for fields in same {
            let with = |known: &Response| {
                let fields = fields.replace("TAG", known.field("etag").unwrap());
                let fields = fields.replace("DATE", known.field("last-modified").unwrap());
                let end = if fields.is_empty() { "" } else { "\r\n" };
                format!("{fields}{end}")
            };
            let own = request(&server, method, target, &with(&own_head)).await;
            let nginx = Client::over(UnixStream::connect(&nginx).await.unwrap());
            let other = request_over(nginx, method, target, &with(&other_head)).await;
            // Only GET has ranges (RFC 9110, 14.2). nginx gives HEAD one, too.
            if method == "HEAD" && [206, 416].contains(&other.status) {
                assert_eq!(own.status, 200, "{fields}");
                continue;
            }
            let (own, other) = (essence(&own), essence(&other));
            if own != other {
                differences.push((method, fields, own, other));
            }
        }
    }
    assert!(differences.is_empty(), "{differences:#?}");

    /// What a client sees of a download. The fields of another answer are the server's own choice.
    fn essence(answer: &Response) -> (u16, Vec<Option<String>>, [u8; 32]) {
        let field = |name| answer.field(name).map(str::to_owned);
        let mut fields = vec![field("content-range")];
        let mut sha256 = [0; 32];
        if answer.status < 300 {
            fields.extend(["content-length", "last-modified"].map(field));
            sha256.copy_from_slice(digest(&SHA256, &answer.body).as_ref());
        }
        (answer.status, fields, sha256)
    }
}

/// Where the answer is the server's own choice.
#[tokio::test]
async fn that_make_no_sense_get_a_sensible_answer() {
    let server = TestServer::start().await;
    fs::write(server.path("cat.png"), content(BYTES)).unwrap();
    fs::write(server.path("empty"), "").unwrap();
    let largest = "Range: bytes=5-18446744073709551615\r\n";
    let rest = request(&server, "GET", "/files/cat.png", largest).await;
    assert_eq!((rest.status, rest.body.len()), (206, BYTES - 5));
    for (target, fields, status) in [
        // All of the file is a valid answer to several ranges, and to one that cannot be read.
        ("cat.png", "Range: bytes=0-5,10-20", 200),
        ("cat.png", "Range: bytes=5-2", 200),
        ("cat.png", "Range: lines=0-5", 200),
        ("cat.png", "Range: bytes=-0", 416),
        ("empty", "Range: bytes=0-", 416),
        ("empty", "Range: bytes=-5", 200),
    ] {
        let fields = format!("{fields}\r\n");
        let target = format!("/files/{target}");
        let got = request(&server, "GET", &target, &fields).await;
        assert_eq!(got.status, status, "{target} {fields}");
        match status {
            416 => assert!(got.field("content-range").unwrap().starts_with("bytes */")),
            _ => assert_eq!(got.field("content-range"), None),
        }
    }
    let wanted = "Want-Repr-Digest: sha-256=1\r\n";
    let whole = request(&server, "GET", "/files/cat.png", wanted).await;
    let fields = format!("{wanted}Range: bytes=10-19\r\n");
    let part = request(&server, "GET", "/files/cat.png", &fields).await;
    assert_eq!(part.body, content(20)[10..]);
    assert!(whole.field("repr-digest").is_some());
    assert_eq!(part.field("repr-digest"), whole.field("repr-digest"));
}

/// Names as curl, wget and Chromium write them to the disk.
#[tokio::test]
async fn get_the_right_name() {
    let server = TestServer::start().await;
    let names = ["cat.png", "naïve 猫.png", "100% (1); x='y'.txt"];
    let folder = tempfile::tempdir().unwrap();
    for name in names {
        fs::write(server.path(name), name).unwrap();
        let name = percent_encoding::utf8_percent_encode(name, percent_encoding::NON_ALPHANUMERIC);
        let url = format!("http://{}/files/{name}?of=curl", server.address);
        let into = folder.path().to_str().unwrap();
        curl(&["-sSOJ", "--output-dir", into, &url]).await;
    }
    check(folder.path(), &names);

    let folder = tempfile::tempdir().unwrap();
    for name in names {
        let name = percent_encoding::utf8_percent_encode(name, percent_encoding::NON_ALPHANUMERIC);
        let mut wget = Command::new("wget");
        wget.args([
            "-q",
            "--content-disposition",
            "--restrict-file-names=nocontrol",
        ])
        .arg(format!("http://{}/files/{name}?of=wget", server.address))
        .env("LC_ALL", "C.UTF-8")
        .current_dir(folder.path());
        run(&mut wget).await;
    }
    check(folder.path(), &names);

    fn check(folder: &Path, names: &[&str]) {
        for name in names {
            let found = fs::read_to_string(folder.join(name));
            let there: Vec<_> = fs::read_dir(folder).unwrap().collect();
            assert_eq!(found.ok().as_deref(), Some(*name), "{there:?}");
        }
    }
}

#[tokio::test]
async fn are_resumed() {
    let server = TestServer::start().await;
    fs::write(server.path("cat.png"), content(BYTES)).unwrap();
    let url = format!("http://{}/files/cat.png", server.address);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cat.png");
    for begun in [1, BYTES - 1, BYTES] {
        fs::write(&path, content(begun)).unwrap();
        curl(&["-sS", "-C", "-", "-o", path.to_str().unwrap(), &url]).await;
        assert!(
            fs::read(&path).unwrap() == content(BYTES),
            "curl from {begun}"
        );

        fs::write(&path, content(begun)).unwrap();
        let mut wget = Command::new("wget");
        wget.args(["-q", "-c", &url]).current_dir(folder.path());
        run(&mut wget).await;
        assert!(
            fs::read(&path).unwrap() == content(BYTES),
            "wget from {begun}"
        );
    }
    // curl keeps the tag, and asks for the file again only if it has changed.
    let tag = folder.path().join("tag");
    let tag = tag.to_str().unwrap();
    let out = path.to_str().unwrap();
    let code = ["-sS", "-w", "%{http_code}", "-o", out, &url];
    let first = curl(&[&code[..], &["--etag-save", tag]].concat()).await;
    assert_eq!(first.stdout, b"200");
    let again = curl(&[&code[..], &["--etag-compare", tag]].concat()).await;
    assert_eq!(again.stdout, b"304");
    fs::write(server.path("new"), content(BYTES)).unwrap();
    fs::rename(server.path("new"), server.path("cat.png")).unwrap();
    let changed = curl(&[&code[..], &["--etag-compare", tag]].concat()).await;
    assert_eq!(changed.stdout, b"200");
}

/// The address of a PUT leads to the file.
#[tokio::test]
async fn are_found_where_the_file_was_sent() {
    let server = TestServer::start().await;
    let mut client = server.connect().await;
    assert_eq!(client.put("a%20cat.png", b"meow").await.status, 201);
    // As PUT does, GET takes an address with a slash too many.
    for slash in ["", "/"] {
        let url = format!("http://{}{slash}/a%20cat.png", server.address);
        assert_eq!(curl(&["-sSL", &url]).await.stdout, b"meow");
    }
    let url = format!("http://{}/a%20cat.png", server.address);
    let mut wget = Command::new("wget");
    assert_eq!(run(wget.args(["-qO-", &url])).await, "meow");
    for method in ["GET", "HEAD"] {
        let found = request(&server, method, "/a%20cat.png", "").await;
        assert_eq!(found.status, 307);
        assert_eq!(found.field("location"), Some("files/a%20cat.png"));
    }
    let sealed = TestServer::start_with(|config| config.access.offer.download = false).await;
    fs::write(sealed.path("cat.png"), "meow").unwrap();
    for (server, target) in [
        (&server, "/dog.png"),
        (&server, "/.hidden"),
        (&sealed, "/dog.png"),
    ] {
        let missing = request(server, "GET", target, "").await;
        assert_eq!(missing.status, 404);
        let detail = missing.problem()["detail"].to_string();
        assert!(detail.contains("send it with PUT"), "{detail}");
    }
    // Where nothing can be downloaded, no answer tells which files exist.
    let there = request(&sealed, "GET", "/cat.png", "").await;
    let missing = request(&sealed, "GET", "/dog.png", "").await;
    assert_eq!((there.status, there.text()), (404, missing.text()));
}
