//! The same wire of the kernel's own parts, for kernels that have `netem`: a bridge in a network namespace of its
//! own, between a `veth` pair to each end. What waits there waits on the path, and in no queue of an end.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::{Way, addresses, ip, tool};

/// Bytes of a full frame, in which `netem` counts its queue.
const FRAME: usize = 1514;
/// A queue that holds whatever comes.
const ANY_NUMBER: usize = 100_000;

/// A wire. Dropped, it takes its namespace away, and with it the devices.
#[derive(Debug)]
pub struct NetemWire {
    bridge: String,
}

impl NetemWire {
    /// Like [`Wire::lay`](crate::Wire::lay), with IPv4 alone and without translation of ports.
    ///
    /// # Errors
    /// When a way does what `netem` cannot, and when a device or a queue cannot be made.
    pub fn lay((near, far): (&Path, &Path), number: u8, (up, down): (Way, Way)) -> Result<Self> {
        let wire = Self {
            bridge: format!("wire-{}-{number}", std::process::id()),
        };
        tool(&["ip", "netns", "add", &wire.bridge])?;
        let middle = wire.namespace();
        ip(&middle, "link add bridge type bridge")?;
        ip(&middle, "link set bridge up")?;
        let (client, server) = addresses(number);
        for (end, port, address, way) in [(near, "near", client, down), (far, "far", server, up)] {
            let device = format!("far{number}");
            let end_ns = end.display();
            ip(
                &middle,
                &format!("link add {port} type veth peer name {device} netns {end_ns}"),
            )?;
            ip(
                &middle,
                &format!("link set {port} gso_max_segs 1 master bridge up"),
            )?;
            ip(end, &format!("address add {address}/24 dev {device}"))?;
            // A segment is lost alone, not a large frame with many.
            ip(end, &format!("link set {device} gso_max_segs 1 up"))?;
            let netem = way.netem().context("netem cannot do that")?;
            let middle = format!("--net={}", middle.display());
            let mut words = vec![
                "nsenter", &middle, "tc", "qdisc", "add", "dev", port, "root",
            ];
            words.push("netem");
            words.extend(netem.split(' '));
            tool(&words)?;
        }
        Ok(wire)
    }

    fn namespace(&self) -> PathBuf {
        Path::new("/run/netns").join(&self.bridge)
    }
}

impl Drop for NetemWire {
    fn drop(&mut self) {
        // It may be gone.
        let _ = tool(&["ip", "netns", "delete", &self.bridge]);
    }
}

impl Way {
    /// How `netem` does the same, with random losses in place of regular ones; `None` where it cannot.
    #[must_use]
    pub fn netem(&self) -> Option<String> {
        let Self {
            delay_ms,
            rate_kbit,
            queue,
            lose_every,
            ..
        } = *self;
        let known = Self {
            delay_ms,
            rate_kbit,
            queue,
            lose_every,
            ..Self::DIRECT
        };
        if *self != known {
            return None;
        }
        let frames = match queue {
            0 => ANY_NUMBER,
            bytes => (bytes / FRAME).max(1),
        };
        let mut words = format!("limit {frames} delay {delay_ms}ms");
        if rate_kbit > 0 {
            words += &format!(" rate {rate_kbit}kbit");
        }
        if let Some(permille) = 1000_u64.checked_div(lose_every) {
            words += &format!(" loss {}.{}%", permille / 10, permille % 10);
        }
        Some(words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_in_the_words_of_netem() {
        let netem = |way: &str| way.parse::<Way>().unwrap().netem();
        let words = "limit 39 delay 20ms rate 8000kbit loss 1.0%";
        assert_eq!(
            netem("delay=20 rate=8000 queue=60000 lose=100").as_deref(),
            Some(words)
        );
        assert_eq!(netem("").as_deref(), Some("limit 100000 delay 0ms"));
        for way in ["jitter=1", "outage=1..2", "unscaled=1", "largest=1000"] {
            assert_eq!(netem(way), None, "{way}");
        }
    }
}
