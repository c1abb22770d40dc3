//! A query may be a secret, such as a token. It reaches nobody but the server.

use std::fs;

use tokio::process::Command;

use crate::{
    client::Client,
    feed::Feed,
    history::history,
    process::{PROGRAM, Running, control, stderr, tempdir},
    tus::head,
};

const SECRET: &str = "SECRET4711";

#[tokio::test]
async fn is_in_no_record() {
    let root = tempdir();
    let mut command = Command::new(PROGRAM);
    command.env("RUST_LOG", "trace");
    let server = Running::start_as(command, root.path()).await;
    let mut feed = Feed::open(&control(root.path())).await;
    let put = format!(
        "PUT /put?token={SECRET} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx"
    );
    let fields = "Upload-Length: 0\r\nContent-Length: 0\r\n";
    let resumable = head("POST", &format!("/tus/?token={SECRET}"), fields);
    let mut client = Client::connect(server.address).await;
    for (request, target) in [(put, "/put"), (resumable, "/tus/")] {
        let length = format!("{target}?token={SECRET}").len();
        client.send(request).await;
        assert_eq!(client.response().await.status, 201);
        let upload = feed.upload().await;
        assert_eq!(upload.target, target);
        assert_eq!(upload.target_bytes, Some(length as u64));
        assert!(upload.has_target(&format!("{target}?token={SECRET}")));
    }
    for (upload, _) in history(root.path(), "?limit=9").await {
        assert!(!upload.target.contains('?'), "{}", upload.target);
    }
    let log = stderr(root.path());
    assert!(log.contains("/put"), "{log}");
    assert!(!log.contains(SECRET), "{log}");
    server.stop_with(rustix::process::Signal::TERM).await;
    for directory in ["state", "files"] {
        for entry in fs::read_dir(root.path().join(directory)).unwrap() {
            let path = entry.unwrap().path();
            let bytes = fs::read(&path).unwrap_or_default();
            let mut windows = bytes.windows(SECRET.len());
            let found = windows.any(|window| window == SECRET.as_bytes());
            assert!(!found, "{}", path.display());
        }
    }
}
