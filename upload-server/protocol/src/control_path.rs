//! The default paths of the control socket: where a server binds it, and where a client looks for it. Each is
//! in a directory that its user alone may write to: in any other, somebody else could be first.

use std::{
    ffi::OsString,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// Others may write to what has one of these bits.
const WRITABLE_BY_OTHERS: u32 = 0o022;

/// A server that systemd starts with `RuntimeDirectory=upload-server` has its control socket here.
pub const OF_SERVICE: &str = "/run/upload-server/control.sock";

/// Where a server of this user has its control socket: at the first of these whose directory
/// [`is_private`]. It creates the last one's. The variables are `RUNTIME_DIRECTORY` (systemd's),
/// `XDG_RUNTIME_DIR`, `XDG_STATE_HOME` and `HOME`, as that user has them.
pub fn control_paths(
    user: u32,
    variable: impl Fn(&'static str) -> Option<OsString>,
) -> Vec<PathBuf> {
    let directory = |name| {
        variable(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let fixed = if user == 0 {
        PathBuf::from("/run")
    } else {
        PathBuf::from(format!("/run/user/{user}"))
    };
    let service = directory("RUNTIME_DIRECTORY").map(|directory| directory.join("control.sock"));
    let mut paths: Vec<PathBuf> = service.into_iter().collect();
    for runtime in [directory("XDG_RUNTIME_DIR"), Some(fixed)] {
        let path = runtime.map(|directory| directory.join("upload-server.sock"));
        paths.extend(path.filter(|path| !paths.contains(path)));
    }
    let state = directory("XDG_STATE_HOME")
        .or_else(|| Some(directory("HOME")?.join(".local/state")))
        .map(|state| state.join("upload-server/control.sock"));
    paths.extend(state);
    paths
}

/// Whether this is a directory of this user, to which nobody else may write.
#[must_use]
pub fn is_private(directory: &Path, user: u32) -> bool {
    fs::metadata(directory).is_ok_and(|found| {
        found.is_dir() && found.uid() == user && found.mode() & WRITABLE_BY_OTHERS == 0
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_the_user() {
        let home = "/home/a/.local/state/upload-server/control.sock";
        let of_user = "/run/user/7/upload-server.sock";
        check(7, &[("XDG_RUNTIME_DIR", "/run/user/7")], &[of_user]);
        check(
            7,
            &[("XDG_RUNTIME_DIR", "/own"), ("HOME", "/home/a")],
            &["/own/upload-server.sock", of_user, home],
        );
        check(7, &[("XDG_RUNTIME_DIR", "relative")], &[of_user]);
        check(
            7,
            &[("XDG_STATE_HOME", "/state"), ("HOME", "/home/a")],
            &[of_user, "/state/upload-server/control.sock"],
        );
        check(7, &[("XDG_RUNTIME_DIR", ""), ("HOME", "")], &[of_user]);
        check(0, &[], &["/run/upload-server.sock"]);
        check(
            7,
            &[("RUNTIME_DIRECTORY", "/run/upload-server")],
            &[OF_SERVICE, of_user],
        );
    }

    fn check(user: u32, variables: &[(&str, &str)], expected: &[&str]) {
        let variable = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| OsString::from(value))
        };
        let expected: Vec<PathBuf> = expected.iter().map(PathBuf::from).collect();
        assert_eq!(control_paths(user, variable), expected, "{variables:?}");
    }

    #[test]
    fn a_shared_directory_is_not_private() {
        let shared = fs::metadata("/tmp").unwrap();
        assert!(!is_private(Path::new("/tmp"), shared.uid()));
        assert!(!is_private(Path::new("/no/such/directory"), 0));
        let own = Path::new(env!("CARGO_MANIFEST_DIR"));
        let owner = fs::metadata(own).unwrap().uid();
        assert!(!is_private(own, owner + 1));
        assert!(!is_private(&own.join("Cargo.toml"), owner));
    }
}
