//! Parallel uploads: partial uploads that are put together (tus 1.0, Concatenation).

use std::{fs, net::SocketAddr, path::Path, process::Stdio, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD};
use ring::digest::{SHA256, digest};
use rustix::process::Signal;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Command,
};
use upload_server::{
    record::{FeedLine, Outcome, Upload},
    server::OnDuplicate,
};

use crate::{
    client::{Client, Response, content},
    process::{Running, tempdir},
    programs::{node_package, run, script},
    proxy::Proxy,
    random::Random,
    test_server::{TestServer, within_limit},
    tus::{address_of, ask, bytes, head, patch},
};

const LENGTH: usize = 900_000;

/// Sends a part of a file; where it is.
async fn partial(address: SocketAddr, part: &[u8], sent: usize) -> String {
    let mut client = Client::connect(address).await;
    let fields = format!(
        "Upload-Concat: partial\r\nUpload-Length: {}\r\n{}",
        part.len(),
        bytes(sent)
    );
    client.send(head("POST", "/tus/", &fields)).await;
    client.send(&part[..sent]).await;
    let response = client.response().await;
    assert_eq!(response.status, 201, "{}", response.text());
    address_of(&response)
}

async fn parts(address: SocketAddr, content: &[u8]) -> Vec<String> {
    let mut parts = Vec::new();
    for part in content.chunks(content.len().div_ceil(3)) {
        parts.push(partial(address, part, part.len()).await);
    }
    parts
}

fn final_head(parts: &[String], name: &str, fields: &str) -> String {
    let name = BASE64_STANDARD.encode(name);
    let fields = format!(
        "Upload-Concat: final;{}\r\nUpload-Metadata: filename {name}\r\nContent-Length: 0\r\n{fields}",
        parts.join(" ")
    );
    head("POST", "/tus/", &fields)
}

async fn put_together(address: SocketAddr, parts: &[String], name: &str) -> Response {
    let mut client = Client::connect(address).await;
    client.send(final_head(parts, name, "")).await;
    client.response().await
}

fn assert_visible(server: &TestServer, expected: &[&str]) {
    let mut names = server.names();
    names.retain(|name| !name.starts_with('.'));
    assert_eq!(names, expected);
}

#[tokio::test]
async fn becomes_one_file_with_one_record() {
    let server = TestServer::start_with(|config| config.sha256 = true).await;
    let content = content(LENGTH);
    let mut parts = parts(server.address, &content).await;
    assert_visible(&server, &[]);
    for part in &parts {
        let about = ask(server.address, "HEAD", part).await;
        assert_eq!(about.field("upload-concat"), Some("partial"));
        assert_eq!(about.field("upload-offset"), about.field("upload-length"));
    }
    // Proxies have names and paths of their own.
    parts[0] = format!("https://files.example/upload{}", parts[0]);
    parts[1] = parts[1].replace("/tus/", "");
    let response = put_together(server.address, &parts, "whole").await;
    assert_eq!(response.status, 201, "{}", response.text());
    assert_eq!(response.field("upload-offset"), Some("900000"));
    assert!(response.field("link").is_some());
    assert!(fs::read(server.path("whole")).unwrap() == content);

    // A client that missed the answer asks again.
    let again = put_together(server.address, &parts, "whole").await;
    assert_eq!(
        (again.status, again.field("location")),
        (201, response.field("location"))
    );
    let other = put_together(server.address, &parts, "other").await;
    assert_eq!(other.status, 400);
    let reordered = [parts[1].clone(), parts[0].clone()];
    assert_eq!(
        put_together(server.address, &reordered, "other")
            .await
            .status,
        400
    );
    assert_visible(&server, &["whole"]);

    let target = address_of(&response);
    let about = ask(server.address, "HEAD", &target).await;
    let list = format!("final;{}", parts.join(" "));
    assert_eq!(about.field("upload-concat"), Some(&*list));
    assert_eq!(about.field("upload-length"), Some("900000"));
    assert_eq!(about.field("upload-offset"), Some("900000"));
    assert_eq!(
        patch(server.address, &target, 900_000, b"", "")
            .await
            .status,
        403
    );
    assert_eq!(ask(server.address, "DELETE", &target).await.status, 404);

    let mut feed = server.feed().await;
    server.stop().await;
    let (mut uploads, mut published) = (Vec::new(), Vec::new());
    while let Some(line) = feed.next().await {
        match line {
            FeedLine::Upload(upload) if upload.outcome == Outcome::Complete => uploads.push(upload),
            FeedLine::Part(part) => published.push(part),
            _ => {}
        }
    }
    let [upload] = &uploads[..] else {
        panic!("one upload, one record: {uploads:?}");
    };
    assert_parts(upload, &[300_000; 3]);
    assert_eq!(
        (upload.bytes, upload.stored_bytes),
        (900_000, Some(900_000))
    );
    let sha256 = digest(&SHA256, &content);
    let sha256: String = sha256
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(upload.sha256, Some(sha256));
    assert_eq!(published.len(), 3);
    for (line, part) in published.iter().zip(&upload.connections) {
        assert_eq!(
            (line.part.cookie, line.part.bytes),
            (part.cookie, part.bytes)
        );
        assert_eq!(
            (&line.name, line.length, line.part.offset),
            (&None, Some(300_000), 0)
        );
    }
}

/// The record names what carried each part, in the order of the file.
fn assert_parts(upload: &Upload, lengths: &[u64]) {
    let mut end = 0;
    let mut cookies = Vec::new();
    for (part, length) in upload.connections.iter().zip(lengths) {
        assert_eq!((part.offset, part.bytes), (end, *length));
        end += part.bytes;
        cookies.push(part.cookie);
    }
    assert_eq!(cookies.len(), lengths.len());
    cookies.sort();
    cookies.dedup();
    assert_eq!(cookies.len(), lengths.len());
}

#[tokio::test]
async fn refuses_what_makes_no_file() {
    let server = TestServer::start_with(|config| {
        config.on_duplicate = OnDuplicate::Error;
        config.limits.max_size = Some(10);
    })
    .await;
    fs::write(server.path("taken"), "").unwrap();
    let address = server.address;
    let refuse = async |parts: &[String], name: &str, fields: &str, status, expected: &str| {
        let mut client = Client::connect(address).await;
        client.send(final_head(parts, name, fields)).await;
        let response = client.response().await;
        let problem = response.problem();
        let detail = problem["detail"].as_str().unwrap();
        assert_eq!(response.status, status, "{detail}");
        assert!(detail.contains(expected), "{detail}");
    };
    let abc = partial(address, b"abc", 3).await;
    let part = partial(address, b"defg", 2).await;
    let both = [abc.clone(), part.clone()];
    refuse(
        &both,
        "file",
        "",
        409,
        "upload 2 of the list is not complete yet",
    )
    .await;
    assert_eq!(patch(address, &part, 2, b"fg", "").await.status, 204);
    refuse(&both, "taken", "", 409, "exists").await;
    refuse(
        &both,
        "file",
        "Upload-Length: 8\r\n",
        400,
        "Upload-Length is not for a final",
    )
    .await;
    let twice = [abc.clone(), part.clone(), abc.clone()];
    refuse(&twice, "file", "", 400, "names an upload twice").await;
    let large = [
        abc.clone(),
        part.clone(),
        partial(address, b"hijk", 4).await,
    ];
    refuse(&large, "file", "", 413, "larger than 10 bytes").await;
    let whole = crate::tus::create(address, "whole", 1).await;
    refuse(
        &[whole],
        "file",
        "",
        400,
        "upload 1 of the list is not a partial upload",
    )
    .await;

    let mut client = Client::connect(address).await;
    let with_bytes = final_head(&both, "file", "").replace("Length: 0", "Length: 1");
    client.send(with_bytes + "x").await;
    assert_eq!(client.response().await.status, 403);
    // Nothing of this has touched the parts.
    let stored = put_together(address, &both, "file").await;
    assert_eq!(stored.status, 201, "{}", stored.text());
    assert_eq!(fs::read(server.path("file")).unwrap(), b"abcdefg");
    assert_visible(&server, &["file", "taken"]);
}

#[tokio::test]
async fn parts_are_cancelled_or_expire() {
    let server = TestServer::start_with(|config| {
        config.resume_within = Duration::from_millis(300);
    })
    .await;
    let mut feed = server.feed().await;
    let first = partial(server.address, b"abc", 3).await;
    let cancelled = ask(server.address, "DELETE", &first).await.status;
    // On a slow machine it has expired.
    assert!([204, 404].contains(&cancelled), "{cancelled}");
    partial(server.address, b"defg", 2).await;
    partial(server.address, b"hijk", 4).await;
    for _ in 0..3 {
        let upload = feed.next_upload().await;
        assert_eq!((upload.outcome, upload.name), (Outcome::Aborted, None));
    }
    while !server.names().is_empty() {
        tokio::task::yield_now().await;
    }
}

/// Whenever the server is killed: the client asks again, and has the file.
#[tokio::test]
async fn outlives_a_kill_while_it_is_put_together() {
    const ROUNDS: usize = 4;
    const LENGTH: usize = 12_000_000;
    let root = tempdir();
    let files = root.path().join("files");
    let content = content(LENGTH);
    let mut random = Random::new();
    let mut unanswered = 0;
    for round in 0..ROUNDS {
        let name = format!("file {round}");
        let server = Running::start(root.path()).await;
        let parts = parts(server.address, &content).await;
        let mut client = Client::connect(server.address).await;
        client.send(final_head(&parts, &name, "")).await;
        let moment = random.below(LENGTH) as u64;
        while !has_reached(&files, moment, &name) {
            tokio::task::yield_now().await;
        }
        server.stop_with(Signal::KILL).await;
        unanswered += usize::from(client.try_status().await.is_none());

        let server = Running::start(root.path()).await;
        let stored = put_together(server.address, &parts, &name).await;
        assert_eq!(stored.status, 201, "{}", stored.text());
        assert!(fs::read(files.join(&name)).unwrap() == content, "{name}");
        for entry in fs::read_dir(&files).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let is_file = name.starts_with("file ") && !name.contains('(');
            let is_description = name.starts_with(".tus-") && name.ends_with(".json");
            // How long the uploads are kept is counted there.
            let is_time = name == ".tus-time";
            assert!(is_file || is_description || is_time, "{name} is left");
        }
        server.stop_with(Signal::TERM).await;
    }
    println!("{unanswered} of {ROUNDS} were killed before their answer");
    assert!(unanswered > 0);
}

/// Whether a file that is being put together has this length, or its name.
fn has_reached(files: &Path, length: u64, name: &str) -> bool {
    let entries = fs::read_dir(files).unwrap().map(Result::unwrap);
    let mut new = entries.filter(|entry| {
        let found = entry.file_name().into_string().unwrap();
        found == name || found.starts_with(".tus-") && !found.ends_with(".json")
    });
    new.any(|entry| {
        entry
            .metadata()
            .is_ok_and(|found| found.len() > length.max(4_000_000))
    })
}

/// tus-js-client, by each of its options. Each file has a length of its own, so that none can be taken
/// for another.
#[tokio::test]
async fn stores_what_tus_js_client_sends() {
    let server = TestServer::start().await;
    let proxy = Proxy::start(server.address, [400_000, 700_000, 100_000, 900_000]).await;
    let directory = server.path("../sent");
    fs::create_dir(&directory).unwrap();
    let mut client = Command::new("node");
    client
        .arg(script("server/tus_options.mjs"))
        .arg(node_package("tus-js-client"))
        .arg(format!("http://{}/tus", server.address))
        .arg(format!("http://{}/tus/", proxy.address))
        .arg(&directory);
    let output = run(&mut client).await;
    let mut names = Vec::new();
    for line in output.lines() {
        let (name, sent) = line.split_once('\t').unwrap();
        let stored = fs::read(server.path(name)).unwrap();
        assert!(stored == fs::read(directory.join(sent)).unwrap(), "{name}");
        names.push(name);
    }
    names.sort_unstable();
    assert_visible(&server, &names);
    assert_eq!(names.len(), 14);
}

/// As an app sends a folder: each file in three parts, and several files at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stores_a_folder_of_small_files() {
    const FILES: usize = 1_000;
    let server = TestServer::start().await;
    let folder = server.path("../folder");
    fs::create_dir(&folder).unwrap();
    let content = content(4_000);
    for number in 0..FILES {
        let file = &content[number..][..number * 7 % 2_500];
        fs::write(folder.join(format!("naïve {number}.txt")), file).unwrap();
    }
    let mut client = Command::new("node")
        .arg(script("server/tus_folder.mjs"))
        .arg(node_package("tus-js-client"))
        .arg(format!("http://{}/tus/", server.address))
        .arg(&folder)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut names = BufReader::new(client.stdout.take().unwrap()).lines();
    let mut files = 0;
    while let Some(name) = within_limit(names.next_line()).await.unwrap() {
        let stored = fs::read(server.path(&name)).unwrap();
        assert!(stored == fs::read(folder.join(&name)).unwrap(), "{name}");
        files += 1;
    }
    assert!(within_limit(client.wait()).await.unwrap().success());
    assert_eq!(files, FILES);
    let mut names = server.names();
    names.retain(|name| !name.starts_with(".tus-"));
    assert_eq!(names.len(), FILES);
}
