//! Options for storing files, and for the state that outlives the server.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{Args, ValueEnum};

use super::limits::seconds;
use crate::{
    server::{Config, History, OnDuplicate},
    stderr,
};

#[derive(Debug, Args)]
#[command(next_help_heading = "Storage")]
pub struct StorageOptions {
    /// What to do when a file of the same name exists
    #[arg(long, value_name = "ACTION", value_enum, default_value_t)]
    on_duplicate: Duplicate,

    /// Complete an upload only once it is on the disk: slower, but safe from a power failure
    #[arg(long)]
    fsync: bool,

    /// Compute the SHA-256 of every file, even when the client does not ask for it: slower
    #[arg(long)]
    sha256: bool,

    /// How long an interrupted upload can be resumed (tus, at /tus/)
    #[arg(long, value_name = "SECS", value_parser = seconds, default_value = "86400")]
    resume_within: Duration,

    /// Keep the latest N uploads in --state across restarts; 0 for none
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    history: u32,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Duplicate {
    /// Refuse the upload
    Error,
    /// Store the file under another name, such as "cat (1).png"
    #[default]
    Rename,
    /// Replace the older file
    Overwrite,
}

impl StorageOptions {
    /// Sets what these options choose.
    pub fn apply(&self, config: &mut Config) {
        config.on_duplicate = match self.on_duplicate {
            Duplicate::Error => OnDuplicate::Error,
            Duplicate::Rename => OnDuplicate::Rename,
            Duplicate::Overwrite => OnDuplicate::Overwrite,
        };
        config.fsync = self.fsync;
        config.sha256 = self.sha256;
        config.resume_within = self.resume_within;
    }

    /// Opens the history. The server takes uploads without one, too: a failure is only a warning on
    /// stderr.
    pub fn open_history(&self, state: &Path) -> Option<History> {
        if self.history == 0 {
            return None;
        }
        match History::open(state, self.history, self.fsync) {
            Ok(history) => Some(history),
            Err(error) => {
                stderr::message(&format!(
                    "upload-server: no history is kept in {}, {error}: choose another directory \
                     with --state, or --history 0",
                    state.display()
                ));
                None
            }
        }
    }
}

/// systemd's state directory for this service, or else this user's.
pub(super) fn default_state_directory() -> PathBuf {
    choose(
        env::var_os("STATE_DIRECTORY"),
        env::var_os("XDG_STATE_HOME"),
        env::var_os("HOME"),
    )
}

fn choose(systemd: Option<OsString>, xdg: Option<OsString>, home: Option<OsString>) -> PathBuf {
    let path = |variable: Option<OsString>| {
        variable
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    if let Some(own) = path(systemd) {
        return own;
    }
    let state = path(xdg).or_else(|| Some(path(home)?.join(".local/state")));
    state.map_or_else(
        || PathBuf::from("/var/lib/upload-server"),
        |state| state.join("upload-server"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_is_the_services_or_the_users() {
        let (own, xdg, home) = (Some("/var/lib/own"), Some("/xdg"), Some("/home/a"));
        check(own, xdg, home, "/var/lib/own");
        check(None, xdg, home, "/xdg/upload-server");
        check(
            None,
            Some("relative"),
            home,
            "/home/a/.local/state/upload-server",
        );
        check(None, None, home, "/home/a/.local/state/upload-server");
        check(None, None, Some(""), "/var/lib/upload-server");
    }

    fn check(systemd: Option<&str>, xdg: Option<&str>, home: Option<&str>, expected: &str) {
        let [systemd, xdg, home] = [systemd, xdg, home].map(|value| value.map(OsString::from));
        assert_eq!(choose(systemd, xdg, home), PathBuf::from(expected));
    }
}
