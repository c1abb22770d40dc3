//! Where the server keeps what must outlive it and is no upload.

use std::{env, ffi::OsString, path::PathBuf};

/// The state directory when nobody says otherwise: systemd's for this service, or this user's.
pub(crate) fn default_state_directory() -> PathBuf {
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
    fn is_the_services_or_the_users() {
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
