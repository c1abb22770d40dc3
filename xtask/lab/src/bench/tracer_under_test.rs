//! What traces during a measurement: the tracer with some arguments, a peer, or empty eBPF
//! programs.

use std::time::Duration;

use anyhow::{Result, bail};

use super::{
    Bench,
    hooks::{self, Hooks},
    load::Load,
    peer::{Peer, RunningPeer},
    process::Process,
    stop::Stop,
    tracing::{Summary, Tracing},
};

#[derive(Clone, Copy, Debug)]
pub(crate) enum TracerUnderTest {
    /// The tracer with these arguments.
    Tracer(&'static [&'static str]),
    /// A peer.
    Peer(Peer),
    /// See [`Hooks`].
    Hooks,
}

/// The tracer's default; nothing else answers, whatever servers this machine has.
pub(crate) const DEFAULT: TracerUnderTest = TracerUnderTest::Tracer(&["--all"]);
/// With every segment.
pub(crate) const SEGMENTS: TracerUnderTest =
    TracerUnderTest::Tracer(&["--all", "--segments", "-o", "ndjson"]);
/// With a filter that matches nothing.
pub(crate) const NOTHING: TracerUnderTest = TracerUnderTest::Tracer(&["--port", "9"]);

/// One that runs. Dropped, it is ended.
pub(crate) enum Running {
    Tracer(Tracing),
    Peer(RunningPeer),
    Hooks(Hooks),
}

/// What it reported at its end.
pub(crate) struct Ended {
    /// How much it lost, by its own account.
    pub(crate) lost: u64,
    /// The tracer's summary; peers have none.
    pub(crate) summary: Option<Summary>,
}

impl TracerUnderTest {
    /// As in the table.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Tracer(arguments) => format!("tracer {}", arguments.join(" ")),
            Self::Peer(peer) => peer.name().to_owned(),
            Self::Hooks => hooks::NAME.to_owned(),
        }
    }

    /// Starts it, and waits until it traces.
    pub(crate) fn start(&self, bench: &Bench, load: &Load) -> Result<Running> {
        Ok(match self {
            Self::Tracer(arguments) => Running::Tracer(Tracing::start(bench, arguments)?),
            Self::Peer(peer) => Running::Peer(peer.start(bench, load)?),
            Self::Hooks => Running::Hooks(Hooks::attach()?),
        })
    }

    /// An error if the tracer did not see the connections that it should have: its cost is then not
    /// comparable.
    pub(crate) fn check(&self, ended: &Ended, connections: f64) -> Result<()> {
        let (Self::Tracer(arguments), Some(summary)) = (self, &ended.summary) else {
            return Ok(());
        };
        let seen = summary.connections as f64;
        let is_right = match arguments.contains(&"--all") {
            true => ended.lost > 0 || seen >= connections,
            false => summary.events == 0,
        };
        if !is_right {
            bail!(
                "{} reported {seen} of {connections} connections: its cost cannot be compared",
                self.name()
            );
        }
        Ok(())
    }
}

impl Running {
    /// Its process, where it has one.
    pub(crate) fn process(&self) -> Option<&Process> {
        match self {
            Self::Tracer(tracing) => Some(tracing.process()),
            Self::Peer(peer) => Some(peer.process()),
            Self::Hooks(_) => None,
        }
    }

    /// The CPU time that its process took.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        self.process().map_or(Ok(Duration::ZERO), Process::cpu)
    }

    /// An error where its process has ended.
    pub(crate) fn check(&self) -> Result<()> {
        self.process().map_or(Ok(()), Process::check)
    }

    /// Ends it as by Ctrl-C.
    pub(crate) fn end(self, stop: &Stop) -> Result<Ended> {
        Ok(match self {
            Self::Tracer(tracing) => {
                let summary = tracing.end(stop)?;
                Ended {
                    lost: summary.lost,
                    summary: Some(summary),
                }
            }
            Self::Peer(peer) => Ended {
                lost: peer.end(stop)?,
                summary: None,
            },
            Self::Hooks(hooks) => {
                hooks.detach();
                Ended {
                    lost: 0,
                    summary: None,
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_right(subject: TracerUnderTest, connections: u64, events: u64, lost: u64) -> bool {
        let summary = Summary {
            connections,
            events,
            lost,
        };
        let ended = Ended {
            lost,
            summary: Some(summary),
        };
        subject.check(&ended, 100.0).is_ok()
    }

    #[test]
    fn a_tracer_that_saw_too_little_was_not_measured() {
        assert!(is_right(DEFAULT, 101, 1000, 0));
        assert!(!is_right(DEFAULT, 99, 1000, 0));
        assert!(is_right(DEFAULT, 99, 1000, 1));
    }

    #[test]
    fn a_filter_that_matches_nothing_matches_nothing() {
        assert!(is_right(NOTHING, 0, 0, 0));
        assert!(!is_right(NOTHING, 0, 1, 0));
    }
}
