//! For an overview, asks the kernel what open sockets have counted, about once a second. As with
//! [`Liveness`](super::liveness), it can ask in its own network namespace only.

use std::time::{Duration, Instant};

use tokio::{sync::mpsc, task::spawn_blocking, time::sleep};
use tracing::debug;

use crate::{core::input::Readings, kernel::sockets};

const EVERY: Duration = Duration::from_secs(1);
/// With many sockets, listing them takes long: it takes at most one part of so many of the time.
const TIME_SHARE: u32 = 20;

pub(super) struct Reader(mpsc::Receiver<Readings>);

impl Reader {
    /// `wanted`: whether there is an overview.
    pub(super) fn start(wanted: bool) -> Self {
        let (to, readings) = mpsc::channel(1);
        if wanted {
            tokio::spawn(async move {
                loop {
                    let started = Instant::now();
                    let found = spawn_blocking(sockets::readings).await;
                    match found.map_err(anyhow::Error::from).flatten() {
                        Ok(readings) => {
                            if to.send(readings).await.is_err() {
                                return;
                            }
                        }
                        Err(error) => debug!(error = format!("{error:#}"), "cannot list sockets"),
                    }
                    sleep(EVERY.max(started.elapsed() * (TIME_SHARE - 1))).await;
                }
            });
        }
        Self(readings)
    }

    /// The next readings; pending forever where none are wanted.
    pub(super) async fn next(&mut self) -> Readings {
        match self.0.recv().await {
            Some(readings) => readings,
            None => std::future::pending().await,
        }
    }
}
