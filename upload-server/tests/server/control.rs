//! The control socket, as curl sees it.

use std::{
    fs::{self, Permissions},
    os::unix::fs::{FileTypeExt as _, PermissionsExt as _},
    path::Path,
    process::Stdio,
};

use rustix::process::Signal;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Command,
};
use upload_server::record::FeedLine;

use crate::{
    process::{PROGRAM, Running, tempdir},
    test_server::{TestServer, within_limit},
};

async fn curl(control: &Path, arguments: &[&str]) -> String {
    let output = Command::new("curl")
        .args(["-s", "-w", "%{http_code}", "--unix-socket"])
        .arg(control)
        .args(arguments)
        .output();
    String::from_utf8(within_limit(output).await.unwrap().stdout).unwrap()
}

#[tokio::test]
async fn curl_follows_the_uploads() {
    let server = TestServer::start().await;
    server.connect().await.put("before", b"1").await;
    let mut curl = Command::new("curl")
        .args(["-sN", "--unix-socket"])
        .arg(server.control())
        .arg("http://control/uploads")
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(curl.stdout.take().unwrap()).lines();
    let mut next = async || {
        let line = within_limit(lines.next_line()).await.unwrap().unwrap();
        serde_json::from_str::<FeedLine>(&line).unwrap()
    };
    let FeedLine::Server(identity) = next().await else {
        panic!("the server comes first")
    };
    assert_eq!(identity.pid, std::process::id());
    assert_eq!(identity.listen, [server.address]);
    assert!(matches!(next().await, FeedLine::Upload(upload) if upload.id == "1"));
    assert!(matches!(next().await, FeedLine::Connection(end) if end.requests == 1));
    server.connect().await.put("after", b"2").await;
    assert!(matches!(next().await, FeedLine::Upload(upload) if upload.id == "2"));

    server.stop().await;
    assert!(
        within_limit(curl.wait()).await.unwrap().success(),
        "the feed ends properly"
    );
}

#[tokio::test]
async fn remembers_uploads_before_connection_ends() {
    let server = TestServer::start().await;
    let mut live = server.feed().await;
    for name in ["one", "two"] {
        server.connect().await.put(name, b"x").await;
        live.upload().await;
        live.connection().await;
    }
    let mut remembered = server.feed().await;
    assert_eq!(remembered.server, live.server);
    assert_eq!(remembered.upload().await.id, "1");
    assert_eq!(remembered.upload().await.id, "2");
    remembered.connection().await;
    remembered.connection().await;
}

#[tokio::test]
async fn keeps_timelines() {
    let server = TestServer::start().await;
    let mut feed = server.feed().await;
    server.connect().await.put("file", b"x").await;
    feed.upload().await;
    let large = format!("@{}", server.path("large").display());
    fs::write(server.path("large"), " ".repeat(1024 * 1024 + 1)).unwrap();

    check(&server, "1", None, "404").await;
    check(&server, "1", Some("{\"phases\":[1]}"), "204").await;
    check(&server, "1", None, "{\"phases\":[1]}200").await;
    check(&server, "1", Some("[]"), "204").await;
    check(&server, "1", None, "[]200").await;
    check(&server, "1", Some("{"), "400").await;
    check(&server, "1", Some(&large), "413").await;
    check(&server, "2", Some("{}"), "404").await;
    check(&server, "2", None, "404").await;

    async fn check(server: &TestServer, id: &str, timeline: Option<&str>, expected: &str) {
        let url = format!("http://control/uploads/{id}/timeline");
        let mut arguments = vec![url.as_str()];
        if let Some(timeline) = timeline {
            arguments.extend(["--data-binary", timeline]);
        }
        let answer = curl(&server.control(), &arguments).await;
        assert!(answer.ends_with(expected), "{id} {timeline:?}: {answer}");
    }
}

/// In a directory where others may write, somebody else could have bound the name first.
#[tokio::test]
async fn the_default_is_in_a_directory_of_the_user_alone() {
    let root = tempdir();
    let folder = |name: &str, mode| {
        let folder = root.path().join(name);
        fs::create_dir(&folder).unwrap();
        fs::set_permissions(&folder, Permissions::from_mode(mode)).unwrap();
        folder
    };
    let (shared, own) = (folder("shared", 0o1777), folder("own", 0o700));
    let mut command = Command::new(PROGRAM);
    command
        .env("RUNTIME_DIRECTORY", &shared)
        .env("XDG_RUNTIME_DIR", &own);
    let server = Running::start_without_control(command, root.path()).await;
    let socket = fs::metadata(own.join("upload-server.sock")).unwrap();
    assert!(socket.file_type().is_socket());
    assert_eq!(fs::read_dir(&shared).unwrap().count(), 0);
    assert_eq!(server.stop_with(Signal::TERM).await, Some(0));
    assert_eq!(fs::read_dir(&own).unwrap().count(), 0);
}
