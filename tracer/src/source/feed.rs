//! The upload server's control socket: its records, over and over until the tracer ends.

use std::{path::Path, time::Duration};

use anyhow::{Context as _, Result, bail};
use http_body_util::{BodyExt as _, Empty};
use hyper::{Request, body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::{net::UnixStream, sync::mpsc, time::sleep};
use tracing::{info, warn};
use upload_server::record::{FeedLine, Server};

use crate::core::input::Feed;

/// Between attempts to reach a server that went away.
const RETRY: Duration = Duration::from_millis(250);
/// A line is a few hundred bytes; what has no line end by then is no feed.
const MOST_BYTES: usize = 1 << 20;

/// An open feed, and who serves it.
pub struct UploadFeed {
    /// The server's first line.
    pub server: Server,
    lines: Lines,
}

impl UploadFeed {
    /// Connects to the control socket at `path` and reads the server's introduction.
    ///
    /// # Errors
    /// When nobody answers there, or not as an upload server.
    pub async fn connect(path: &Path) -> Result<Self> {
        let mut lines = Lines::open(path).await?;
        match lines.next().await? {
            Some(FeedLine::Server(server)) => Ok(Self { server, lines }),
            _ => bail!("what answers at {} is no upload server", path.display()),
        }
    }

    /// Hands every line to `to`, reconnecting when the server restarts; ends when nobody listens.
    pub async fn follow(self, path: &Path, to: mpsc::Sender<Feed>) {
        let mut connected = Some(self);
        loop {
            if let Some(feed) = connected.take() {
                let pid = feed.server.pid;
                if feed.pass_on(&to).await.is_err() {
                    return;
                }
                info!(pid, "the upload server is gone");
                if to.send(Feed::Gone).await.is_err() {
                    return;
                }
            }
            sleep(RETRY).await;
            connected = Self::connect(path).await.ok();
        }
    }

    /// Passes lines on until the server ends the feed; an error when nobody listens any more.
    async fn pass_on(mut self, to: &mpsc::Sender<Feed>) -> Result<()> {
        let introduction = FeedLine::Server(self.server);
        to.send(Feed::Line(Box::new(introduction))).await?;
        loop {
            match self.lines.next().await {
                Ok(Some(line)) => to.send(Feed::Line(Box::new(line))).await?,
                Ok(None) => return Ok(()),
                Err(error) => {
                    warn!(%error, "the upload server's feed broke");
                    return Ok(());
                }
            }
        }
    }
}

struct Lines {
    body: Incoming,
    buffer: Vec<u8>,
    /// Dropped with the feed, which closes the connection.
    _connection: tokio::task::JoinSet<()>,
}

impl Lines {
    async fn open(path: &Path) -> Result<Self> {
        let stream = UnixStream::connect(path)
            .await
            .with_context(|| format!("nobody answers at the control socket {}", path.display()))?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "the control connection ended");
            }
        });
        let request = Request::get("/uploads")
            .header("host", "localhost")
            .body(Empty::<hyper::body::Bytes>::new())?;
        let response = sender.send_request(request).await?;
        if !response.status().is_success() {
            bail!("the control socket answers {}", response.status());
        }
        Ok(Self {
            body: response.into_body(),
            buffer: Vec::new(),
            _connection: tasks,
        })
    }

    async fn next(&mut self) -> Result<Option<FeedLine>> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                return Ok(Some(
                    serde_json::from_slice(&line).context("a line of the feed")?,
                ));
            }
            if self.buffer.len() > MOST_BYTES {
                bail!("the feed has a line without end");
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
