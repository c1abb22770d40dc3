//! `tracer doctor`: whether this machine can trace, and whether the tracer sees what the kernel
//! itself prints. One line per check: ok, degraded (and what is lost), missing (and what to do).

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
use upload_protocol::plain::plain;

/// The result of one check.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Finding {
    /// The name of the check.
    check: &'static str,
    verdict: Verdict,
    /// What was found, what is lost, or what to do.
    text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Ok,
    /// The tracer works, with a loss.
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
    fn ok(check: &'static str, text: impl Into<String>) -> Self {
        Self::new(check, Verdict::Ok, text)
    }

    fn degraded(check: &'static str, text: impl Into<String>) -> Self {
        Self::new(check, Verdict::Degraded, text)
    }

    fn missing(check: &'static str, text: impl Into<String>) -> Self {
        Self::new(check, Verdict::Missing, text)
    }

    fn new(check: &'static str, verdict: Verdict, text: impl Into<String>) -> Self {
        Self {
            check,
            verdict,
            text: text.into(),
        }
    }
}

/// Runs every check and prints the findings. Success where the tracer can trace.
///
/// # Errors
/// When stdout cannot be written.
pub fn doctor() -> Result<ExitCode> {
    let mut findings = machine::examine();
    findings.extend(self_check::examine());
    findings.extend(building::examine());
    print(&findings, &mut io::stdout().lock()).context("writing to stdout")?;
    let works = findings.iter().all(|one| one.verdict != Verdict::Missing);
    Ok(if works {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn print(findings: &[Finding], to: &mut impl Write) -> io::Result<()> {
    for Finding {
        check,
        verdict,
        text,
    } in findings
    {
        // A path, or the name of a program, may have any characters.
        let text = plain(text);
        writeln!(to, "{check:<16} {verdict:<9} {text}")?;
    }
    to.flush()
}

#[cfg(test)]
mod tests {
    use super::{Finding, print};

    #[test]
    fn nothing_acts_on_a_terminal() {
        let mut printed = Vec::new();
        let finding = Finding::ok("cgroup v2", "/sys/\u{9b}2J\u{202e}");
        print(&[finding], &mut printed).unwrap();
        let expected = "cgroup v2        ok        /sys/\\u{9b}2J\\u{202e}\n";
        assert_eq!(String::from_utf8(printed).unwrap(), expected);
    }
}
