//! The access log: one line for each request, when it is over. Of what the client sent it has the
//! method and the path alone: headers and queries may hold secrets.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use axum::http::{Method, StatusCode};
use tracing::info;

use super::connection::Connection;

/// A line that is being written.
pub(crate) struct AccessLine {
    pub(crate) method: Method,
    path: String,
    request: u32,
    arrived: Instant,
    pub(crate) received: Arc<AtomicU64>,
    pub(crate) sent: u64,
    pub(crate) status: Option<StatusCode>,
}

impl AccessLine {
    /// A request's head is complete.
    pub(crate) fn begin(method: Method, path: String, request: u32) -> Self {
        Self {
            method,
            path,
            request,
            arrived: Instant::now(),
            received: Arc::default(),
            sent: 0,
            status: None,
        }
    }

    /// Writes it; gives how long the request took.
    pub(crate) fn end(&self, connection: &Connection) -> Duration {
        let took = self.arrived.elapsed();
        info!(
            target: "access",
            method = %self.method,
            target = self.path,
            status = self.status.map(|status| status.as_u16()),
            received = self.received.load(Ordering::Relaxed),
            sent = self.sent,
            duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            client = %connection.client,
            cookie = %connection.cookie,
            request = self.request,
            "request",
        );
        took
    }
}
