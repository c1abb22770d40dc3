//! Answers that take much memory while they are made: only a few at a time are. The others wait in line.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use tokio::sync::Semaphore;

/// The answers of some routes. Clones share the limit.
#[derive(Clone)]
pub(crate) struct FewAtOnce(Arc<Semaphore>);

impl FewAtOnce {
    pub(crate) fn new(most: usize) -> Self {
        Self(Arc::new(Semaphore::new(most)))
    }

    /// Waits until it may, and answers.
    pub(crate) async fn wait(State(few): State<Self>, request: Request, next: Next) -> Response {
        // It is never closed.
        let _permit = few.0.acquire().await.ok();
        next.run(request).await
    }
}
