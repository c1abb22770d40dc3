//! The default path of the control socket: the same for the server and its clients if they run as the
//! same user.

use std::{env, ffi::OsString, os::unix::fs::MetadataExt, path::PathBuf};

/// The control socket of this user's server.
#[must_use]
pub fn default_control_path() -> PathBuf {
    choose(env::var_os("XDG_RUNTIME_DIR"), effective_user())
}

fn choose(runtime_dir: Option<OsString>, user: Option<u32>) -> PathBuf {
    match (runtime_dir, user) {
        (Some(dir), _) if !dir.is_empty() => PathBuf::from(dir).join("upload-server.sock"),
        (_, Some(0)) => PathBuf::from("/run/upload-server.sock"),
        (_, Some(user)) => PathBuf::from(format!("/tmp/upload-server-{user}.sock")),
        (_, None) => PathBuf::from("/tmp/upload-server.sock"),
    }
}

/// The owner of `/proc/self` is the process's effective user.
fn effective_user() -> Option<u32> {
    Some(std::fs::metadata("/proc/self").ok()?.uid())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_the_user() {
        check(
            Some("/run/user/7"),
            Some(7),
            "/run/user/7/upload-server.sock",
        );
        check(
            Some("/run/user/0"),
            Some(0),
            "/run/user/0/upload-server.sock",
        );
        check(Some(""), Some(7), "/tmp/upload-server-7.sock");
        check(None, Some(7), "/tmp/upload-server-7.sock");
        check(None, Some(0), "/run/upload-server.sock");
        check(None, None, "/tmp/upload-server.sock");
    }

    fn check(runtime_dir: Option<&str>, user: Option<u32>, expected: &str) {
        let chosen = choose(runtime_dir.map(OsString::from), user);
        assert_eq!(chosen, PathBuf::from(expected), "{runtime_dir:?} {user:?}");
    }
}
