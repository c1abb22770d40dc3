//! The files that a killed server leaves, and what the next server does with them.

use std::{fs, path::Path};

use rustix::process::Signal;

use crate::{
    client::{Client, content, expecting_put_head},
    process::{Running, tempdir},
};

fn names(root: &Path) -> Vec<String> {
    let entries = fs::read_dir(root.join("files")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

async fn begin(server: &Running) -> Client {
    let mut client = Client::connect(server.address).await;
    client.send(expecting_put_head("file", 2_000_000)).await;
    assert_eq!(client.response().await.status, 100);
    client.send(&content(2_000_000)[..1_000_000]).await;
    client
}

#[tokio::test]
async fn is_removed_at_the_next_start() {
    let root = tempdir();
    let server = Running::start(root.path()).await;
    let _client = begin(&server).await;
    server.stop_with(Signal::KILL).await;
    assert!(names(root.path())[0].starts_with('.'), "nothing was left");

    fs::write(root.path().join("files/.mine"), "").unwrap();
    let server = Running::start(root.path()).await;
    let mut client = Client::connect(server.address).await;
    assert_eq!(client.put("file", b"whole").await.status, 201);
    assert_eq!(names(root.path()), [".mine", "file"]);
}

#[tokio::test]
async fn another_servers_work_is_left_alone() {
    let root = tempdir();
    let first = Running::start(root.path()).await;
    let mut early = begin(&first).await;
    let other = root.path().join("other");
    fs::create_dir(&other).unwrap();
    std::os::unix::fs::symlink(root.path().join("files"), other.join("files")).unwrap();
    let second = Running::start(&other).await;
    let mut late = begin(&second).await;

    for client in [&mut early, &mut late] {
        client.send(&content(2_000_000)[1_000_000..]).await;
        assert_eq!(client.response().await.status, 201);
    }
    assert_eq!(names(root.path()), ["file", "file (1)"]);
    for name in ["file", "file (1)"] {
        let stored = fs::read(root.path().join("files").join(name)).unwrap();
        assert!(stored == content(2_000_000), "{name}");
    }
}
