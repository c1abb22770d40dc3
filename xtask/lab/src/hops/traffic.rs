//! Requests of others through the same proxies, over connections that are kept, as many as they take.

use std::{
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use xtask::command::is_installed;

use super::{PROXIES, place::Place};
use crate::bench::{process::Process, stop::Stop};

/// How long wrk may take to end.
const ENDS: Duration = Duration::from_secs(20);

/// Dropped, it is ended.
pub(crate) struct Traffic(Process);

impl Traffic {
    /// Starts it; its connections are open then.
    pub(crate) fn start(place: &Place, url: &str, stop: &Stop) -> Result<Self> {
        if !is_installed("wrk") {
            bail!("--traffic needs wrk");
        }
        let mut wrk = Command::new("wrk");
        // An answer of three bytes.
        wrk.args(["-t1", "-c8", "-d1h"])
            .arg(format!("{url}healthz"))
            .stdout(Stdio::piped());
        let wrk = place.start("wrk", &mut wrk)?;
        place.wait_until_somebody_connects(&wrk, PROXIES, stop)?;
        Ok(Self(wrk))
    }

    /// Ends it; gives the number of requests that were answered.
    pub(crate) fn end(self, stop: &Stop) -> Result<u64> {
        self.0.interrupt()?;
        let printed = self.0.finish(ENDS, stop)?;
        match requests(&printed).context("wrk names no number of requests")? {
            0 => bail!("no other request was answered"),
            some => Ok(some),
        }
    }
}

fn requests(printed: &str) -> Option<u64> {
    let mut lines = printed.lines();
    let (number, _) = lines.find_map(|line| line.trim().split_once(" requests in "))?;
    number.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_requests_is_read() {
        let printed = "Running 1s test\n  14121 requests in 1.01s, 1.94MB read\nRequests/sec: 9\n";
        assert_eq!(requests(printed), Some(14_121));
        assert_eq!(requests("Running 1s test"), None);
    }
}
