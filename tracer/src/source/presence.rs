//! Tells the upload server that a tracer is attached, for as long as it is: by a request on the
//! control socket that ends with the tracer, however that ends.

use std::{path::Path, time::Duration};

use anyhow::{Result, bail};
use http_body_util::{BodyExt as _, Empty};
use hyper::{Request, body::Bytes, client::conn::http1, header::HOST};
use hyper_util::rt::TokioIo;
use tokio::{net::UnixStream, time::sleep};
use tracing::debug;

/// Between attempts to reach a server that went away.
const RETRY: Duration = Duration::from_millis(250);

/// Tells it, again and again when the server restarts, until this is dropped.
pub async fn announce(control: &Path) {
    loop {
        if let Err(error) = stay(control).await {
            debug!(%error, "the upload server does not know of the tracer");
        }
        sleep(RETRY).await;
    }
}

/// Until the server ends the answer.
async fn stay(control: &Path) -> Result<()> {
    let stream = UnixStream::connect(control).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::post("/tracer")
        .header(HOST, "localhost")
        .body(Empty::<Bytes>::new())?;
    let attached = async {
        let response = sender.send_request(request).await?;
        if !response.status().is_success() {
            bail!("the control socket answers {}", response.status());
        }
        response.into_body().collect().await?;
        Ok(())
    };
    // The connection is polled here, so that it is dropped with this.
    let (attached, _) = tokio::join!(attached, connection);
    attached
}
