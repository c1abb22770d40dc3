//! The tools, as this system has them installed.

use std::{path::Path, process::Command};

use anyhow::{Context as _, Result};

use super::{Files, add_folder, is_left_out, packages};
use xtask::command::output;

/// Files that no package has: made when the system was installed.
const MADE: [&str; 9] = [
    "/bin",
    "/sbin",
    "/lib",
    "/lib64",
    "/etc/group",
    "/etc/ld.so.cache",
    "/etc/nsswitch.conf",
    "/etc/passwd",
    "/etc/ssl/openssl.cnf",
];

pub(super) fn add_to(files: &mut Files) -> Result<()> {
    let closure = output(
        Command::new("apt-cache")
            .args(["depends", "--recurse", "--installed", "--important"])
            .args(packages()),
    )
    .context("`apt-cache depends` does not say what the tests' tools need")?;
    // Package names start a line; their dependencies are indented.
    let mut packages: Vec<&str> = closure
        .lines()
        .filter(|line| !line.starts_with([' ', '<', '|']))
        .collect();
    packages.sort_unstable();
    packages.dedup();
    // Fails where a name is a virtual package's, and lists the others.
    let listed = Command::new("dpkg-query")
        .arg("--listfiles")
        .args(packages)
        .output()
        .context("dpkg-query cannot be started")?;
    let listed = String::from_utf8(listed.stdout)?;
    for path in listed.lines().chain(MADE) {
        if path.starts_with('/') && !is_left_out(Path::new(path)) {
            add(files, Path::new(path));
        }
    }
    add_folder(
        files,
        Path::new("/etc/alternatives"),
        Path::new("/etc/alternatives"),
    )
}

/// A file of this system, at the place that the links on the way to it lead to.
fn add(files: &mut Files, path: &Path) {
    let Some((folder, name)) = path.parent().zip(path.file_name()) else {
        return;
    };
    if let Ok(folder) = folder.canonicalize() {
        let place = folder.join(name);
        files.insert(place.clone(), place);
    }
}
