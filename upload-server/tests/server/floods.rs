//! Frames of HTTP/2, and bytes of HTTP/1.1, that cost their client nothing and go on without end. Each flood has a
//! budget of memory and of lines in the log, and others are served meanwhile.

use std::{fs, future::pending, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, sleep, timeout},
};

use crate::{
    client::{Client, content},
    much_work::{peak_memory, sparse, ticks},
    process::{Running, stderr, tempdir},
};

const MIB: u64 = 1024 * 1024;

/// How many bytes a flood has.
const BYTES: usize = 512 * 1024;

/// The memory that a byte may take, and a connection with its uploads besides.
const PER_BYTE: u64 = 20;
const OF_CONNECTION: u64 = MIB;

/// The processor time that a byte may take, in microseconds, without optimisation and with others at work.
const MICROSECONDS: u64 = 20;

/// A shorter request has no line in the log.
const SHORTEST_REQUEST: usize = 32;

/// A server that reads nothing for so long holds the client back.
const HELD_BACK: Duration = Duration::from_secs(1);

const LOOK_AGAIN: Duration = Duration::from_millis(5);

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const UNKNOWN: u8 = 0xfa;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

/// A frame (RFC 9113, 4.1).
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let stream = stream.to_be_bytes();
    [&length[1..], &[kind, flags], &stream, payload].concat()
}

/// A field without a place in a table (RFC 7541, 6.2.2).
fn field(name: &str, value: &str) -> Vec<u8> {
    let length = |text: &str| u8::try_from(text.len()).ok().filter(|length| *length < 127);
    let (name_length, value_length) = (length(name).unwrap(), length(value).unwrap());
    [
        &[0, name_length],
        name.as_bytes(),
        &[value_length],
        value.as_bytes(),
    ]
    .concat()
}

pub(crate) fn request(method: &str, path: &str) -> Vec<u8> {
    [
        field(":method", method),
        field(":scheme", "http"),
        field(":authority", "localhost"),
        field(":path", path),
    ]
    .concat()
}

/// The beginning of a connection.
pub(crate) fn preface() -> Vec<u8> {
    [
        &b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..],
        &frame(SETTINGS, 0, 0, &[]),
    ]
    .concat()
}

/// Sends until the server closes, holds back, or has it all. Returns how much it took.
async fn send(stream: &mut TcpStream, bytes: &[u8], reads: bool) -> usize {
    let route = (stream.local_addr().unwrap(), stream.peer_addr().unwrap());
    let (mut from, mut to) = stream.split();
    let reading = async {
        let mut answers = vec![0; 64 * 1024];
        while reads && from.read(&mut answers).await.is_ok_and(|read| read > 0) {}
        pending::<()>().await;
    };
    let sending = async {
        let mut sent = 0;
        while sent < bytes.len() {
            match timeout(HELD_BACK, to.write(&bytes[sent..])).await {
                Ok(Ok(more)) => sent += more,
                Ok(Err(_)) | Err(_) => break,
            }
        }
        sent.saturating_sub(unread(route).await)
    };
    tokio::select! {
        sent = sending => sent,
        () = reading => unreachable!(),
    }
}

/// How many bytes from one address to the other the server leaves unread: none where it has closed.
async fn unread((from, to): (SocketAddr, SocketAddr)) -> usize {
    let mut before = None;
    let mut since = Instant::now();
    loop {
        // While sockets come and go, a table may lack one that is there.
        let queues = [in_queue(from, to, 0), in_queue(to, from, 1)];
        let unread = queues.iter().flatten().sum();
        if before != Some(queues) {
            (before, since) = (Some(queues), Instant::now());
        }
        let is_read = unread == 0 && since.elapsed() > 5 * LOOK_AGAIN;
        if is_read || since.elapsed() > HELD_BACK {
            return unread;
        }
        sleep(LOOK_AGAIN).await;
    }
}

/// The bytes in the queue of a socket, if it is there: of those to send, or of those received (proc(5)).
fn in_queue(local: SocketAddr, remote: SocketAddr, queue: usize) -> Option<usize> {
    let address = |address: SocketAddr| format!("0100007F:{:04X}", address.port());
    let (local, remote) = (address(local), address(remote));
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let mut lines = table
        .lines()
        .map(|line| line.split_ascii_whitespace().collect());
    let fields = lines.find(|fields: &Vec<_>| fields[1] == local && fields[2] == remote)?;
    let bytes = fields[4].split(':').nth(queue)?;
    usize::from_str_radix(bytes, 16).ok()
}

struct Flooded {
    root: tempfile::TempDir,
    server: Running,
}

impl Flooded {
    async fn start() -> Self {
        let root = tempdir();
        let server = Running::start_with(&["--http2"], root.path()).await;
        let mut client = Client::connect(server.address).await;
        let stored = client.put("large", &content(1_000_000)).await;
        assert_eq!(stored.status, 201);
        Self { root, server }
    }

    /// The beginning, and then the same again and again. The client reads the answers, or not.
    async fn check(&self, name: &str, beginning: Vec<u8>, again: impl Fn(u32) -> Vec<u8>) {
        self.check_bytes(name, endless(beginning, again, BYTES))
            .await;
    }

    async fn check_bytes(&self, name: &str, bytes: Vec<u8>) {
        for reads in [true, false] {
            let (sent, memory) = self.flood(name, &bytes, reads).await;
            let most = sent as u64 * PER_BYTE + OF_CONNECTION;
            assert!(memory < most, "{name}: {memory} bytes of memory for {sent}");
        }
    }

    /// Returns how many bytes the server has read, and how much memory it has taken.
    async fn flood(&self, name: &str, bytes: &[u8], reads: bool) -> (usize, u64) {
        let logged = stderr(self.root.path()).lines().count();
        // Resets the peak (proc(5)).
        let peak = format!("/proc/{}/clear_refs", self.server.pid());
        fs::write(peak, "5").unwrap();
        let (before, worked) = (peak_memory(&self.server), ticks(&self.server));
        let mut stream = TcpStream::connect(self.server.address).await.unwrap();
        let sent = send(&mut stream, bytes, reads).await;
        let worked = (ticks(&self.server) - worked) * 10_000;
        let mut other = Client::connect(self.server.address).await;
        let stored = other.put("other", &content(10_000)).await;
        assert_eq!(stored.status, 201, "{name}");
        let memory = peak_memory(&self.server).saturating_sub(before);
        let lines = stderr(self.root.path()).lines().count() - logged;
        println!("{name}: {sent} bytes sent, {memory} of memory, {worked} us, {lines} lines");
        assert!(
            lines < 100 + sent / SHORTEST_REQUEST,
            "{name}: {lines} lines"
        );
        let most = 200_000 + sent as u64 * MICROSECONDS;
        assert!(worked < most, "{name}: {worked} us for {sent} bytes");
        (sent, memory)
    }
}

fn endless(mut bytes: Vec<u8>, again: impl Fn(u32) -> Vec<u8>, most: usize) -> Vec<u8> {
    let mut number = 0;
    while bytes.len() < most {
        bytes.extend(again(number));
        number += 1;
    }
    bytes
}

#[tokio::test]
async fn of_frames() {
    let flooded = Flooded::start().await;
    let upload =
        |stream: u32, name: &str| frame(HEADERS, END_HEADERS, stream, &request("PUT", name));
    let ping = frame(PING, 0, 0, &[0; 8]);
    flooded.check("ping", preface(), |_| ping.clone()).await;
    let settings = frame(SETTINGS, 0, 0, &[]);
    flooded
        .check("settings", preface(), |_| settings.clone())
        .await;
    let full_settings = frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 255, 255].repeat(2_000));
    flooded
        .check("full settings", preface(), |_| full_settings.clone())
        .await;
    flooded
        .check("priority", preface(), |number| {
            frame(PRIORITY, 0, 2 * number + 1, &[0, 0, 0, 0, 16])
        })
        .await;
    flooded
        .check("window update", preface(), |_| {
            frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])
        })
        .await;
    flooded
        .check("window overflow", preface(), |_| {
            frame(WINDOW_UPDATE, 0, 0, &[0x7f, 255, 255, 255])
        })
        .await;
    flooded
        .check("unknown", preface(), |_| frame(UNKNOWN, 0, 0, &[]))
        .await;
    flooded
        .check("push promise", preface(), |_| {
            frame(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2])
        })
        .await;
    let begun = [preface(), upload(1, "/one")].concat();
    flooded
        .check("empty data", begun.clone(), |_| frame(DATA, 0, 1, &[]))
        .await;
    flooded
        .check("data of a byte", begun.clone(), |_| frame(DATA, 0, 1, b"x"))
        .await;
    flooded
        .check("window update of a stream", begun.clone(), |_| {
            frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1])
        })
        .await;
    flooded
        .check("rapid reset", preface(), |number| {
            let stream = 2 * number + 1;
            let reset = frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]);
            [upload(stream, "/reset"), reset].concat()
        })
        .await;
    flooded
        .check("streams", preface(), |number| {
            upload(2 * number + 1, "/many")
        })
        .await;
    let beginning = [preface(), frame(HEADERS, 0, 1, &request("PUT", "/endless"))].concat();
    flooded
        .check("continuation", beginning.clone(), |number| {
            let name = format!("x-{number}");
            frame(CONTINUATION, 0, 1, &field(&name, &"v".repeat(100)))
        })
        .await;
    flooded
        .check("empty continuation", beginning, |_| {
            frame(CONTINUATION, 0, 1, &[])
        })
        .await;
    // As many fields as fit, with a table of their own (RFC 7541, 2.3.3).
    flooded
        .check("large heads", preface(), |number| {
            let fields: Vec<_> = (0..90)
                .flat_map(|name| field(&format!("x-{name}"), &"v".repeat(100)))
                .collect();
            let head = [request("PUT", "/large-head"), fields].concat();
            frame(HEADERS, END_HEADERS, 2 * number + 1, &head)
        })
        .await;
}

/// Nothing of the first request is read while its digest is computed, and the second waits for bytes.
#[tokio::test]
async fn of_data_that_nobody_reads() {
    let flooded = Flooded::start().await;
    sparse(flooded.root.path(), "endless", 4 << 40);
    let head = [
        request("GET", "/files/endless"),
        field("want-repr-digest", "sha-256=1"),
    ]
    .concat();
    let beginning = [
        preface(),
        frame(HEADERS, END_HEADERS, 1, &head),
        frame(HEADERS, END_HEADERS, 3, &request("PUT", "/hungry")),
    ]
    .concat();
    let bytes = endless(beginning, |_| frame(DATA, 0, 1, b"x"), 4 * BYTES);
    let (sent, memory) = flooded.flood("unread", &bytes, true).await;
    assert!(memory < 22 * MIB, "{memory} bytes of memory for {sent}");
}

#[tokio::test]
async fn of_http_1() {
    let flooded = Flooded::start().await;
    let host = "Host: localhost\r\n";
    let head = format!("PUT /one HTTP/1.1\r\n{host}");
    flooded
        .check("head", head.clone().into(), |number| {
            format!("X-{number}: {}\r\n", "v".repeat(100)).into()
        })
        .await;
    flooded
        .check("field", format!("{head}X: ").into(), |_| b"v".to_vec())
        .await;
    flooded
        .check("target", b"GET /".to_vec(), |_| b"x".to_vec())
        .await;
    let chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n");
    // Each takes the server some microseconds.
    let of_a_byte = endless(
        chunked.clone().into(),
        |_| b"1\r\nx\r\n".to_vec(),
        BYTES / 8,
    );
    flooded.check_bytes("chunks of a byte", of_a_byte).await;
    flooded
        .check("chunk extension", format!("{chunked}1;").into(), |_| {
            b"x".to_vec()
        })
        .await;
    flooded
        .check("chunk extensions", chunked.clone().into(), |_| {
            format!("1;{}\r\nx\r\n", "e".repeat(60)).into()
        })
        .await;
    flooded
        .check("trailers", format!("{chunked}0\r\n").into(), |number| {
            format!("X-{number}: v\r\n").into()
        })
        .await;
    let get = format!("GET /files/large HTTP/1.1\r\n{host}\r\n");
    let bytes = endless(Vec::new(), |_| get.clone().into(), BYTES);
    let (sent, memory) = flooded.flood("pipelined downloads", &bytes, false).await;
    assert!(memory < 2 * MIB, "{memory} bytes of memory for {sent}");
    let get = format!("GET /healthz HTTP/1.1\r\n{host}\r\n");
    let bytes = endless(Vec::new(), |_| get.clone().into(), BYTES / 8);
    flooded.check_bytes("pipelined requests", bytes).await;
}
