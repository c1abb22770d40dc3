//! A client that sends exactly the bytes it is given.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader},
    net::TcpStream,
};

use crate::test_server::within_limit;

pub(crate) struct Client<S = TcpStream> {
    stream: BufReader<S>,
}

pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).await.unwrap())
    }

    pub(crate) fn local_address(&self) -> SocketAddr {
        self.stream.get_ref().local_addr().unwrap()
    }

    /// Completes when bytes have arrived from the server.
    pub(crate) async fn readable(&self) {
        self.stream.get_ref().readable().await.unwrap();
    }

    /// Closes with a RST.
    pub(crate) fn reset(self) {
        self.stream.get_ref().set_zero_linger().unwrap();
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    pub(crate) fn over(stream: S) -> Self {
        Self {
            stream: BufReader::new(stream),
        }
    }

    pub(crate) fn get_ref(&self) -> &S {
        self.stream.get_ref()
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    /// Sends to a server that may be gone.
    pub(crate) async fn try_send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes).await
    }

    pub(crate) async fn put(&mut self, name: &str, content: &[u8]) -> Response {
        self.send(put_head(name, content.len())).await;
        self.send(content).await;
        self.response().await
    }

    /// The same with further fields in the head, each with its line end.
    pub(crate) async fn put_with(&mut self, fields: &str, name: &str, content: &[u8]) -> Response {
        let head = put_head(name, content.len());
        self.send(head.replacen("\r\n", &format!("\r\n{fields}"), 1))
            .await;
        self.send(content).await;
        self.response().await
    }

    /// Closes the sending side: a FIN.
    pub(crate) async fn finish_sending(&mut self) {
        self.stream.shutdown().await.unwrap();
    }

    pub(crate) async fn response(&mut self) -> Response {
        within_limit(self.read_response(true)).await
    }

    /// A response without a body, whatever its headers are, such as the response to HEAD.
    pub(crate) async fn response_head(&mut self) -> Response {
        within_limit(self.read_response(false)).await
    }

    /// Whether the server closes the connection next.
    pub(crate) async fn is_closed(&mut self) -> bool {
        within_limit(self.stream.read_u8()).await.is_err()
    }

    /// The next response's status, or none if the connection ends first.
    pub(crate) async fn try_status(&mut self) -> Option<u16> {
        let mut line = String::new();
        let read = within_limit(self.stream.read_line(&mut line)).await;
        read.ok()?;
        line.split(' ').nth(1)?.parse().ok()
    }

    /// The remaining bytes, until the server closes the connection.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        // A reset ends it as well as a close.
        let _ = within_limit(self.stream.read_to_end(&mut rest)).await;
        rest
    }

    async fn read_response(&mut self, with_body: bool) -> Response {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            let read = self.stream.read_line(&mut head).await.unwrap();
            assert_ne!(read, 0, "the connection ended within a response: {head:?}");
        }
        let mut response = Response {
            status: head.split(' ').nth(1).unwrap().parse().unwrap(),
            head,
            body: Vec::new(),
        };
        if let Some(length) = response.field("content-length").filter(|_| with_body) {
            response.body = vec![0; length.parse().unwrap()];
            self.stream.read_exact(&mut response.body).await.unwrap();
        }
        response
    }
}

impl Response {
    /// The problem document (RFC 9457).
    pub(crate) fn problem(&self) -> serde_json::Value {
        assert!(
            self.head
                .contains("content-type: application/problem+json\r\n"),
            "{}",
            self.head
        );
        let problem: serde_json::Value = serde_json::from_slice(&self.body).unwrap();
        assert_eq!(problem["status"], self.status);
        problem
    }

    /// A field of the head. Proxies spell names with capitals.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

pub(crate) fn put_head(name: &str, length: usize) -> String {
    format!("PUT /{name} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n")
}

/// The head of a client that waits for `100 Continue` before it sends the body.
pub(crate) fn expecting_put_head(name: &str, length: usize) -> String {
    put_head(name, length).replace("\r\n\r\n", "\r\nExpect: 100-continue\r\n\r\n")
}

pub(crate) fn chunked_put_head(name: &str) -> String {
    format!("PUT /{name} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
}

/// Bytes without a short period, so that a lost or repeated piece is noticed.
pub(crate) fn content(length: usize) -> Vec<u8> {
    (0_u32..).flat_map(u32::to_le_bytes).take(length).collect()
}
