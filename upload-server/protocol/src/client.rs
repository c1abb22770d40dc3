//! Requests to the control socket: the feed, the tracer's presence, finished timelines.

use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::{
    Request, Response,
    body::Incoming,
    client::conn::http1::{self, SendRequest},
    header::{CONTENT_TYPE, HOST},
};
pub use hyper::{StatusCode, body::Bytes};
use hyper_util::rt::TokioIo;
use tokio::{net::UnixStream, task::JoinSet};

use crate::upload::{FeedLine, Server};

/// Between attempts to reach a server that went away.
pub const RETRY: Duration = Duration::from_millis(250);
/// A line is a few hundred bytes; a feed whose line has not ended by then is none.
const MAX_LINE_BYTES: usize = 1 << 20;

#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("the program that answers at the control socket is no upload server")]
    NotAServer,
    #[error("the control socket answers {0}")]
    Refused(StatusCode),
    #[error("the id of an upload has other characters than letters, digits, - and _")]
    NotAnId,
    #[error("the feed has a line without end")]
    EndlessLine,
    #[error("a line of the feed")]
    Line(#[from] serde_json::Error),
    #[error("the control connection")]
    Connection(#[from] hyper::Error),
    #[error("a request to the control socket")]
    Request(#[from] http::Error),
}

type Result<T> = std::result::Result<T, ClientError>;

/// A connection to a control socket; dropping it closes the connection.
pub struct ControlClient {
    sender: SendRequest<Full<Bytes>>,
    /// The server's process id in this process's PID namespace; 0 if it has none there.
    peer: Option<u32>,
    /// The user who listens at the socket.
    user: Option<u32>,
    _connection: JoinSet<()>,
}

impl ControlClient {
    /// Speaks over this stream, which is connected to a control socket.
    ///
    /// # Errors
    /// When the stream is closed.
    pub async fn over(stream: UnixStream) -> Result<Self> {
        let credentials = stream.peer_cred().ok();
        let peer = credentials.and_then(|peer| u32::try_from(peer.pid()?).ok());
        let user = credentials.map(|peer| peer.uid());
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            // A request that fails says why.
            let _ = connection.await;
        });
        Ok(Self {
            sender,
            peer,
            user,
            _connection: tasks,
        })
    }

    /// `POST /tracer`: the server knows that a tracer is attached until the connection is dropped.
    /// Returns when the server ends the answer.
    ///
    /// # Errors
    /// When the server refuses, or goes away.
    pub async fn announce(mut self) -> Result<()> {
        let request = post("/tracer").body(Full::default())?;
        let response = accepted(self.sender.send_request(request).await?)?;
        response.into_body().collect().await?;
        Ok(())
    }

    /// `POST /uploads/{id}/timeline`: hands in a line of JSON. Gives the server's status, whatever it
    /// is: it may have forgotten the upload.
    ///
    /// # Errors
    /// When the server went away, or the id would make another request of this one.
    pub async fn put_timeline(&mut self, upload: &str, line: Bytes) -> Result<StatusCode> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        if upload.is_empty() || !upload.bytes().all(is_plain) {
            return Err(ClientError::NotAnId);
        }
        self.sender.ready().await?;
        let request = post(&format!("/uploads/{upload}/timeline"))
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(line))?;
        let response = self.sender.send_request(request).await?;
        let status = response.status();
        response.into_body().collect().await?;
        Ok(status)
    }
}

/// An open feed, and the server that it is from.
pub struct UploadFeed {
    /// The server's first line, with its process id as this process sees it: in a container the server
    /// knows itself by another.
    pub server: Server,
    /// The user who listens at the socket, as the kernel reports it; `None` if unknown.
    pub user: Option<u32>,
    lines: Lines,
}

impl UploadFeed {
    /// `GET /uploads` over this stream, which is connected to a control socket; reads the server's
    /// introduction.
    ///
    /// # Errors
    /// When nobody answers, or not as an upload server.
    pub async fn over(stream: UnixStream) -> Result<Self> {
        let mut client = ControlClient::over(stream).await?;
        let request = Request::get("/uploads")
            .header(HOST, "localhost")
            .body(Full::default())?;
        let response = accepted(client.sender.send_request(request).await?)?;
        let (peer, user) = (client.peer, client.user);
        let mut lines = Lines {
            body: response.into_body(),
            buffer: Vec::new(),
            _client: client,
        };
        match lines.next().await? {
            Some(FeedLine::Server(mut server)) => {
                server.pid = peer.unwrap_or(server.pid);
                Ok(Self {
                    server,
                    user,
                    lines,
                })
            }
            _ => Err(ClientError::NotAServer),
        }
    }

    /// The next line; `None` once the server has ended the feed.
    ///
    /// # Errors
    /// When the feed breaks off, or a line is none of the protocol's.
    pub async fn next(&mut self) -> Result<Option<FeedLine>> {
        self.lines.next().await
    }
}

struct Lines {
    body: Incoming,
    buffer: Vec<u8>,
    _client: ControlClient,
}

impl Lines {
    async fn next(&mut self) -> Result<Option<FeedLine>> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                return Ok(Some(serde_json::from_slice(&line)?));
            }
            if self.buffer.len() > MAX_LINE_BYTES {
                return Err(ClientError::EndlessLine);
            }
            let Some(frame) = self.body.frame().await else {
                return Ok(None);
            };
            if let Some(bytes) = frame?.data_ref() {
                self.buffer.extend_from_slice(bytes);
            }
        }
    }
}

fn post(target: &str) -> http::request::Builder {
    Request::post(target).header(HOST, "localhost")
}

fn accepted(response: Response<Incoming>) -> Result<Response<Incoming>> {
    if response.status().is_success() {
        Ok(response)
    } else {
        Err(ClientError::Refused(response.status()))
    }
}
