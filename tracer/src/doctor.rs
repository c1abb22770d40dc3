//! `tracer doctor`: what this machine has of what tracing takes, and whether the tracer sees what
//! the kernel itself prints. One line each: ok, degraded (what is lost), missing (what to do).

mod building;
mod machine;
mod printed;
mod self_check;

use std::{
    fmt,
    io::{self, Write},
    process::ExitCode,
};

use anyhow::{Context as _, Result};

/// What came of looking at one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at.
    pub what: &'static str,
    /// How it is.
    pub verdict: Verdict,
    /// What was found; for what is degraded, what is lost, and for what is missing, what to do.
    pub text: String,
}

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// The tracer works, and something is lost.
    Degraded,
    /// Nothing can be traced.
    Missing,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ok => "ok",
            Self::Degraded => "degraded",
            Self::Missing => "missing",
        })
    }
}

impl Finding {
    fn ok(what: &'static str, text: impl Into<String>) -> Self {
        Self::new(what, Verdict::Ok, text)
    }

    fn degraded(what: &'static str, text: impl Into<String>) -> Self {
        Self::new(what, Verdict::Degraded, text)
    }

    fn missing(what: &'static str, text: impl Into<String>) -> Self {
        Self::new(what, Verdict::Missing, text)
    }

    fn new(what: &'static str, verdict: Verdict, text: impl Into<String>) -> Self {
        Self {
            what,
            verdict,
            text: text.into(),
        }
    }
}

/// Looks at everything, and prints it. Success where the tracer can trace.
///
/// # Errors
/// When stdout cannot be written.
pub fn doctor() -> Result<ExitCode> {
    let mut findings = machine::examine();
    findings.extend(self_check::examine());
    findings.extend(building::examine());
    print(&findings, &mut io::stdout().lock()).context("stdout cannot be written")?;
    let works = findings.iter().all(|one| one.verdict != Verdict::Missing);
    Ok(if works {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn print(findings: &[Finding], to: &mut impl Write) -> io::Result<()> {
    for Finding {
        what,
        verdict,
        text,
    } in findings
    {
        writeln!(to, "{what:<16} {verdict:<9} {text}")?;
    }
    to.flush()
}
