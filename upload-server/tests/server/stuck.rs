//! A server whose log, whose feed or whose disk is stuck: it serves as long as it can, and ends after a signal.

use std::{
    fs::{self, File, OpenOptions},
    io::Read,
    path::Path,
    process::Stdio,
};

use rustix::process::Signal;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::UnixStream,
    process::Command,
    task::yield_now,
};

use crate::{
    client::{Client, expecting_put_head, put_head},
    feed::Feed,
    process::{PROGRAM, Running, control, stderr, tempdir},
    test_server::within_limit,
};

/// The lines for so many uploads are more than a pipe has room for.
const MANY: usize = 300;

/// A server, and the pipe to which it writes its log.
async fn serve_into_pipe(root: &Path) -> (Running, File) {
    let path = root.join("pipe");
    let made = Command::new("mkfifo").arg(&path).status().await;
    assert!(made.unwrap().success());
    let pipe = OpenOptions::new().read(true).write(true).open(&path);
    let mut command = Command::new("sh");
    command
        .args(["-c", "exec 2>\"$0\" && exec \"$@\""])
        .arg(path);
    command.arg(PROGRAM);
    (Running::start_as(command, root).await, pipe.unwrap())
}

async fn upload_many(server: &Running) {
    let mut client = Client::connect(server.address).await;
    for number in 0..MANY {
        let head = put_head(&format!("file-{number}"), 5);
        client.send(head + "whole").await;
        assert_eq!(client.response().await.status, 201);
    }
}

#[tokio::test]
async fn nobody_reads_the_log() {
    let root = tempdir();
    let (server, mut pipe) = serve_into_pipe(root.path()).await;
    upload_many(&server).await;
    let mut log = vec![0; 1 << 20];
    let read = pipe.read(&mut log).unwrap();
    let log_before = String::from_utf8_lossy(&log[..read]).into_owned();
    assert!(log_before.ends_with('\n'), "a line is cut");
    upload_many(&server).await;
    let read = pipe.read(&mut log).unwrap();
    let log = String::from_utf8_lossy(&log[..read]);
    let (first, _) = log.split_once('\n').unwrap();
    assert!(first.ends_with(" lines of the log are left out: its reader did not keep up"));
    assert_eq!(server.stop_with(Signal::TERM).await, Some(0));
}

#[tokio::test]
async fn the_reader_of_the_log_has_ended() {
    let root = tempdir();
    let (server, pipe) = serve_into_pipe(root.path()).await;
    drop(pipe);
    upload_many(&server).await;
    assert_eq!(server.stop_with(Signal::TERM).await, Some(0));
}

#[tokio::test]
async fn nobody_reads_the_feed() {
    let root = tempdir();
    let server = Running::start(root.path()).await;
    let mut feed = UnixStream::connect(control(root.path())).await.unwrap();
    let get = b"GET /uploads HTTP/1.1\r\nHost: control\r\n\r\n";
    feed.write_all(get).await.unwrap();
    feed.readable().await.unwrap();
    upload_many(&server).await;
    assert_eq!(server.stop_with(Signal::TERM).await, Some(0));
}

/// A disk that does not answer. The second signal does not wait for it.
#[tokio::test]
async fn a_file_is_never_flushed() {
    let root = tempdir();
    let server = Running::start_with(&["--fsync"], root.path()).await;
    let mut client = Client::connect(server.address).await;
    client.send(expecting_put_head("file", 5)).await;
    assert_eq!(client.response().await.status, 100);
    let mut strace = Command::new("strace")
        .args(["--follow-forks", "--trace=fsync", "--output=/dev/null"])
        .args(["--inject=fsync:delay_enter=3600s", "--attach"])
        .arg(server.pid().to_string())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut reports = BufReader::new(strace.stderr.take().unwrap()).lines();
    let attached = within_limit(reports.next_line()).await.unwrap().unwrap();
    assert!(attached.contains("attached"), "{attached}");
    client.send("whole").await;
    within_limit(until(|| is_stuck(&server))).await;
    server.signal(Signal::TERM);
    assert!(server.next_notification().await.contains("STOPPING=1"));
    server.signal(Signal::TERM);
    let ends = "the process ends without it";
    within_limit(until(|| stderr(root.path()).contains(ends))).await;
    // A process that is traced ends with the tracer.
    drop(strace);
    assert_eq!(server.end().await, Some(1));
}

/// Three batches of a body, which are written one after the other.
#[tokio::test]
async fn a_slow_disk_is_in_the_record() {
    const BYTES: usize = 3 << 20;
    let root = tempdir();
    let mut command = Command::new("strace");
    command
        .args(["--daemonize", "--follow-forks", "--output=/dev/null"])
        .args(["--trace=writev", "--inject=writev:delay_enter=300ms"])
        .arg(PROGRAM);
    let server = Running::start_as(command, root.path()).await;
    let mut feed = Feed::open(&control(root.path())).await;
    let mut client = Client::connect(server.address).await;
    assert_eq!(client.put("file", &vec![0; BYTES]).await.status, 201);
    let times = feed.upload().await.times;
    let all = times.stored_ns.unwrap() - times.body_first_ns.unwrap();
    let waited = times.disk_ns.unwrap();
    assert!((600_000_000..=all).contains(&waited), "{times:?}");
}

/// Whether a thread of the server is held in a call.
fn is_stuck(server: &Running) -> bool {
    let tasks = fs::read_dir(format!("/proc/{}/task", server.pid())).unwrap();
    tasks.flatten().any(|task| {
        let stat = fs::read_to_string(task.path().join("stat"));
        stat.is_ok_and(|stat| stat.contains(") t "))
    })
}

async fn until(is_true: impl Fn() -> bool) {
    while !is_true() {
        yield_now().await;
    }
}
