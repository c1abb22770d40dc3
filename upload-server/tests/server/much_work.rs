//! Requests that cost their client little, and the server much. Each has a budget.

use std::{fmt::Write, fs, path::Path};

use upload_server::record::MAX_TARGET;

use crate::{
    client::Client,
    feed::Feed,
    history::history,
    process::{Running, control, tempdir},
};

const MIB: u64 = 1024 * 1024;

/// The most memory that the server has had.
fn peak_memory(server: &Running) -> u64 {
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
fn form(files: usize, target: &str) -> String {
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
    let target = format!("/?{}", "x".repeat(60_000));
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
