//! Scans the sockets that existed before the tracer attached.

use std::{collections::HashSet, thread};

use anyhow::{Context as _, Result};
use tokio::sync::oneshot;
use tracing::{debug, warn};

use super::selection::{Selection, as_listener};
use crate::{core::input::OpenSocket, kernel::sockets, message, source::live::OpenAlready};

/// The listening sockets, before anything is attached. None for a command: the tracer sees each of
/// its connections open, so it needs no listener to tell client from server.
pub(super) async fn listening(is_command: bool) -> Vec<OpenSocket> {
    if is_command {
        return Vec::new();
    }
    on_own_thread(sockets::listeners)
        .await
        .unwrap_or_else(|error| {
            debug!("cannot list listening sockets: {error:#}");
            Vec::new()
        })
}

/// What existed before the tracer attached: the selected sockets, and, where processes are followed, every
/// listener; a command has none yet.
pub(super) async fn open_already(selection: Selection, is_command: bool) -> OpenAlready {
    if is_command {
        return OpenAlready::default();
    }
    let found = on_own_thread(move || {
        let dump = sockets::dump()?;
        if let Some(left_out) = dump.left_out.describe() {
            message(&format!(
                "connections opened before the tracer may be missing or have no owner: {left_out}"
            ));
        }
        let accepting: HashSet<(u32, u16)> = dump.listeners.iter().map(place).collect();
        let listeners = match selection.filter.follows_fronts() {
            true => dump.listeners.iter().map(as_listener).collect(),
            false => Vec::new(),
        };
        let mut sockets = selection.of_sockets(dump.sockets);
        // Sockets at a listener's address first: they are servers, which decides the role of their peers.
        sockets.sort_by_key(|socket| !accepting.contains(&place(socket)));
        Ok(OpenAlready { sockets, listeners })
    });
    found.await.unwrap_or_else(|error| {
        warn!("connections opened before the tracer are missing: {error:#}");
        OpenAlready::default()
    })
}

/// Runs `act` on a thread that ends with it. A pooled thread (`spawn_blocking`) would live on with
/// its capabilities.
async fn on_own_thread<T: Send + 'static>(
    act: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let (to, done) = oneshot::channel();
    let thread = thread::Builder::new()
        .name("sockets".to_owned())
        .spawn(move || to.send(act()))
        .context("starting a thread")?;
    let done = done.await.context("the thread panicked");
    // The thread has sent its result, so this returns at once.
    let _ = thread.join();
    done?
}

fn place(socket: &OpenSocket) -> (u32, u16) {
    (socket.addresses.netns, socket.addresses.local.port())
}
