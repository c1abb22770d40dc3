//! Measures connections: histograms and counters of what the outputs have. Each exporter of metrics keeps its own, and
//! reads them as [`Metric`]s.
//!
//! A label has only values that this program knows: names that strangers choose are never labels, so what is kept has
//! a limit.

mod family;
mod histogram;
mod metric;
mod names;
mod timelines;

use tracer_ebpf::hook::HOOKS;
use upload_protocol::line::Hop;

use self::{family::Family, timelines::Timelines};
pub use self::{
    histogram::Histogram,
    metric::{Labels, Metric, Points, Unit},
};
use crate::core::{event::RecordKind, input::ProgramCost, output::Output, pipeline::Counts};

/// What was measured since the start.
#[derive(Clone, Debug)]
pub struct Measures {
    timelines: Timelines,
    /// Uploads that ended, by outcome.
    uploads: Family<u64>,
    /// What was lost, by hop.
    lost: Family<u64>,
    counts: Counts,
    /// What each program cost; none where the kernel does not count it.
    programs: Vec<(&'static str, ProgramCost)>,
}

impl Default for Measures {
    /// Counters begin at 0, so that their first growth is seen.
    fn default() -> Self {
        Self {
            timelines: Timelines::default(),
            uploads: Family::beginning_at_0(names::OUTCOMES.map(|outcome| [("outcome", outcome)])),
            lost: Family::beginning_at_0(names::HOPS.map(|hop| [("hop", names::hop(hop))])),
            counts: Counts::default(),
            programs: Vec::new(),
        }
    }
}

impl Measures {
    /// Takes a turn's outputs. A connection is measured when its final timeline comes.
    pub fn take(&mut self, outputs: &[Output]) {
        for output in outputs {
            match output {
                Output::Timeline(timeline) => self.timelines.take(timeline),
                Output::Upload(upload) => {
                    let outcome = names::outcome(upload.outcome);
                    *self.uploads.of([("outcome", outcome)]) += 1;
                }
                Output::Lost(lost) => {
                    let count = self.lost.of([("hop", names::hop(lost.hop))]);
                    *count = count.saturating_add(lost.count);
                }
                Output::State(_)
                | Output::Segment(_)
                | Output::Progress(_)
                | Output::Snapshot(_)
                | Output::Summary(_) => {}
            }
        }
    }

    /// Sets what the pipeline counts.
    pub const fn set_counts(&mut self, counts: Counts) {
        self.counts = counts;
    }

    /// Sets how many outputs the sinks have lost so far.
    pub fn set_sink_lost(&mut self, count: u64) {
        *self.lost.of([("hop", names::hop(Hop::Sink))]) = count;
    }

    /// Sets what each program has cost so far.
    pub fn set_cost(&mut self, cost: &[ProgramCost]) {
        let known = cost.iter().filter_map(|cost| {
            let hook = HOOKS.iter().find(|hook| hook.program == cost.name)?;
            Some((hook.program, cost.clone()))
        });
        self.programs = known.collect();
    }

    /// Everything, in a fixed order.
    #[must_use]
    pub fn metrics(&self) -> Vec<Metric<'_>> {
        let mut metrics = self.timelines.metrics();
        metrics.extend([
            Metric {
                name: "tracer.connections.open",
                help: "Connections that are open, or ended and not reported yet",
                unit: Unit::Count("{connection}"),
                points: Points::gauge(self.counts.open),
            },
            Metric {
                name: "tracer.uploads",
                help: "Uploads that ended",
                unit: Unit::Count("{upload}"),
                points: self.uploads.counters(),
            },
            Metric {
                name: "tracer.records",
                help: "Records of the kernel that were decoded",
                unit: Unit::Count("{record}"),
                points: Points::Counters(
                    RecordKind::ALL
                        .iter()
                        .zip(self.counts.records)
                        .map(|(kind, count)| (Labels::from_slice(&[("kind", kind.name())]), count))
                        .collect(),
                ),
            },
            Metric {
                name: "tracer.lost",
                help: "What was lost: records, and connections (table), uploads (feed), outputs (sink), spans (otlp). At most so many at the hops recursion, early and feed",
                unit: Unit::Count("{loss}"),
                points: self.lost.counters(),
            },
            Metric {
                name: "tracer.program.runs",
                help: "Runs of each eBPF program, where the kernel counts them (kernel.bpf_stats_enabled)",
                unit: Unit::Count("{run}"),
                points: self.of_programs(|cost| cost.runs),
            },
            Metric {
                name: "tracer.program.run_time",
                help: "Time that each eBPF program took, likewise",
                unit: Unit::Seconds,
                points: self.of_programs(|cost| cost.run_ns),
            },
        ]);
        metrics
    }

    fn of_programs(&self, value: impl Fn(&ProgramCost) -> u64) -> Points<'_> {
        let programs = self.programs.iter();
        let points =
            programs.map(|(name, cost)| (Labels::from_slice(&[("program", *name)]), value(cost)));
        Points::Counters(points.collect())
    }
}

#[cfg(test)]
mod tests;
