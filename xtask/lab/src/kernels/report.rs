//! The tests to run, and the outcome of each: the same on this machine and in a virtual one, which
//! sends its reports as lines of JSON.

use std::{
    fmt,
    path::PathBuf,
    process::{Command, Stdio},
    time::Instant,
};

use serde::{Deserialize, Serialize};

use xtask::command::is_root;

/// The test without which no other means anything: it runs first.
pub(super) const EVERYTHING_RESTS_ON: &str = "loading::every_program_loads";

/// How long a test may take, in seconds of a machine that is not slow.
const LONGEST_S: u32 = 180;

/// How many lines of a failed test's output are reported.
const LINES: usize = 120;

/// Tests to be run one after another.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Job {
    /// The kernel tests.
    pub(super) binary: PathBuf,
    /// Where cargo would run them.
    pub(super) directory: PathBuf,
    /// Where the snapshots' paths start.
    pub(super) workspace: PathBuf,
    /// Their names.
    pub(super) tests: Vec<String>,
    /// How much more patience than on a real machine.
    pub(super) slowness: u32,
}

/// The outcome of a test.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Report {
    pub(super) test: String,
    /// How it ended.
    pub(super) outcome: Outcome,
    /// How long it took, by the clock of the machine it ran on.
    pub(super) seconds: f64,
}

/// How a test ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    /// With the measurements that it printed.
    Passed(Vec<String>),
    /// With the reason why it cannot run here.
    Skipped(String),
    /// With the last lines of its output.
    Failed(String),
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            test,
            outcome,
            seconds,
        } = self;
        match outcome {
            Outcome::Passed(measured) => {
                write!(f, "{test} passed in {seconds:.1} s")?;
                measured.iter().try_for_each(|line| write!(f, "; {line}"))
            }
            Outcome::Skipped(reason) => write!(f, "{test} skipped: {reason}"),
            Outcome::Failed(output) => write!(f, "{test} FAILED after {seconds:.1} s\n{output}"),
        }
    }
}

impl Job {
    /// Runs each test in a process of its own. Where the programs cannot be loaded, the others show nothing.
    pub(super) fn run(&self, mut each: impl FnMut(Report)) {
        let mut unable = None;
        for test in &self.tests {
            let started = Instant::now();
            let outcome = match &unable {
                Some(reason) => Outcome::Skipped(String::clone(reason)),
                None => self.outcome(test),
            };
            if test == EVERYTHING_RESTS_ON
                && let Outcome::Skipped(reason) = &outcome
            {
                unable = Some(reason.clone());
            }
            each(Report {
                test: test.clone(),
                outcome,
                seconds: started.elapsed().as_secs_f64(),
            });
        }
    }

    fn outcome(&self, test: &str) -> Outcome {
        let mut command = if is_root() {
            Command::new("timeout")
        } else {
            let mut command = Command::new("sudo");
            command.args(["-E", "timeout"]);
            command
        };
        let longest = LONGEST_S.saturating_mul(self.slowness);
        let ended = command
            .args(["--kill-after=10", &longest.to_string()])
            .arg(&self.binary)
            .args(["--exact", test])
            .env("KERNEL_TEST_SLOWNESS", self.slowness.to_string())
            .env("INSTA_WORKSPACE_ROOT", &self.workspace)
            .env("INSTA_UPDATE", "no")
            .current_dir(&self.directory)
            .stdin(Stdio::null())
            .output();
        let ended = match ended {
            Ok(ended) => ended,
            Err(error) => return Outcome::Failed(format!("it cannot be started: {error}")),
        };
        let printed = [ended.stdout, ended.stderr]
            .map(|printed| String::from_utf8_lossy(&printed).into_owned());
        let lines = |start: &'static str| {
            let lines = printed[1].lines();
            lines.filter_map(move |line| line.strip_prefix(start))
        };
        match lines("skipped: ").next() {
            _ if !ended.status.success() => {
                Outcome::Failed(last_lines(&printed, &ended.status.to_string()))
            }
            Some(reason) => Outcome::Skipped(reason.to_owned()),
            None => Outcome::Passed(lines("measured: ").map(str::to_owned).collect()),
        }
    }
}

fn last_lines(printed: &[String; 2], status: &str) -> String {
    let lines: Vec<&str> = printed
        .iter()
        .rev()
        .flat_map(|printed| printed.lines())
        .collect();
    let from = lines.len().saturating_sub(LINES);
    format!("{}\n{status}", lines[from..].join("\n"))
}
