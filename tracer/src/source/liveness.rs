//! After a loss, asks the kernel which sockets there are: the record of a connection's end may be
//! among what was lost. In other network namespaces an attached tracer may not ask any more, for want
//! of capabilities: what is gone there stays until there are too many connections.

use std::time::Duration;

use tokio::{sync::mpsc, task::spawn_blocking, time::sleep};
use tracing::debug;

use crate::{core::input::Present, kernel::sockets};

/// A loss seldom comes alone.
const AFTER: Duration = Duration::from_secs(2);
/// Where sockets are many, the kernel has to be asked for each.
const AT_MOST_EVERY: Duration = Duration::from_secs(5);
/// More are no frame of a recording; what is full is the table then.
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
                    Ok(_) => debug!("too many sockets for a roll call"),
                    Err(error) => debug!(error = format!("{error:#}"), "no roll call"),
                }
                sleep(AT_MOST_EVERY).await;
            }
        });
        Self { ask, answers }
    }

    /// Something was lost; the answer comes later.
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
