//! The limits of the server: sizes, concurrency and rates.

pub(crate) mod admission;
mod client_slots;
mod free_space;
mod limited_body;

use std::time::Duration;

use rustix::process::{Resource, getrlimit};
use tracing::info;

pub(crate) use self::client_slots::{ClientSlot, ClientSlots, network};
pub(crate) use self::free_space::{FreeSpace, Shortage};

/// Descriptors set aside for everything but connections and uploads.
const OTHER_DESCRIPTORS: usize = 32;

#[derive(Clone, Debug)]
pub struct Limits {
    /// The largest file, in bytes.
    pub max_size: Option<u64>,
    /// How many bytes of the disk uploads leave free.
    pub min_free: u64,
    /// Concurrent connections. Beyond that, the one silent for longest is closed; where none is
    /// silent, requests are refused.
    pub connections: usize,
    /// Concurrent uploads.
    pub uploads: usize,
    /// Concurrent uploads of one client: an IPv4 address, or an IPv6 /64 network.
    pub uploads_per_client: usize,
    /// Concurrent downloads.
    pub downloads: usize,
    /// Concurrent downloads of one client.
    pub downloads_per_client: usize,
    /// Timeout for the TLS handshake, for a request's head, and between requests.
    pub head: Duration,
    /// How long a client may pause within a body, or read nothing of a response.
    pub idle: Duration,
    /// The minimum rate of a body, in bytes per second.
    pub min_rate: u64,
    /// The rate is measured over this much time spent waiting for the client.
    pub rate_window: Duration,
}

impl Limits {
    /// The configured number of connections, or as many as this process has descriptors for. Each
    /// connection takes one descriptor, and each upload and each download another for its file.
    pub(crate) fn connections_that_fit(&self) -> usize {
        let descriptors = descriptors();
        let files = self.uploads + self.downloads_that_fit();
        let fit = descriptors
            .saturating_sub(OTHER_DESCRIPTORS + files)
            .max(descriptors / 4);
        if fit < self.connections {
            info!(
                connections = fit,
                "the limit of open files allows fewer connections than configured"
            );
        }
        self.connections.min(fit)
    }

    /// The configured number of downloads, or a quarter of this process's descriptors.
    pub(crate) fn downloads_that_fit(&self) -> usize {
        self.downloads.min(descriptors() / 4)
    }
}

/// How many descriptors this process may have.
fn descriptors() -> usize {
    let descriptors = getrlimit(Resource::Nofile).current;
    descriptors.map_or(usize::MAX, |most| most.try_into().unwrap_or(usize::MAX))
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_size: None,
            min_free: 0,
            connections: 10_000,
            uploads: 256,
            uploads_per_client: 128,
            downloads: 256,
            downloads_per_client: 128,
            head: Duration::from_secs(30),
            idle: Duration::from_secs(60),
            min_rate: 500,
            rate_window: Duration::from_secs(20),
        }
    }
}
