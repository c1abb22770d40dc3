//! What is released: version, commit and time of the commit, which is the time of everything in it.

use std::{env, process::Command};

use anyhow::{Context as _, Result};
use sha2::{Digest as _, Sha256};
use xtask::command::{log, output, workspace};

/// The state of this clone.
pub(crate) struct Release {
    /// The version of the workspace.
    pub(crate) version: &'static str,
    /// As `--version` shows it: with a `+` where files differ from the commit.
    pub(crate) commit: String,
    /// When it was committed, in seconds since 1970: `SOURCE_DATE_EPOCH`.
    pub(crate) epoch: u64,
    /// Who answers for the packages: name and address.
    pub(crate) packager: String,
}

impl Release {
    /// Asks git.
    pub(crate) fn of_this_clone() -> Result<Self> {
        // As many digits in every clone, whatever else it has.
        let shown = git(&["log", "-1", "--abbrev=12", "--format=%h %ct"])?;
        let (hash, time) = shown
            .split_once(' ')
            .context("git does not show the commit")?;
        let is_changed = !git(&["status", "--porcelain"])?.is_empty();
        if is_changed {
            log("files differ from the commit: the release is one of your own");
        }
        Ok(Self {
            version: env!("CARGO_PKG_VERSION"),
            commit: format!("{hash}{}", if is_changed { "+" } else { "" }),
            epoch: time
                .parse()
                .context("git does not show the commit's time")?,
            packager: packager()?,
        })
    }
}

/// Who builds the packages, where the variables of Debian's own tools name them (debchange(1)); or else who committed.
fn packager() -> Result<String> {
    match (env::var("DEBFULLNAME"), env::var("DEBEMAIL")) {
        (Ok(name), Ok(address)) => Ok(format!("{name} <{address}>")),
        _ => git(&["log", "-1", "--format=%cn <%ce>"]),
    }
}

/// What git prints about the clone.
pub(crate) fn git(arguments: &[&str]) -> Result<String> {
    let printed = output(Command::new("git").args(arguments).current_dir(workspace()));
    let printed = printed.with_context(|| {
        format!(
            "`git {}` failed: a release is built from a clone",
            arguments.join(" ")
        )
    })?;
    Ok(printed.trim().to_owned())
}

/// In hexadecimal.
pub(crate) fn sha256(content: &[u8]) -> String {
    let bytes = Sha256::digest(content);
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
