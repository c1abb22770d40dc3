//! Tells the upload server that a tracer is attached: by a request on the control socket that stays
//! open until the tracer ends, even by SIGKILL.

use std::path::Path;

use tokio::time::sleep;
use tracing::debug;
use upload_protocol::client::{ClientError, ControlClient, RETRY};

/// Announces the tracer until this is dropped, again whenever the server restarts.
pub async fn announce(control: &Path) {
    loop {
        if let Err(error) = stay(control).await {
            debug!(%error, "cannot announce the tracer to the upload server");
        }
        sleep(RETRY).await;
    }
}

/// Returns when the server ends the response.
async fn stay(control: &Path) -> Result<(), ClientError> {
    ControlClient::connect(control).await?.announce().await
}
