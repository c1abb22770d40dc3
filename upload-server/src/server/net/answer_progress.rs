//! Whether the client of a request of HTTP/2 takes the answer. TCP has a timeout for bytes that the other end does
//! not take (`TCP_USER_TIMEOUT`), which covers HTTP/1.1. A client of HTTP/2 can leave a single answer in the
//! server, with a file and a stream, while TCP has nothing to send: the windows of HTTP/2 are up to the client.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until};

tokio::task_local! {
    static CURRENT: Arc<AnswerProgress>;
}

/// Since when the bytes that are next in an answer wait for the client. None while there are none.
#[derive(Default)]
pub(super) struct AnswerProgress(Mutex<Option<Instant>>);

impl AnswerProgress {
    /// Runs a request to the end of its answer, or gives it up once the client has taken none of it for this long.
    /// Returns whether it ended.
    pub(super) async fn watch(request: impl Future<Output = ()>, limit: Duration) -> bool {
        let progress = Arc::<Self>::default();
        let request = CURRENT.scope(Arc::clone(&progress), request);
        tokio::select! {
            () = request => true,
            () = progress.stalled(limit) => false,
        }
    }

    /// That of the request that this task runs. None for one that nobody watches.
    pub(super) fn current() -> Option<Arc<Self>> {
        CURRENT.try_with(Arc::clone).ok()
    }

    /// Call when bytes are ready for the client: it has taken those before.
    pub(super) fn ready(&self) {
        *self.0.lock() = Some(Instant::now());
    }

    /// Call when the client has taken everything, and the next bytes are not there yet.
    pub(super) fn taken(&self) {
        *self.0.lock() = None;
    }

    async fn stalled(&self, limit: Duration) {
        loop {
            let now = Instant::now();
            let since = self.0.lock().unwrap_or(now);
            if since + limit <= now {
                return;
            }
            sleep_until(since + limit).await;
        }
    }
}
