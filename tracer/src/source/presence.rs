//! Tells the upload server that a tracer is attached: by a request on the control socket that stays
//! open until the tracer ends, even by SIGKILL.

use tokio::time::sleep;
use tracing::debug;
use upload_protocol::client::RETRY;

use crate::control::{ControlError, ControlSocket};

/// Announces the tracer until this is dropped, again whenever the server restarts.
pub async fn announce(control: &ControlSocket) {
    loop {
        if let Err(error) = stay(control).await {
            debug!(%error, "cannot announce the tracer to the upload server");
        }
        sleep(RETRY).await;
    }
}

/// Returns when the server ends the response.
async fn stay(control: &ControlSocket) -> Result<(), ControlError> {
    let announced = control.client().await?.announce().await;
    announced.map_err(|error| control.failed(error))
}
