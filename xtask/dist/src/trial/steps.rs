//! The steps of a trial: a folder with a shell script, what it shares with the others, and the packages that it
//! installs. Within Debian, the folder is `/trial`.

use std::{fs, path::Path};

use anyhow::{Context as _, Result, bail};
use tempfile::TempDir;
use xtask::command::log;

/// The last line of steps that succeeded.
const PASSED: &str = "passed";

/// How lines begin that are for people.
const FOUND: &str = "found: ";

pub(super) struct Steps {
    pub(super) script: &'static str,
    folder: TempDir,
}

impl Steps {
    pub(super) fn new(script: &'static str, content: &str) -> Result<Self> {
        let folder = tempfile::tempdir().context("no temporary directory")?;
        fs::write(folder.path().join(script), content)?;
        fs::write(folder.path().join("shared.sh"), include_str!("shared.sh"))?;
        Ok(Self { script, folder })
    }

    /// Copies a file of this machine into the folder.
    pub(super) fn add(&self, file: &Path, name: &str) -> Result<()> {
        let place = self.folder.path().join(name);
        fs::copy(file, place).with_context(|| file.display().to_string())?;
        Ok(())
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Logs what the steps found. Fails with all that they printed, unless they reached their end.
    pub(super) fn judge(&self, printed: &str) -> Result<()> {
        if printed.lines().last().map(str::trim) != Some(PASSED) {
            bail!("{} failed:\n{printed}", self.script);
        }
        for found in printed.lines().filter_map(|line| line.strip_prefix(FOUND)) {
            log(&format!("{}: {}", self.script, found.trim()));
        }
        Ok(())
    }
}

/// A service that runs the script once Debian has started, prints to `log`, and switches Debian off.
pub(super) fn service(script: &str, log: &str, needs: &str) -> String {
    format!(
        "[Unit]\nAfter=multi-user.target\n{needs}\n\
         SuccessAction=poweroff-force\nFailureAction=poweroff-force\n\n\
         [Service]\nType=oneshot\nExecStart=/bin/sh /trial/{script}\n\
         StandardOutput=file:{log}\nStandardError=file:{log}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::Steps;

    #[test]
    fn steps_that_end_early_have_failed() {
        let steps = Steps::new("test.sh", "").unwrap();
        steps.judge("+ echo\r\nfound: 3 s\r\npassed\r\n").unwrap();
        for printed in ["", "+ false\n", "passed\n+ false\n"] {
            let error = steps.judge(printed).unwrap_err().to_string();
            assert!(error.starts_with("test.sh failed:\n"), "{error}");
        }
    }
}
