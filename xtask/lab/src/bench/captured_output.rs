//! A program's stderr, kept in a file and shown only if the run fails.

use std::{fs, path::Path, process::Stdio};

use anyhow::{Context as _, Result};
use tempfile::NamedTempFile;

/// Dropped, the file is removed.
pub(crate) struct CapturedOutput(NamedTempFile);

impl CapturedOutput {
    /// An empty file in `directory`.
    pub(crate) fn new(directory: &Path) -> Result<Self> {
        NamedTempFile::new_in(directory)
            .map(Self)
            .context("no file for a program's stderr")
    }

    /// For `Command::stderr`.
    pub(crate) fn stdio(&self) -> Result<Stdio> {
        Ok(self.0.reopen()?.into())
    }

    /// Everything printed so far.
    pub(crate) fn text(&self) -> Result<String> {
        Ok(String::from_utf8_lossy(&fs::read(self.0.path())?).into_owned())
    }

    /// The most likely reason for a failure: the last line that starts with `error`, or else the
    /// last line.
    pub(crate) fn reason(&self) -> Result<String> {
        Ok(reason(&self.text()?)
            .unwrap_or("it printed nothing")
            .to_owned())
    }
}

fn reason(text: &str) -> Option<&str> {
    let mut lines = text
        .lines()
        .rev()
        .map(str::trim)
        .filter(|line| !line.is_empty());
    let last = lines.clone().next();
    lines
        .find(|line| line.to_ascii_lowercase().starts_with("error"))
        .or(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_error_has_the_reason() {
        assert_eq!(reason("ERROR: a\nERROR: b\nbye\n\n"), Some("ERROR: b"));
        assert_eq!(reason("one\ntwo\n"), Some("two"));
        assert_eq!(reason("\n"), None);
    }
}
