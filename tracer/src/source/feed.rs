//! The upload server's feed, over and over until the tracer ends.

use std::path::Path;

use anyhow::Result;
use tokio::{sync::mpsc, time::sleep};
use tracing::{info, warn};
use upload_protocol::{
    client::{RETRY, UploadFeed},
    upload::FeedLine,
};

use crate::core::input::Feed;

/// Passes every line on to `to`, reconnecting when the server restarts; ends when the receiver is gone.
pub async fn follow(feed: UploadFeed, path: &Path, to: mpsc::Sender<Feed>) {
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
        connected = UploadFeed::connect(path).await.ok();
    }
}

/// Passes lines on until the server ends the feed; an error when the receiver is gone.
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
