//! Requests to the control socket, one at a time on one connection.

use std::{io, time::Duration};

use anyhow::{Result, anyhow};
use tokio::{
    runtime::{self, Runtime},
    time::timeout,
};
use upload_protocol::client::{Bytes, ControlClient, StatusCode};

use crate::control::ControlSocket;

/// A server that does not answer within this time counts as gone.
const PATIENCE: Duration = Duration::from_secs(1);

/// Has its own runtime, since it runs on the sink's thread.
pub(super) struct Control {
    socket: ControlSocket,
    runtime: Runtime,
    client: Option<ControlClient>,
}

impl Control {
    pub(super) fn new(socket: ControlSocket) -> io::Result<Self> {
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        Ok(Self {
            socket,
            runtime,
            client: None,
        })
    }

    pub(super) fn hand_in(&mut self, upload: &str, timeline: Bytes) -> Result<StatusCode> {
        let Self {
            socket,
            runtime,
            client,
        } = self;
        let handing = async {
            // The server may have closed the connection or restarted since: connect again.
            if let Some(open) = client
                && let Ok(status) = open.put_timeline(upload, timeline.clone()).await
            {
                return Ok(status);
            }
            let mut opened = socket.client().await?;
            let status = opened.put_timeline(upload, timeline).await?;
            *client = Some(opened);
            Ok(status)
        };
        let handed = runtime.block_on(async { timeout(PATIENCE, handing).await });
        let handed = handed.unwrap_or_else(|_| {
            Err(anyhow!(
                "no answer from the control socket {} in {} s",
                socket.path().display(),
                PATIENCE.as_secs()
            ))
        });
        if handed.is_err() {
            *client = None;
        }
        handed
    }
}
