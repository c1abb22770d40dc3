//! A disk that is full, in a mount namespace that the server has for itself.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use rustix::process::Signal;
use tokio::process::Command;
use upload_server::record::Outcome;

use crate::{
    client::{Client, chunked_put_head, content, expecting_put_head},
    feed::Feed,
    history::history,
    process::{PROGRAM, Running, control, stderr, tempdir},
};

/// A server whose uploads go to a disk of 4 MiB.
pub(crate) async fn serve(root: &Path) -> Running {
    serve_on(
        ("size=4m", "files"),
        root,
        &["--min-free", "0", "--min-free-inodes", "0"],
    )
    .await
}

/// A server with a disk in memory at a directory, with these options of tmpfs.
pub(crate) async fn serve_on(
    (disk, directory): (&str, &str),
    root: &Path,
    arguments: &[&str],
) -> Running {
    let directory = root.join(directory);
    fs::create_dir(&directory).unwrap();
    let script = format!("mount -t tmpfs -o {disk} none \"$0\" && exec \"$@\"");
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "--map-root-user", "sh", "-c", &script])
        .arg(directory)
        .arg(PROGRAM)
        .args(arguments);
    Running::start_as(command, root).await
}

/// A directory as the server has it.
fn within(server: &Running, root: &Path, directory: &str) -> PathBuf {
    let root = root.display();
    format!("/proc/{}/root{root}/{directory}", server.pid()).into()
}

pub(crate) fn names(server: &Running, root: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(within(server, root, "files")).unwrap();
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

/// What a form has stored before stays, and nothing else.
#[tokio::test]
async fn fills_up_within_a_form() {
    let root = tempdir();
    let server = serve(root.path()).await;
    let part = |name| format!("--b\r\nContent-Disposition: form-data; filename={name}\r\n\r\n");
    let mut body = format!("{}whole\r\n{}", part("small"), part("large")).into_bytes();
    body.extend(content(8_000_000));
    body.extend(b"\r\n--b--\r\n");
    let mut client = Client::connect(server.address).await;
    // What announces its length is refused at the start.
    let head = format!(
        "POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\
         Content-Type: multipart/form-data; boundary=b\r\n\r\n{:x}\r\n",
        body.len()
    );
    client.send(head).await;
    client.send(body).await;
    client.send("\r\n0\r\n\r\n").await;
    let response = client.response().await;
    assert_eq!(response.status, 507, "{}", response.text());
    let stored = within(&server, root.path(), "files").join("small");
    assert_eq!(fs::read(&stored).unwrap(), b"whole");
    assert_eq!(names(&server, root.path()), [stored]);
    let mut client = Client::connect(server.address).await;
    assert_eq!(client.put("next", &content(3_000_000)).await.status, 201);
}

#[tokio::test]
async fn is_full_under_the_history_for_a_while() {
    let root = tempdir();
    let server = serve_on(("size=4m", "state"), root.path(), &["--min-free", "0"]).await;
    let filler = within(&server, root.path(), "state").join("filler");
    let mut disk = fs::File::create(&filler).unwrap();
    while disk.write_all(&[0; 4096]).is_ok() {}
    let reports = |report| stderr(root.path()).matches(report).count();
    let mut client = Client::connect(server.address).await;
    // Until then, the log of the database has room in itself.
    let mut number = 0;
    while reports("the history cannot be written") == 0 {
        assert!(number < 500);
        number += 1;
        let name = format!("file-{number}");
        assert_eq!(client.put(&name, b"whole").await.status, 201);
    }
    for name in ["one", "two", "three"] {
        assert_eq!(client.put(name, b"whole").await.status, 201);
    }
    assert_eq!(reports("the history cannot be written"), 1);
    assert_eq!(reports("the history is written again"), 0);

    drop(disk);
    fs::remove_file(filler).unwrap();
    assert_eq!(client.put("after", b"whole").await.status, 201);
    let kept = history(root.path(), "").await;
    assert_eq!(kept[0].0.name.as_deref(), Some("after"));
    assert_eq!(reports("the history cannot be written"), 1);
    assert_eq!(reports("the history is written again"), 1);
    drop(client);
    assert_eq!(server.stop_with(Signal::TERM).await, Some(0));
}
