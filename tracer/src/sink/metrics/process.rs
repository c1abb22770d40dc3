//! What this process takes of its machine, by the names that Prometheus' clients have for it.

use procfs::{
    boot_time_secs, page_size,
    process::{Process as ProcFs, StatM},
    ticks_per_second,
};
use rustix::time::{ClockId, clock_gettime};

use crate::core::measures::{Labels, Metric, Points, Unit};

/// This process.
pub(super) struct Process {
    /// When it started, in nanoseconds since the Unix epoch; `None` where `/proc` does not have it.
    start_ns: Option<u64>,
}

/// Its present numbers.
#[derive(Debug)]
pub(super) struct Reading {
    cpu_ns: u64,
    start_ns: Option<u64>,
    memory: Option<StatM>,
}

impl Process {
    pub(super) fn own() -> Self {
        Self {
            start_ns: start_ns(),
        }
    }

    pub(super) fn reading(&self) -> Reading {
        let used = clock_gettime(ClockId::ProcessCPUTime);
        let seconds = u64::try_from(used.tv_sec).unwrap_or_default();
        let nanoseconds = u64::try_from(used.tv_nsec).unwrap_or_default();
        Reading {
            cpu_ns: seconds * NS_PER_SECOND + nanoseconds,
            start_ns: self.start_ns,
            memory: ProcFs::myself().and_then(|myself| myself.statm()).ok(),
        }
    }
}

const NS_PER_SECOND: u64 = 1_000_000_000;

impl Reading {
    pub(super) fn metrics(&self) -> Vec<Metric<'static>> {
        let one = |value| vec![(Labels::new(), value)];
        let mut metrics = vec![Metric {
            name: "process.cpu",
            help: "CPU time of the tracer, without its eBPF programs",
            unit: Unit::Seconds,
            points: Points::Counters(one(self.cpu_ns)),
        }];
        let mut gauge = |name, help, unit, value| {
            let points = Points::Gauges(one(value));
            metrics.push(Metric {
                name,
                help,
                unit,
                points,
            });
        };
        if let Some(start_ns) = self.start_ns {
            gauge(
                "process.start_time",
                "When the tracer started, since the Unix epoch",
                Unit::Seconds,
                start_ns,
            );
        }
        if let Some(memory) = &self.memory {
            let page = page_size();
            gauge(
                "process.resident_memory",
                "Memory of the tracer that is in RAM",
                Unit::Bytes,
                memory.resident * page,
            );
            gauge(
                "process.virtual_memory",
                "Address space of the tracer",
                Unit::Bytes,
                memory.size * page,
            );
        }
        metrics
    }
}

fn start_ns() -> Option<u64> {
    let since_boot = ProcFs::myself()
        .and_then(|myself| myself.stat())
        .ok()?
        .starttime;
    let ns_per_tick = NS_PER_SECOND.checked_div(ticks_per_second())?;
    Some(boot_time_secs().ok()? * NS_PER_SECOND + since_boot * ns_per_tick)
}
