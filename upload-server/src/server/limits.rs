//! The limits of the server: sizes, concurrency and rates.

pub(crate) mod admission;
mod announced;
mod client_slots;
pub(crate) mod few_at_once;
mod free_space;
mod limited_body;

use std::time::Duration;

use rustix::process::{Resource, getrlimit};
use tracing::info;

pub(crate) use self::announced::ToCome;
pub(crate) use self::client_slots::{ClientSlot, ClientSlots, network};
#[cfg(test)]
pub(crate) use self::free_space::tests;
pub(crate) use self::free_space::{FreeSpace, Shortage};

/// Descriptors set aside for everything but connections, uploads and downloads: connections that are turned away,
/// the history, the control socket.
const OTHER_DESCRIPTORS: usize = 48;

/// How many files an upload may have open: a resumable one has its bytes twice.
const FILES_PER_UPLOAD: usize = 2;

#[derive(Clone, Debug)]
pub struct Limits {
    /// The largest file, in bytes.
    pub max_size: Option<u64>,
    /// How many bytes of the disk uploads leave free.
    pub min_free: u64,
    /// How many inodes of the disk uploads leave free.
    pub min_free_inodes: u64,
    /// Concurrent connections. Beyond that, the one silent for longest is closed; where none is
    /// silent, requests are refused.
    pub connections: usize,
    /// Concurrent uploads.
    pub uploads: usize,
    /// Concurrent uploads of one client: an IPv4 address, or an IPv6 /64 network.
    pub uploads_per_client: usize,
    /// Unfinished resumable uploads. Each part of a parallel one counts.
    pub unfinished: usize,
    /// Unfinished resumable uploads of one client.
    pub unfinished_per_client: usize,
    /// Concurrent downloads.
    pub downloads: usize,
    /// Concurrent downloads of one client.
    pub downloads_per_client: usize,
    /// Timeout for the TLS handshake, for a request's head, and between requests.
    pub head: Duration,
    /// How long a client may pause within a body, or read nothing of a response.
    pub idle: Duration,
    /// The minimum rate of a body, and at which a client takes an answer, in bytes per second.
    pub min_rate: u64,
    /// The rate is measured over this much time spent waiting for the client.
    pub rate_window: Duration,
}

impl Limits {
    /// The configured number of connections, or as many as this process has descriptors for besides the files of
    /// uploads and downloads.
    pub(crate) fn connections_that_fit(&self) -> usize {
        let files = self.uploads_that_fit() * FILES_PER_UPLOAD + self.downloads_that_fit();
        let fit = descriptors().saturating_sub(files).max(1);
        if fit < self.connections {
            info!(
                connections = fit,
                "the limit of open files allows fewer connections than configured"
            );
        }
        self.connections.min(fit)
    }

    /// The configured number of uploads, or as many as a quarter of the descriptors is enough for.
    pub(crate) fn uploads_that_fit(&self) -> usize {
        let fit = descriptors() / 4 / FILES_PER_UPLOAD;
        self.uploads.min(fit.max(1))
    }

    /// The configured number of downloads, or a quarter of the descriptors.
    pub(crate) fn downloads_that_fit(&self) -> usize {
        self.downloads.min((descriptors() / 4).max(1))
    }
}

/// How many descriptors this process may have for connections and files.
fn descriptors() -> usize {
    let most = getrlimit(Resource::Nofile).current;
    let most = most.map_or(usize::MAX, |most| most.try_into().unwrap_or(usize::MAX));
    most.saturating_sub(OTHER_DESCRIPTORS).max(most / 8)
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_size: None,
            min_free: 0,
            min_free_inodes: 0,
            connections: 10_000,
            uploads: 256,
            uploads_per_client: 128,
            unfinished: 4_096,
            unfinished_per_client: 1_024,
            downloads: 256,
            downloads_per_client: 128,
            head: Duration::from_secs(30),
            idle: Duration::from_secs(60),
            min_rate: 500,
            rate_window: Duration::from_secs(20),
        }
    }
}
