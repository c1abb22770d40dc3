//! Requests to the control socket, one after the other on one connection.

use std::{io, path::PathBuf, time::Duration};

use anyhow::{Context as _, Result};
use http_body_util::{BodyExt as _, Full};
use hyper::{
    Request, StatusCode,
    body::Bytes,
    client::conn::http1::{self, SendRequest},
    header::{CONTENT_TYPE, HOST},
};
use hyper_util::rt::TokioIo;
use tokio::{
    net::UnixStream,
    runtime::{self, Runtime},
    time::timeout,
};

/// A server that takes longer is none.
const PATIENCE: Duration = Duration::from_secs(1);

/// See the module. The runtime is its own: it is used on the sink's thread.
pub(super) struct Control {
    path: PathBuf,
    runtime: Runtime,
    sender: Option<SendRequest<Full<Bytes>>>,
}

impl Control {
    pub(super) fn new(path: PathBuf) -> io::Result<Self> {
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        Ok(Self {
            path,
            runtime,
            sender: None,
        })
    }

    /// Hands in a timeline of an upload.
    pub(super) fn hand_in(&mut self, upload: &str, timeline: Bytes) -> Result<StatusCode> {
        let Self {
            path,
            runtime,
            sender,
        } = self;
        let handing = async {
            // The server may have closed the connection since, or be another one.
            if let Some(open) = sender
                && let Ok(status) = post(open, upload, timeline.clone()).await
            {
                return Ok(status);
            }
            let stream = UnixStream::connect(&path).await.with_context(|| {
                format!("nobody answers at the control socket {}", path.display())
            })?;
            let (mut opened, connection) = http1::handshake(TokioIo::new(stream)).await?;
            tokio::spawn(connection);
            let status = post(&mut opened, upload, timeline).await?;
            *sender = Some(opened);
            Ok(status)
        };
        let handed = runtime.block_on(async { timeout(PATIENCE, handing).await });
        let handed = handed.unwrap_or_else(|_| {
            Err(anyhow::anyhow!(
                "no answer from the control socket {} in {} s",
                path.display(),
                PATIENCE.as_secs()
            ))
        });
        if handed.is_err() {
            *sender = None;
        }
        handed
    }
}

async fn post(
    sender: &mut SendRequest<Full<Bytes>>,
    upload: &str,
    timeline: Bytes,
) -> Result<StatusCode> {
    sender.ready().await?;
    let request = Request::post(format!("/uploads/{upload}/timeline"))
        .header(HOST, "localhost")
        .header(CONTENT_TYPE, "application/json")
        .body(Full::new(timeline))?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    response.into_body().collect().await?;
    Ok(status)
}
