//! The wall clock is set ahead, in the server's eyes: libfaketime changes it, and the clocks that count
//! stay. No resumable upload is lost by that.

use std::fs;

use tokio::process::Command;

use crate::{
    client::content,
    process::{PROGRAM, Running, tempdir},
    tus::{ask, create, patch},
};

const LENGTH: usize = 100_000;

/// A server whose wall clock is ahead by what the file says.
async fn serve(root: &std::path::Path) -> Running {
    // The command `faketime` would be another process between the test and the server.
    let library = Command::new("faketime")
        .args(["-f", "+0", "printenv", "LD_PRELOAD"])
        .output();
    let library = library.await.unwrap().stdout;
    let mut command = Command::new(PROGRAM);
    command
        .args(["--resume-within", "3600"])
        .env("LD_PRELOAD", String::from_utf8(library).unwrap().trim())
        .env("FAKETIME_TIMESTAMP_FILE", root.join("ahead"))
        .env("FAKETIME_NO_CACHE", "1")
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .env("NO_FAKE_STAT", "1");
    Running::start_as(command, root).await
}

#[tokio::test]
async fn loses_no_resumable_upload() {
    let root = tempdir();
    let ahead = root.path().join("ahead");
    fs::write(&ahead, "+0").unwrap();
    let server = serve(root.path()).await;
    let content = content(LENGTH);
    let target = create(server.address, "file", LENGTH).await;
    let first = patch(server.address, &target, 0, &content[..1_000], "").await;
    assert_eq!(first.status, 204);

    fs::write(&ahead, "+400d").unwrap();
    let upload = ask(server.address, "HEAD", &target).await;
    assert_eq!(upload.status, 200, "while the server runs");
    let date = upload.field("upload-expires").unwrap().to_owned();
    server.stop_with(rustix::process::Signal::TERM).await;

    // The first search for expired uploads is at the start.
    let server = serve(root.path()).await;
    let upload = ask(server.address, "HEAD", &target).await;
    assert_eq!(upload.status, 200, "after a restart");
    assert_eq!(upload.field("upload-offset"), Some("1000"));
    let rest = patch(server.address, &target, 1_000, &content[1_000..], "").await;
    assert_eq!(rest.status, 204);
    assert!(fs::read(root.path().join("files/file")).unwrap() == content);
    // The jump was one for the server.
    let expires = httpdate::parse_http_date(&date).unwrap();
    let days = expires
        .duration_since(std::time::SystemTime::now())
        .unwrap();
    assert!(days.as_secs() > 399 * 24 * 3_600, "{date}");
}
