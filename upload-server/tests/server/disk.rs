//! A disk that is full, in a mount namespace that the server has for itself.

use std::{
    fs,
    os::unix::fs::MetadataExt,
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
    let detail = response.problem()["detail"].to_string();
    let needed = "too little space on the disk: the upload needs 5.0 MB, 4.";
    assert!(
        detail.contains(needed) && detail.contains(" MB are free"),
        "{detail}"
    );
    let upload = feed.upload().await;
    assert_eq!((upload.outcome, upload.bytes), (Outcome::DiskFull, 0));
    assert_eq!(names(&server, root.path()), [""; 0].map(PathBuf::from));
}

/// Only where the disk is none in memory, on which it would cost too much.
#[tokio::test]
async fn has_its_room_taken_before_the_body() {
    let root = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let server = Running::start(root.path()).await;
    let mut client = Client::connect(server.address).await;
    client.send(expecting_put_head("file", 3_000_000)).await;
    assert_eq!(client.response().await.status, 100);

    let file = names(&server, root.path()).pop().unwrap();
    let file = fs::File::open(file).unwrap();
    let metadata = file.metadata().unwrap();
    assert_eq!(metadata.len(), 0);
    let in_memory = rustix::fs::fstatfs(&file).unwrap().f_type == 0x0102_1994;
    assert_eq!(metadata.blocks() * 512 >= 3_000_000, !in_memory);
    client.send(content(3_000_000)).await;
    assert_eq!(client.response().await.status, 201);
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
