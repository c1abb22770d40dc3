//! Options for limits, and the forms of numbers that the command line takes.

use std::time::Duration;

use clap::Args;

use crate::server::Limits;

#[derive(Debug, Args)]
#[command(next_help_heading = "Limits (sizes such as 500M or 2G are powers of 1024)")]
pub struct LimitOptions {
    /// Largest file to accept; 0 for no limit
    #[arg(long, value_name = "BYTES", value_parser = bytes, default_value = "0")]
    max_size: u64,

    /// Disk space that uploads must leave free
    #[arg(long, value_name = "BYTES", value_parser = bytes, default_value = "100M")]
    min_free: u64,

    /// Inodes that uploads must leave free, where the file system has a number of them
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    min_free_inodes: u64,

    /// Concurrent connections; beyond that, the one idle longest is closed
    #[arg(long, value_name = "N", value_parser = count, default_value = "10000")]
    max_connections: usize,

    /// Concurrent uploads; at most an eighth of the open files that the system allows
    #[arg(long, value_name = "N", value_parser = count, default_value = "256")]
    max_uploads: usize,

    /// Concurrent uploads of one client: an IPv4 address or an IPv6 /64 network
    #[arg(long, value_name = "N", value_parser = count, default_value = "128")]
    max_uploads_per_client: usize,

    /// Unfinished resumable uploads; each part of a parallel one counts
    #[arg(long, value_name = "N", value_parser = count, default_value = "4096")]
    max_unfinished: usize,

    /// Unfinished resumable uploads of one client
    #[arg(long, value_name = "N", value_parser = count, default_value = "1024")]
    max_unfinished_per_client: usize,

    /// Concurrent downloads
    #[arg(long, value_name = "N", value_parser = count, default_value = "256")]
    max_downloads: usize,

    /// Concurrent downloads of one client
    #[arg(long, value_name = "N", value_parser = count, default_value = "128")]
    max_downloads_per_client: usize,

    /// Timeout for a TLS handshake, for a request's head, and between requests
    #[arg(long, value_name = "SECS", value_parser = seconds, default_value = "30")]
    header_timeout: Duration,

    /// How long a client may pause within a body, or read nothing of a response
    #[arg(long, value_name = "SECS", value_parser = seconds, default_value = "60")]
    idle_timeout: Duration,

    /// Minimum rate of bodies and answers per second, over any 20 s spent waiting; 0 for no limit
    #[arg(long, value_name = "BYTES", value_parser = bytes, default_value = "500")]
    min_rate: u64,
}

impl LimitOptions {
    /// The limits that they set.
    pub fn limits(&self) -> Limits {
        Limits {
            max_size: Some(self.max_size).filter(|&size| size > 0),
            min_free: self.min_free,
            min_free_inodes: self.min_free_inodes,
            connections: self.max_connections,
            uploads: self.max_uploads,
            uploads_per_client: self.max_uploads_per_client,
            unfinished: self.max_unfinished,
            unfinished_per_client: self.max_unfinished_per_client,
            downloads: self.max_downloads,
            downloads_per_client: self.max_downloads_per_client,
            head: self.header_timeout,
            idle: self.idle_timeout,
            min_rate: self.min_rate,
            ..Limits::default()
        }
    }
}

fn bytes(text: &str) -> Result<u64, String> {
    let (number, shift) = match text.char_indices().next_back() {
        Some((end, 'k' | 'K')) => (&text[..end], 10),
        Some((end, 'M')) => (&text[..end], 20),
        Some((end, 'G')) => (&text[..end], 30),
        Some((end, 'T')) => (&text[..end], 40),
        _ => (text, 0),
    };
    let number: u64 = number
        .parse()
        .map_err(|_| "give a number of bytes, such as 2G".to_owned())?;
    number
        .checked_mul(1 << shift)
        .ok_or_else(|| "no file is that large".to_owned())
}

// The runtime's semaphores cannot count much further, and no machine holds as many.
fn count(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count @ 1..=1_000_000) => Ok(count),
        _ => Err("give a number from 1 to 1000000".to_owned()),
    }
}

/// Seconds, with or without a fraction.
pub fn seconds(text: &str) -> Result<Duration, String> {
    let limit = Duration::from_secs(365 * 24 * 3_600);
    text.parse()
        .ok()
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .filter(|duration| !duration.is_zero() && *duration <= limit)
        .ok_or_else(|| "give a number of seconds, such as 30 or 0.5".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_sizes() {
        check("0", Some(0));
        check("1500", Some(1500));
        check("1k", Some(1 << 10));
        check("500M", Some(500 << 20));
        check("2G", Some(2 << 30));
        check("16777216T", None);
        check("G", None);
        check("2GB", None);
        check("-1", None);
        check("", None);

        fn check(text: &str, expected: Option<u64>) {
            assert_eq!(bytes(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn reads_durations() {
        check("30", Some(30_000));
        check("0.5", Some(500));
        check("0", None);
        check("-1", None);
        check("NaN", None);
        check("inf", None);
        check("1e30", None);
        check("30s", None);

        fn check(text: &str, expected: Option<u64>) {
            let expected = expected.map(Duration::from_millis);
            assert_eq!(seconds(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn reads_counts() {
        assert_eq!(count("1"), Ok(1));
        assert!(count("0").is_err());
        assert!(count("1000001").is_err());
    }
}
