//! The access log: one line for each request, written when the request is over. It has the request's
//! method and path alone: headers and queries may hold secrets.

use std::{
    fmt::Display,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use axum::http::{Method, StatusCode};
use tracing::info;

use super::connection::{Connection, RequestContext};
use crate::server::forwarded::Forwarded;

/// The line of a request in flight.
pub(crate) struct AccessLine {
    pub(crate) method: Method,
    path: String,
    request: u32,
    forwarded_for: Option<IpAddr>,
    arrived: Instant,
    pub(crate) received: Arc<AtomicU64>,
    pub(crate) sent: u64,
    pub(crate) status: Option<StatusCode>,
}

impl AccessLine {
    /// Call when the request's head is complete.
    pub(crate) fn begin(method: Method, path: String, context: &RequestContext) -> Self {
        Self {
            method,
            path,
            request: context.request,
            forwarded_for: context.forwarded.as_ref().and_then(Forwarded::client),
            arrived: Instant::now(),
            received: Arc::default(),
            sent: 0,
            status: None,
        }
    }

    /// Writes the line. Returns how long the request took.
    pub(crate) fn end(&self, connection: &Connection) -> Duration {
        let took = self.arrived.elapsed();
        // Beyond a trusted proxy, the peer is the proxy.
        let peer = &connection.client;
        let (client, proxy): (&dyn Display, _) = match &self.forwarded_for {
            Some(client) => (client, Some(peer)),
            None => (peer, None),
        };
        info!(
            target: "access",
            method = %self.method,
            target = self.path,
            status = self.status.map(|status| status.as_u16()),
            received = self.received.load(Ordering::Relaxed),
            sent = self.sent,
            duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            client = %client,
            proxy = proxy.map(tracing::field::display),
            cookie = %connection.cookie,
            request = self.request,
            "request",
        );
        took
    }
}
