//! A disk that is full, in a mount namespace that the server has for itself.

use std::{
    fs,
    path::{Path, PathBuf},
};

use tokio::process::Command;
use upload_server::record::Outcome;

use crate::{
    client::{Client, chunked_put_head, content, expecting_put_head},
    feed::Feed,
    process::{PROGRAM, Running, control, tempdir},
};

/// A server whose uploads go to a disk of 4 MiB.
async fn serve(root: &Path) -> Running {
    let files = root.join("files");
    fs::create_dir(&files).unwrap();
    let script = "mount -t tmpfs -o size=4m none \"$0\" && exec \"$@\"";
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "--map-root-user", "sh", "-c", script])
        .arg(files)
        .args([PROGRAM, "--min-free", "0"]);
    Running::start_as(command, root).await
}

fn names(server: &Running, root: &Path) -> Vec<PathBuf> {
    let within = format!("/proc/{}/root{}/files", server.pid(), root.display());
    let entries = fs::read_dir(within).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

#[tokio::test]
async fn is_found_full_before_the_body() {
    let root = tempdir();
    let server = serve(root.path()).await;
    let mut feed = Feed::open(&control(root.path())).await;
    let mut client = Client::connect(server.address).await;
    client.send(expecting_put_head("file", 5_000_000)).await;
    let response = client.response().await;
    assert_eq!(response.status, 507);
    response.problem();
    let upload = feed.upload().await;
    assert_eq!((upload.outcome, upload.bytes), (Outcome::DiskFull, 0));
    assert_eq!(names(&server, root.path()), [""; 0].map(PathBuf::from));

    // What is promised to one is not promised to another.
    let mut held = Client::connect(server.address).await;
    held.send(expecting_put_head("held", 3_000_000)).await;
    assert_eq!(held.response().await.status, 100);
    let mut other = Client::connect(server.address).await;
    other.send(expecting_put_head("other", 3_000_000)).await;
    assert_eq!(other.response().await.status, 507);
    held.send(content(3_000_000)).await;
    assert_eq!(held.response().await.status, 201);
}

#[tokio::test]
async fn fills_up_within_a_body() {
    let root = tempdir();
    let server = serve(root.path()).await;
    let mut feed = Feed::open(&control(root.path())).await;
    let mut client = Client::connect(server.address).await;
    client.send(chunked_put_head("file")).await;
    client.send(format!("{:x}\r\n", 8_000_000)).await;
    client.send(content(8_000_000)).await;
    client.send("\r\n0\r\n\r\n").await;
    let response = client.response().await;
    assert_eq!(response.status, 507);
    response.problem();
    assert_eq!(feed.upload().await.outcome, Outcome::DiskFull);
    assert_eq!(names(&server, root.path()), [""; 0].map(PathBuf::from));

    let mut client = Client::connect(server.address).await;
    assert_eq!(client.put("small", &content(1_000_000)).await.status, 201);
}
