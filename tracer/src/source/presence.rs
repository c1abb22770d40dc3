//! Lets the upload server know that a tracer is attached, for as long as it is: by a request on the
//! control socket that ends with the tracer, however that ends.

use std::path::Path;

use tokio::time::sleep;
use tracing::debug;
use upload_protocol::client::{ClientError, ControlClient, RETRY};

/// Announces the tracer, again when the server restarts, until this is dropped.
pub async fn announce(control: &Path) {
    loop {
        if let Err(error) = stay(control).await {
            debug!(%error, "the upload server does not know of the tracer");
        }
        sleep(RETRY).await;
    }
}

/// Returns when the server ends the answer.
async fn stay(control: &Path) -> Result<(), ClientError> {
    ControlClient::connect(control).await?.announce().await
}
