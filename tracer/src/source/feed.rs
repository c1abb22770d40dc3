//! Follows the upload server's feed, and reconnects until the tracer ends.

use anyhow::Result;
use tokio::{sync::mpsc, time::sleep};
use tracing::{info, warn};
use upload_protocol::{
    client::{RETRY, UploadFeed},
    upload::FeedLine,
};

use crate::{control::ControlSocket, core::input::Feed};

/// Sends every line to `to`, and reconnects when the server restarts. Ends when the receiver is dropped.
pub async fn follow(feed: UploadFeed, control: &ControlSocket, to: mpsc::Sender<Feed>) {
    let mut connected = Some(feed);
    loop {
        if let Some(feed) = connected.take() {
            let pid = feed.server.pid;
            if pass_on(feed, &to).await.is_err() {
                return;
            }
            info!(pid, "the upload server is gone");
            if to.send(Feed::Gone).await.is_err() {
                return;
            }
        }
        sleep(RETRY).await;
        connected = control.feed().await.ok();
    }
}

/// Sends lines until the server ends the feed; an error if the receiver is dropped.
async fn pass_on(mut feed: UploadFeed, to: &mpsc::Sender<Feed>) -> Result<()> {
    let introduction = FeedLine::Server(feed.server.clone());
    to.send(Feed::Line(Box::new(introduction))).await?;
    loop {
        match feed.next().await {
            Ok(Some(line)) => to.send(Feed::Line(Box::new(line))).await?,
            Ok(None) => return Ok(()),
            Err(error) => {
                let error = anyhow::Error::from(error);
                warn!("the upload server's feed broke: {error:#}");
                return Ok(());
            }
        }
    }
}
