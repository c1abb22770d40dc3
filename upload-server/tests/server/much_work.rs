//! Requests that cost their client little, and the server much. Each has a budget.

use std::{fmt::Write, fs, path::Path};

use bytes::Bytes;
use h2::client::SendRequest;
use hyper::Request;
use rustix::process::Signal;
use tokio::{net::TcpStream, process::Command};
use upload_server::record::MAX_TARGET;

use crate::{
    client::{Client, content},
    feed::Feed,
    history::history,
    process::{PROGRAM, Running, control, tempdir},
    test_server::within_limit,
    tus::{address_of, head},
};

pub(crate) const MIB: u64 = 1024 * 1024;

/// The digest of a file of this length takes an hour.
const LARGE: u64 = 4 << 40;

/// The most memory that the server has had.
pub(crate) fn peak_memory(server: &Running) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let kibibytes = line.unwrap().split_ascii_whitespace().nth(1).unwrap();
    kibibytes.parse::<u64>().unwrap() * 1024
}

/// The bytes of the history's files.
fn history_bytes(root: &Path) -> u64 {
    let files = fs::read_dir(root.join("state")).unwrap();
    files
        .map(|file| file.unwrap().metadata().unwrap().len())
        .sum()
}

/// A form of files of one byte each.
pub(crate) fn form(files: usize, target: &str) -> String {
    let mut body = String::new();
    for number in 0..files {
        let part = "--b\r\nContent-Disposition: form-data; filename=";
        write!(body, "{part}{number}\r\n\r\nx\r\n").unwrap();
    }
    body += "--b--\r\n";
    format!(
        "POST {target} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\
         Content-Type: multipart/form-data; boundary=b\r\n\r\n{body}",
        body.len()
    )
}

/// Without limits, each file would take the length of the target several times.
#[tokio::test]
async fn a_form_of_many_files_with_a_long_target() {
    const FILES: usize = 3_000;
    let root = tempdir();
    let server = Running::start(root.path()).await;
    let mut feed = Feed::open(&control(root.path())).await;
    let mut client = Client::connect(server.address).await;
    let before = peak_memory(&server);
    let target = "/".repeat(60_002);
    client.send(form(FILES, &target)).await;
    let published = async {
        let mut published = Vec::new();
        for _ in 0..FILES {
            published.push(feed.upload().await);
        }
        published
    };
    let (response, published) = tokio::join!(client.response(), published);
    assert_eq!(response.status, 201, "{}", response.text());
    for (upload, number) in published.into_iter().zip(1..) {
        assert_eq!(upload.name, Some((number - 1).to_string()));
        assert_eq!(upload.target, target[..MAX_TARGET]);
        assert_eq!(upload.target_bytes, Some(60_002));
        // The first go on before the response.
        let is_held = number > FILES - 32;
        assert_eq!(upload.status, is_held.then_some(201), "{number}");
        assert_eq!(upload.times.sent_ns.is_some(), is_held);
        assert!(upload.times.stored_ns.is_some());
    }
    let kept = history(root.path(), &format!("?limit={FILES}")).await;
    assert_eq!(kept.len(), FILES);
    for (upload, _) in kept {
        assert_eq!(upload.status, Some(201), "{}", upload.id);
        assert!(upload.times.stored_ns < upload.times.response_ns);
        assert!(upload.times.response_ns <= upload.times.sent_ns);
    }
    let memory = peak_memory(&server) - before;
    assert!(memory < 48 * MIB, "{} MiB", memory / MIB);
    let history = history_bytes(root.path());
    assert!(history < 64 * MIB, "{} MiB", history / MIB);
}

/// A client of HTTP/2 that lets the server send the heads of its answers, and one byte of each.
pub(crate) async fn takes_no_answer(server: &Running) -> SendRequest<Bytes> {
    let stream = TcpStream::connect(server.address).await.unwrap();
    let (client, connection) = h2::client::Builder::new()
        .initial_window_size(1)
        .handshake(stream)
        .await
        .unwrap();
    tokio::spawn(connection);
    within_limit(client.ready()).await.unwrap()
}

/// How many descriptors the server has.
pub(crate) fn descriptors(server: &Running) -> usize {
    fs::read_dir(format!("/proc/{}/fd", server.pid()))
        .unwrap()
        .count()
}

#[tokio::test]
async fn downloads_that_nobody_reads() {
    const CONNECTIONS: usize = 12;
    const EACH: usize = 100;
    const BYTES: usize = 1_000_000;
    let root = tempdir();
    let mut limited = Command::new("sh");
    limited.args(["-c", "ulimit -n 1024; exec \"$0\" \"$@\"", PROGRAM]);
    limited.args(["--http2", "--idle-timeout", "1", "--max-downloads", "64"]);
    let server = Running::start_as(limited, root.path()).await;
    let mut other = Client::connect(server.address).await;
    assert_eq!(other.put("large", &content(BYTES)).await.status, 201);
    let (descriptors_before, memory_before) = (descriptors(&server), peak_memory(&server));

    let mut answered = [0, 0];
    let (mut clients, mut answers) = (Vec::new(), Vec::new());
    for _ in 0..CONNECTIONS {
        let mut client = takes_no_answer(&server).await;
        for _ in 0..EACH {
            let get = Request::get("http://localhost/files/large");
            let (answer, _) = client.send_request(get.body(()).unwrap(), true).unwrap();
            let answer = within_limit(answer).await.unwrap();
            match answer.status().as_u16() {
                200 => answered[0] += 1,
                503 => answered[1] += 1,
                status => panic!("{status}"),
            }
            answers.push(answer);
        }
        clients.push(client);
    }
    let [begun, refused] = answered;
    assert!(begun >= 64, "{begun}");
    assert_eq!(begun + refused, CONNECTIONS * EACH);
    let most = descriptors_before + CONNECTIONS + 64;
    let now = descriptors(&server);
    assert!(now <= most + 8, "{now} instead of {most}");
    let memory = peak_memory(&server) - memory_before;
    assert!(memory < 80 * MIB, "{} MiB", memory / MIB);
    assert_eq!(other.put("another", b"file").await.status, 201);

    // Each answer is given up, and its connection goes on.
    for answer in answers.iter_mut().filter(|answer| answer.status() == 200) {
        while let Some(Ok(_)) = within_limit(answer.body_mut().data()).await {}
    }
    let get = "GET /files/large HTTP/1.1\r\nHost: localhost\r\n\r\n";
    other.send(get).await;
    let response = other.response().await;
    assert_eq!(response.status, 200);
    assert!(response.body == content(BYTES));
    // The refusals, which nobody has read either.
    answers.clear();
    for client in &mut clients {
        let get = Request::get("http://localhost/healthz");
        let (answer, _) = client.send_request(get.body(()).unwrap(), true).unwrap();
        assert_eq!(within_limit(answer).await.unwrap().status(), 200);
    }
}

/// The processor time of the server, in ticks.
pub(crate) fn ticks(server: &Running) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{}/stat", server.pid())).unwrap();
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    // The 14th and the 15th of all.
    let times = fields.split(' ').skip(11).take(2);
    times.map(|ticks| ticks.parse::<u64>().unwrap()).sum()
}

/// Each list takes a system call for each file.
#[tokio::test]
async fn lists_of_many_files() {
    const FILES: usize = 20_000;
    const GET: &str = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let root = tempdir();
    let server = Running::start(root.path()).await;
    for number in 0..FILES {
        fs::write(root.path().join(format!("files/{number}")), "").unwrap();
    }
    let mut other = Client::connect(server.address).await;
    let begun = ticks(&server);
    other.send(GET).await;
    assert!(other.response().await.text().contains("200 of 20000 files"));
    let of_one = ticks(&server) - begun;

    let (begun, memory) = (ticks(&server), peak_memory(&server));
    let mut clients = Vec::new();
    for _ in 0..60 {
        let mut client = Client::connect(server.address).await;
        client.send(GET).await;
        clients.push(client);
    }
    // A list has every file that was there when it was asked for.
    assert_eq!(other.put("latest", b"").await.status, 201);
    other.send(GET).await;
    let list = other.response().await;
    assert!(list.text().contains(">latest</a>"), "{}", list.text());
    for client in &mut clients {
        assert_eq!(client.response().await.status, 200);
    }
    let of_many = ticks(&server) - begun;
    assert!(
        of_many < 10 * of_one + 20,
        "{of_many} instead of {of_one} ticks"
    );
    let memory = peak_memory(&server) - memory;
    assert!(memory < 32 * MIB, "{} MiB", memory / MIB);
}

/// A file that takes no space.
pub(crate) fn sparse(root: &Path, name: &str, bytes: u64) {
    let file = fs::File::create(root.join("files").join(name)).unwrap();
    file.set_len(bytes).unwrap();
}

async fn ask_for_digest(server: &Running, name: &str) -> Client {
    let mut client = Client::connect(server.address).await;
    let fields = "Host: localhost\r\nWant-Repr-Digest: sha-256=1";
    let head = format!("HEAD /files/{name} HTTP/1.1\r\n{fields}\r\n\r\n");
    client.send(head).await;
    client
}

#[tokio::test]
async fn a_digest_that_many_want() {
    const BYTES: u64 = 512 * MIB;
    let root = tempdir();
    let server = Running::start(root.path()).await;
    sparse(root.path(), "one", BYTES);
    sparse(root.path(), "many", BYTES);
    let begun = ticks(&server);
    let mut client = ask_for_digest(&server, "one").await;
    let expected = client.response_head().await;
    let expected = expected.field("repr-digest").unwrap();
    let of_one = ticks(&server) - begun;

    let (begun, memory) = (ticks(&server), peak_memory(&server));
    let mut clients = Vec::new();
    for _ in 0..100 {
        clients.push(ask_for_digest(&server, "many").await);
    }
    for client in &mut clients {
        let response = client.response_head().await;
        assert_eq!(response.field("repr-digest"), Some(expected));
    }
    let mut late = ask_for_digest(&server, "many").await;
    assert_eq!(
        late.response_head().await.field("repr-digest"),
        Some(expected)
    );
    let of_many = ticks(&server) - begun;
    assert!(of_many < 3 * of_one, "{of_many} instead of {of_one} ticks");
    let memory = peak_memory(&server) - memory;
    assert!(memory < 32 * MIB, "{} MiB", memory / MIB);

    // What changes has another digest.
    sparse(root.path(), "many", 1);
    let mut client = ask_for_digest(&server, "many").await;
    let changed = client.response_head().await;
    let changed = changed.field("repr-digest").unwrap();
    assert_ne!(changed, expected);
}

#[tokio::test]
async fn digests_that_nobody_waits_for() {
    let root = tempdir();
    let server = Running::start_with(&["--http2"], root.path()).await;
    let mut feed = Feed::open(&control(root.path())).await;
    let mut other = Client::connect(server.address).await;
    assert_eq!(other.put("small", b"1").await.status, 201);
    feed.upload().await;
    let before = descriptors(&server);
    let (mut clients, mut in_streams) = (Vec::new(), Vec::new());
    for number in 0..4 {
        let name = format!("large-{number}");
        sparse(root.path(), &name, LARGE);
        clients.push(ask_for_digest(&server, &name).await);
        let mut client = takes_no_answer(&server).await;
        let head = Request::head(format!("http://localhost/files/{name}"));
        let head = head.header("want-repr-digest", "sha-256=1");
        let (answer, _) = client.send_request(head.body(()).unwrap(), true).unwrap();
        in_streams.push((client, answer));
    }
    // Each client has its connection and its file.
    while descriptors(&server) < before + 16 {
        assert_eq!(other.put("small", b"2").await.status, 201);
        feed.upload().await;
    }
    // A client may wait for four digests at a time: it gets the next file without.
    sparse(root.path(), "large-5", LARGE);
    let mut fifth = ask_for_digest(&server, "large-5").await;
    let response = fifth.response_head().await;
    assert_eq!(
        (response.status, response.field("repr-digest")),
        (200, None)
    );
    // A client that ends its side gets the file at once.
    let mut half = clients.pop().unwrap();
    half.finish_sending().await;
    let response = half.response_head().await;
    assert_eq!(
        (response.status, response.field("repr-digest")),
        (200, None)
    );

    drop((clients, in_streams, fifth, half));
    for _ in 0..9 {
        feed.connection().await;
    }
    while descriptors(&server) > before {
        assert_eq!(other.put("small", b"3").await.status, 201);
    }
}

/// How many threads the server has.
fn threads(server: &Running) -> usize {
    fs::read_dir(format!("/proc/{}/task", server.pid()))
        .unwrap()
        .count()
}

/// Completes a resumable upload of bytes that take no space.
async fn finish_large_upload(server: &Running, root: &Path) -> Client {
    let mut client = Client::connect(server.address).await;
    let create = "Upload-Defer-Length: 1\r\nContent-Length: 0\r\n";
    client.send(head("POST", "/tus/", create)).await;
    let address = address_of(&client.response().await);
    let id = address.rsplit('/').next().unwrap();
    sparse(root, &format!(".tus-{id}"), LARGE);
    let fields = format!(
        "Upload-Offset: {LARGE}\r\nUpload-Length: {LARGE}\r\nContent-Length: 0\r\n\
         Content-Type: application/offset+octet-stream\r\n"
    );
    client.send(head("PATCH", &address, &fields)).await;
    client
}

#[tokio::test]
async fn digests_of_resumable_uploads() {
    const UPLOADS: usize = 24;
    let root = tempdir();
    let arguments = ["--sha256", "--grace", "0.1"];
    let server = Running::start_with(&arguments, root.path()).await;
    let mut other = Client::connect(server.address).await;
    let mut clients = Vec::new();
    for _ in 0..UPLOADS {
        clients.push(finish_large_upload(&server, root.path()).await);
    }
    let begun = ticks(&server);
    while ticks(&server) < begun + 50 {
        assert_eq!(other.put("small", b"").await.status, 201);
    }
    let threads = threads(&server);
    assert!(threads < UPLOADS, "{threads}");

    // They end with the server, and are left for the next one.
    assert_eq!(server.stop_with(Signal::TERM).await, Some(0));
    let names = fs::read_dir(root.path().join("files")).unwrap();
    let bytes = names.map(|name| name.unwrap().metadata().unwrap().len());
    assert_eq!(bytes.filter(|&bytes| bytes == LARGE).count(), UPLOADS);
}
