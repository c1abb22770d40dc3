//! What the server bears: how much, how many at a time, and how slowly.

pub(crate) mod admission;
mod free_space;
mod limited_body;
mod upload_slots;

use std::time::Duration;

use rustix::process::{Resource, getrlimit};
use tracing::info;

/// How many descriptors are left for what is neither a connection nor an upload.
const OTHER_DESCRIPTORS: usize = 32;

/// The limits, all of them.
#[derive(Clone, Debug)]
pub struct Limits {
    /// The most bytes that a file may have.
    pub max_size: Option<u64>,
    /// How many bytes of the disk are never taken by uploads.
    pub min_free: u64,
    /// How many connections are held at a time. Beyond, the one that has been silent for longest
    /// makes room; where none is, requests are refused.
    pub connections: usize,
    /// How many uploads are taken at a time.
    pub uploads: usize,
    /// How many of them one client may have: an IPv4 address, or an IPv6 network of 64 bits.
    pub uploads_per_client: usize,
    /// How long a client may take for the TLS handshake, for a request's head, and to come with its
    /// next request.
    pub head: Duration,
    /// How long a client may pause within a body, or leave a response untouched.
    pub idle: Duration,
    /// How many bytes of a body a client must send per second.
    pub min_rate: u64,
    /// Over how much time, spent waiting for the client, that is measured.
    pub rate_window: Duration,
}

impl Limits {
    /// As many connections as asked for, or as this process has descriptors for: each takes one,
    /// and each upload another for its file.
    pub(crate) fn connections_that_fit(&self) -> usize {
        let descriptors = getrlimit(Resource::Nofile).current;
        let descriptors =
            descriptors.map_or(usize::MAX, |most| most.try_into().unwrap_or(usize::MAX));
        let fit = descriptors
            .saturating_sub(OTHER_DESCRIPTORS + self.uploads)
            .max(descriptors / 4);
        if fit < self.connections {
            info!(
                connections = fit,
                "fewer connections than allowed: see the limit of open files"
            );
        }
        self.connections.min(fit)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_size: None,
            min_free: 0,
            connections: 10_000,
            uploads: 256,
            uploads_per_client: 128,
            head: Duration::from_secs(30),
            idle: Duration::from_secs(60),
            min_rate: 500,
            rate_window: Duration::from_secs(20),
        }
    }
}
