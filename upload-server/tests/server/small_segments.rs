//! Bodies whose bytes come one in a segment, a chunk, a frame or a record of TLS: they take no more memory than others.

use std::path::Path;

use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
    version::TLS13,
};
use tokio::{
    io::{AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};
use upload_server::record::Outcome;

use crate::{
    client::{chunked_put_head, put_head},
    feed::Feed,
    floods::{DATA, END_HEADERS, END_STREAM, HEADERS, frame, preface, request},
    much_work::peak_memory,
    process::{Running, control, tempdir},
    tls::handshake,
};

const CONNECTIONS: usize = 20;
const BYTES: usize = 1_000;

/// What a connection and an upload may take.
const MOST: u64 = 448 * 1024;

/// What is sent before the bytes, for each of them, and after them.
struct Sent {
    before: Vec<u8>,
    each: Vec<u8>,
    after: Vec<u8>,
}

fn with_length() -> Sent {
    Sent {
        before: put_head("file", BYTES).into(),
        each: b"x".to_vec(),
        after: Vec::new(),
    }
}

#[tokio::test]
async fn take_no_more_than_large_ones() {
    check("with a length", false, with_length()).await;
    check("with a length, over TLS", true, with_length()).await;
    let chunked = Sent {
        before: chunked_put_head("file").into(),
        each: b"1\r\nx\r\n".to_vec(),
        after: b"0\r\n\r\n".to_vec(),
    };
    check("chunked", false, chunked).await;
    let head = frame(HEADERS, END_HEADERS, 1, &request("PUT", "/file"));
    let in_frames = Sent {
        before: [preface(), head].concat(),
        each: frame(DATA, 0, 1, b"x"),
        after: frame(DATA, END_STREAM, 1, &[]),
    };
    check("in frames", false, in_frames).await;
}

async fn check(name: &str, tls: bool, sent: Sent) {
    let root = tempdir();
    let options: &[_] = if tls { &["--tls"] } else { &["--http2"] };
    let server = Running::start_with(options, root.path()).await;
    let mut feed = Feed::open(&control(root.path())).await;
    // The first takes what the server has only once.
    let mut clients = vec![connect(&server, root.path(), tls).await];
    sent.by(&mut clients).await;
    feed.upload().await;
    let before = peak_memory(&server);
    for _ in 0..CONNECTIONS {
        clients.push(connect(&server, root.path(), tls).await);
    }
    sent.by(&mut clients[1..]).await;
    for _ in 0..CONNECTIONS {
        let upload = feed.upload().await;
        assert_eq!(
            (upload.outcome, upload.bytes),
            (Outcome::Complete, BYTES as u64)
        );
    }
    let memory = (peak_memory(&server) - before) / CONNECTIONS as u64;
    println!("{name}: {memory} bytes for each connection");
    assert!(memory < MOST, "{name}: {memory} bytes for each connection");
}

type Stream = Box<dyn AsyncWrite + Unpin>;

async fn connect(server: &Running, root: &Path, tls: bool) -> Stream {
    let stream = TcpStream::connect(server.address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    if !tls {
        return Box::new(stream);
    }
    let certificate = CertificateDer::from_pem_file(root.join("state/certificate.pem"));
    let mut roots = RootCertStore::empty();
    roots.add(certificate.unwrap()).unwrap();
    Box::new(handshake(stream, roots, &TLS13, &[]).await)
}

impl Sent {
    /// Sends the bytes of all at the same time, one after the other.
    async fn by(&self, clients: &mut [Stream]) {
        let bytes = std::iter::repeat_n(&self.each, BYTES);
        for piece in [&self.before].into_iter().chain(bytes).chain([&self.after]) {
            for client in &mut *clients {
                client.write_all(piece).await.unwrap();
                client.flush().await.unwrap();
            }
        }
    }
}
