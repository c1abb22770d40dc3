//! The sockets that are there before the tracer, and what could not be found out about them.

use std::{collections::HashSet, thread};

use anyhow::{Context as _, Result};
use tokio::sync::oneshot;
use tracing::{debug, warn};

use super::selection::Selection;
use crate::{core::input::OpenSocket, kernel::sockets, message};

/// The sockets that listen before anything is attached; of no use to a command, whose connections
/// are seen to open.
pub(super) async fn listening(is_command: bool) -> Vec<OpenSocket> {
    if is_command {
        return Vec::new();
    }
    on_own_thread(sockets::listeners)
        .await
        .unwrap_or_else(|error| {
            debug!("which sockets listen is not known: {error:#}");
            Vec::new()
        })
}

/// The wanted sockets that were there before the tracer; a command has none yet.
pub(super) async fn open_already(selection: Selection, is_command: bool) -> Vec<OpenSocket> {
    if is_command {
        return Vec::new();
    }
    let found = on_own_thread(move || {
        let dump = sockets::dump()?;
        if let Some(left_out) = dump.left_out.describe() {
            message(&format!(
                "of connections that were open already some may be missing, or whose they are: {left_out}"
            ));
        }
        let accepting: HashSet<(u32, u16)> = dump.listeners.iter().map(place).collect();
        let mut sockets = selection.of_sockets(dump.sockets);
        // Who listens is the server, which tells of the other end, too.
        sockets.sort_by_key(|socket| !accepting.contains(&place(socket)));
        Ok(sockets)
    });
    found.await.unwrap_or_else(|error| {
        warn!("connections that were open already are missing: {error:#}");
        Vec::new()
    })
}

/// Does something that takes a while on a thread of its own, which ends with it: one that is used
/// again (`spawn_blocking`) would keep its capabilities.
async fn on_own_thread<T: Send + 'static>(
    act: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let (to, done) = oneshot::channel();
    let thread = thread::Builder::new()
        .name("sockets".to_owned())
        .spawn(move || to.send(act()))
        .context("starting a thread")?;
    let done = done.await.context("the thread panicked");
    // All it has left to do is to end.
    let _ = thread.join();
    done?
}

fn place(socket: &OpenSocket) -> (u32, u16) {
    (socket.addresses.netns, socket.addresses.local.port())
}
