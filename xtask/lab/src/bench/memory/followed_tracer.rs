//! A tracer whose output is read until it has reported the expected connections.

use std::{
    collections::HashMap,
    io,
    os::fd::AsFd as _,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use serde::Deserialize;

use crate::bench::{
    Bench,
    captured_output::CapturedOutput,
    lines::{Lines, Lost, is_of_type},
    process::Process,
    tracing::attached,
};

/// Longer than the tracer takes to report a connection.
const PATIENCE: Duration = Duration::from_secs(20);

/// Everything resident, with the program's file, and with the ring buffer, which is mapped twice and so counted twice.
const RESIDENT: &str = "VmRSS";
/// The tracer's allocator keeps what is freed for up to a second.
const SETTLED: Duration = Duration::from_millis(1500);
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Dropped, it finds its output closed and ends at once.
pub(super) struct FollowedTracer {
    // Dropped before the tracer.
    lines: Lines,
    process: Process,
    stderr: CapturedOutput,
    dropped: u64,
}

/// What of a line `state` is looked at.
#[derive(Deserialize)]
struct State<'a> {
    connection: &'a str,
    new: &'a str,
}

impl FollowedTracer {
    /// Starts one with these arguments, which are to have `-o ndjson` among them.
    pub(super) fn start(bench: &Bench, arguments: &[&str]) -> Result<Self> {
        let (read, write) = io::pipe()?;
        let stderr = CapturedOutput::new(bench.scratch.path())?;
        Ok(Self {
            process: attached(bench, arguments, write.into(), &stderr)?,
            lines: Lines::new(read),
            stderr,
            dropped: 0,
        })
    }

    /// Its resident bytes, once its allocator has returned what was freed. The allocator does not
    /// report when that is, so this waits until the number has not fallen for a while.
    pub(super) fn held(&mut self, bench: &Bench) -> Result<u64> {
        let mut least = self.process.memory(RESIDENT)?;
        let mut since = Instant::now();
        while since.elapsed() < SETTLED {
            let lines = [self.lines.as_fd()];
            if bench.stop.wait(&lines, LOOK_AGAIN)?.is_some() {
                self.read(&mut HashMap::new())?;
            }
            let now = self.process.memory(RESIDENT)?;
            if now < least {
                least = now;
                since = Instant::now();
            }
        }
        Ok(least)
    }

    /// How many connections it has dropped because its table was full.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Waits until it has reported both ends of these connections as open. They are named by the
    /// cookies of their clients' sockets.
    pub(super) fn wait_until_reported(&mut self, cookies: &[u64], bench: &Bench) -> Result<()> {
        let names = cookies.iter().map(u64::to_string);
        let mut ends: HashMap<String, u32> = names.map(|name| (name, 2)).collect();
        let until = Instant::now() + PATIENCE;
        while !ends.is_empty() {
            let left = until.saturating_duration_since(Instant::now());
            if bench.stop.wait(&[self.lines.as_fd()], left)?.is_none() {
                bail!("the tracer did not report {} connections", ends.len());
            }
            self.read(&mut ends)?;
        }
        Ok(())
    }

    /// Reads what it has printed; `ends` holds how many ends of each connection are not open yet.
    fn read(&mut self, ends: &mut HashMap<String, u32>) -> Result<()> {
        let mut taken = Ok(());
        let more = self.lines.read(|line| {
            if taken.is_ok() {
                taken = take(line, ends, &mut self.dropped);
            }
        })?;
        if !more {
            bail!("the tracer ended too early: {}", self.stderr.reason()?);
        }
        taken
    }
}

fn take(line: &[u8], ends: &mut HashMap<String, u32>, dropped: &mut u64) -> Result<()> {
    if is_of_type(line, "state") {
        let state: State<'_> = serde_json::from_slice(line)?;
        if state.new == "ESTABLISHED"
            && let Some(left) = ends.get_mut(state.connection)
        {
            *left -= 1;
            if *left == 0 {
                ends.remove(state.connection);
            }
        }
    } else if is_of_type(line, "lost") {
        let lost: Lost = serde_json::from_slice(line)?;
        if lost.hop != "table" {
            bail!("the tracer lost {} at {}", lost.count, lost.hop);
        }
        *dropped += lost.count;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(lines: &[&str]) -> Result<(Vec<String>, u64)> {
        let mut ends = HashMap::from([("7".to_owned(), 2), ("8".to_owned(), 2)]);
        let mut dropped = 0;
        for line in lines {
            take(line.as_bytes(), &mut ends, &mut dropped)?;
        }
        let mut left: Vec<String> = ends.into_keys().collect();
        left.sort();
        Ok((left, dropped))
    }

    #[test]
    fn a_connection_counts_once_both_ends_are_open() {
        let opened = r#"{"type":"state","connection":"7","end":"client","new":"ESTABLISHED"}"#;
        let other = r#"{"type":"state","connection":"9","end":"client","new":"ESTABLISHED"}"#;
        let closed = r#"{"type":"state","connection":"8","end":"client","new":"CLOSE"}"#;
        let (left, _) = taken(&[opened, other, closed, closed]).unwrap();
        assert_eq!(left, ["7", "8"]);
        let (left, _) = taken(&[opened, opened]).unwrap();
        assert_eq!(left, ["8"]);
    }

    #[test]
    fn what_the_table_drops_is_counted_and_what_is_lost_elsewhere_is_an_error() {
        let table = r#"{"type":"lost","count":3,"hop":"table"}"#;
        let ring = r#"{"type":"lost","count":3,"hop":"ring"}"#;
        assert_eq!(taken(&[table, table]).unwrap().1, 6);
        assert!(taken(&[ring]).is_err());
    }
}
