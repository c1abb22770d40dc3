//! After a loss, asks the kernel which sockets exist: the lost record may have been a connection's end.
//! An attached tracer has no capability to ask in other network namespaces: a connection whose end was
//! lost there stays until it is evicted.

use std::time::Duration;

use tokio::{sync::mpsc, task::spawn_blocking, time::sleep};
use tracing::debug;

use crate::{core::input::Present, kernel::sockets};

/// Losses come in bursts: ask once for several.
const AFTER: Duration = Duration::from_secs(2);
/// With many sockets, listing them is expensive.
const AT_MOST_EVERY: Duration = Duration::from_secs(5);
/// More do not fit into a frame of a recording. The table evicts idle connections anyway.
const MAX_COOKIES: usize = 1 << 20;

pub(super) struct Liveness {
    ask: mpsc::Sender<()>,
    answers: mpsc::Receiver<Present>,
}

impl Liveness {
    pub(super) fn start() -> Self {
        let (ask, mut asked) = mpsc::channel(1);
        let (answer, answers) = mpsc::channel(1);
        tokio::spawn(async move {
            while asked.recv().await.is_some() {
                sleep(AFTER).await;
                let found = spawn_blocking(sockets::present).await;
                match found.map_err(anyhow::Error::from).flatten() {
                    Ok(present) if present.cookies.len() <= MAX_COOKIES => {
                        if answer.send(present).await.is_err() {
                            return;
                        }
                    }
                    Ok(_) => debug!("too many sockets to list"),
                    Err(error) => debug!(error = format!("{error:#}"), "cannot list sockets"),
                }
                sleep(AT_MOST_EVERY).await;
            }
        });
        Self { ask, answers }
    }

    /// Asks after a loss; [`answer`](Self::answer) resolves later.
    pub(super) fn ask(&self) {
        let _ = self.ask.try_send(());
    }

    pub(super) async fn answer(&mut self) -> Present {
        match self.answers.recv().await {
            Some(present) => present,
            None => std::future::pending().await,
        }
    }
}
