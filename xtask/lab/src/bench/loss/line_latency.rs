//! Reads the tracer's output as it comes: how late each line is, and how many records were lost.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, Result};
use rustix::time::{ClockId, clock_gettime};
use serde::Deserialize;

use crate::bench::lines::{Lines, Lost, is_of_type};

/// One line in so many of each type is looked at: looking at all would take CPU time from what is
/// measured.
const ONE_IN: u64 = 64;

/// What the whole output had.
#[derive(Default)]
pub(super) struct TracerOutput {
    /// The last line.
    pub(super) summary: Option<Summary>,
    /// What was lost, by hop.
    pub(super) lost: BTreeMap<String, u64>,
    /// From a change of state to the arrival of its line.
    pub(super) states: Latencies,
    /// From a connection's last step to the arrival of its timeline.
    pub(super) timelines: Latencies,
}

/// Totals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Summary {
    /// Records that arrived.
    pub(super) events: u64,
    /// Records that were made, where they were counted.
    pub(super) emitted: Option<u64>,
    /// Records lost; lines that were not written are not among them.
    pub(super) lost: u64,
}

/// How late lines were.
#[derive(Default)]
pub(super) struct Latencies {
    ns: Vec<u64>,
    /// All that came, looked at or not.
    lines: u64,
}

#[derive(Deserialize)]
struct State {
    mono_ns: u64,
}

/// Counts from its own `mono_ns`, which is the connection's begin.
#[derive(Deserialize)]
struct Timeline {
    mono_ns: u64,
    phases: Vec<Phase>,
}

#[derive(Deserialize)]
struct Phase {
    name: String,
    end_ns: Option<u64>,
}

impl TracerOutput {
    /// Reads to the end.
    pub(super) fn read(mut lines: Lines) -> Result<Self> {
        let mut output = Self::default();
        loop {
            let mut taken = Ok(());
            let mut arrived_ns = None;
            let more = lines.read(|line| {
                let arrived_ns = *arrived_ns.get_or_insert_with(now_ns);
                if taken.is_ok() {
                    taken = output.take(line, arrived_ns);
                }
            })?;
            taken.context("the tracer's output cannot be read")?;
            if !more {
                return Ok(output);
            }
        }
    }

    fn take(&mut self, line: &[u8], arrived_ns: u64) -> Result<()> {
        if is_of_type(line, "state") {
            if self.states.wants_next() {
                let state: State = serde_json::from_slice(line)?;
                self.states.add(state.mono_ns, arrived_ns);
            }
        } else if is_of_type(line, "timeline") {
            if self.timelines.wants_next() {
                let timeline: Timeline = serde_json::from_slice(line)?;
                // An unfinished timeline has no end.
                if let Some(end_ns) = timeline.end_ns() {
                    self.timelines.add(end_ns, arrived_ns);
                }
            }
        } else if is_of_type(line, "lost") {
            let lost: Lost = serde_json::from_slice(line)?;
            *self.lost.entry(lost.hop).or_default() += lost.count;
        } else if is_of_type(line, "summary") {
            self.summary = Some(serde_json::from_slice(line)?);
        }
        Ok(())
    }
}

impl Timeline {
    fn end_ns(&self) -> Option<u64> {
        let last = self.phases.iter().find(|phase| phase.name == "termination");
        Some(self.mono_ns + last?.end_ns?)
    }
}

impl Latencies {
    fn wants_next(&mut self) -> bool {
        self.lines += 1;
        self.lines % ONE_IN == 1
    }

    fn add(&mut self, happened_ns: u64, arrived_ns: u64) {
        self.ns.push(arrived_ns.saturating_sub(happened_ns));
    }

    /// How many lines were looked at.
    pub(super) fn count(&self) -> usize {
        self.ns.len()
    }

    /// The latency that `percent` of the lines did not exceed.
    pub(super) fn percentile(&mut self, percent: usize) -> Option<Duration> {
        self.ns.sort_unstable();
        let count = (self.ns.len() * percent).div_ceil(100);
        let ns = self.ns.get(count.checked_sub(1)?)?;
        Some(Duration::from_nanos(*ns))
    }
}

/// The clock of every `mono_ns`.
fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    Duration::try_from(now).map_or(0, |now| u64::try_from(now.as_nanos()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn output(text: &str) -> TracerOutput {
        let (read, mut write) = std::io::pipe().unwrap();
        write.write_all(text.as_bytes()).unwrap();
        drop(write);
        TracerOutput::read(Lines::new(read)).unwrap()
    }

    #[test]
    fn a_line_is_as_late_as_its_event_is_long_ago() {
        let begin = now_ns() - 3_000_000_000;
        let state = format!(r#"{{"type":"state","mono_ns":{begin},"old":"CLOSE"}}"#);
        let ended =
            r#"{"name":"initiation","end_ns":5},{"name":"termination","end_ns":2000000000}"#;
        let timeline = format!(r#"{{"type":"timeline","mono_ns":{begin},"phases":[{ended}]}}"#);
        let mut output = output(&format!("{state}\n{timeline}\n"));
        let late = output.states.percentile(50).unwrap();
        assert!((3..60).contains(&late.as_secs()), "{late:?}");
        let sooner = output.timelines.percentile(50).unwrap();
        assert_eq!(late - sooner, Duration::from_secs(2));
    }

    #[test]
    fn an_unfinished_timeline_is_not_late() {
        let phase = r#"{"name":"termination","end_ns":null}"#;
        let timeline = format!(r#"{{"type":"timeline","mono_ns":7,"phases":[{phase}]}}"#);
        assert_eq!(output(&timeline).timelines.count(), 0);
    }

    #[test]
    fn losses_are_summed_by_hop() {
        let ring = r#"{"type":"lost","count":3,"hop":"ring"}"#;
        let sink = r#"{"type":"lost","count":4,"hop":"sink"}"#;
        let last = r#"{"type":"summary","events":10,"emitted":16,"lost":6}"#;
        let output = output(&[ring, sink, ring, last, ""].join("\n"));
        let lost = [("ring".to_owned(), 6), ("sink".to_owned(), 4)];
        assert_eq!(output.lost, BTreeMap::from(lost));
        let summary = Summary {
            events: 10,
            emitted: Some(16),
            lost: 6,
        };
        assert_eq!(output.summary, Some(summary));
    }

    #[test]
    fn a_percentile_is_one_of_the_numbers() {
        let mut late = Latencies::default();
        for ns in (1..=200).rev() {
            late.add(0, ns);
        }
        for (percent, expected) in [(1, 2), (50, 100), (99, 198), (100, 200)] {
            let found = late.percentile(percent).unwrap();
            assert_eq!(found.as_nanos(), expected, "{percent}");
        }
        assert_eq!(Latencies::default().percentile(50), None);
    }
}
