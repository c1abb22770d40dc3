//! The machine that was measured on, and the time.

use std::{fs, thread};

use serde::Serialize;

#[derive(Serialize)]
pub(crate) struct Machine {
    /// When the measuring began, RFC 3339.
    pub(crate) date: String,
    /// The commit that was measured, where it is known.
    pub(crate) commit: Option<String>,
    /// The kernel's release.
    pub(crate) kernel: String,
    /// The architecture, from uname.
    pub(crate) architecture: String,
    /// The processor's own name for itself.
    pub(crate) cpu: String,
    /// How many processors there are.
    pub(crate) cpus: usize,
    /// Runnable tasks, averaged over the minute before: above 0, something else was running.
    pub(crate) load_before: Option<f64>,
}

impl Machine {
    /// This one, now.
    pub(crate) fn this(commit: Option<String>) -> Self {
        let name = rustix::system::uname();
        let cpu = fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| {
            let line = text.lines().find(|line| line.starts_with("model name"))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        });
        let load = fs::read_to_string("/proc/loadavg").ok();
        Self {
            date: jiff::Timestamp::now().to_string(),
            commit,
            kernel: name.release().to_string_lossy().into_owned(),
            architecture: name.machine().to_string_lossy().into_owned(),
            cpu: cpu.unwrap_or_else(|| "unknown".into()),
            cpus: thread::available_parallelism().map_or(1, usize::from),
            load_before: load.and_then(|load| load.split(' ').next()?.parse().ok()),
        }
    }
}
