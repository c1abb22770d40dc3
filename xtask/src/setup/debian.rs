//! Debian packages. What Debian starts with them is stopped again: the tests start each program themselves, on
//! ports and with files of their own.

use std::{collections::BTreeSet, fs, path::Path};

use anyhow::{Result, bail};

use crate::command::{as_root, is_installed, log, run};

/// Where systemd finds what it starts with the machine: a link in a folder for each target.
const ENABLED: &str = "/etc/systemd/system";
/// What runs until it is stopped.
const LASTING: [&str; 3] = [".service", ".socket", ".target"];

/// Installs the packages of those programs that are missing: program, package.
pub(super) fn packages(wanted: &[(&str, &str)]) -> Result<()> {
    let mut missing: Vec<&str> = wanted
        .iter()
        .filter(|(program, _)| !is_installed(program))
        .map(|(_, package)| *package)
        .collect();
    missing.dedup();
    if missing.is_empty() {
        return Ok(());
    }
    log(&format!("missing: {}", missing.join(", ")));
    install(&missing)
}

pub(super) fn install(packages: &[&str]) -> Result<()> {
    if !is_installed("apt-get") {
        bail!(
            "this is not a Debian system: install {} by hand",
            packages.join(", ")
        );
    }
    let enabled = enabled(Path::new(ENABLED));
    run(as_root("apt-get").args(["-qq", "update"]))?;
    run(as_root("env")
        .args([
            "DEBIAN_FRONTEND=noninteractive",
            "apt-get",
            "-qq",
            "install",
            "--yes",
        ])
        .arg("--no-install-recommends")
        .args(packages))?;
    let now = self::enabled(Path::new(ENABLED));
    let new: Vec<&String> = now.difference(&enabled).collect();
    if new.is_empty() || !is_installed("systemctl") {
        return Ok(());
    }
    // As sd_booted(3) asks.
    let is_running = Path::new("/run/systemd/system").is_dir();
    run(as_root("systemctl")
        .arg("disable")
        .args(is_running.then_some("--now"))
        .args(new))
}

/// The services that systemd starts with the machine.
fn enabled(folder: &Path) -> BTreeSet<String> {
    let targets = fs::read_dir(folder).into_iter().flatten().flatten();
    let wanted = targets.filter(|target| target.path().extension().is_some_and(|is| is == "wants"));
    wanted
        .flat_map(|target| fs::read_dir(target.path()).into_iter().flatten().flatten())
        .filter_map(|link| link.file_name().into_string().ok())
        .filter(|unit| LASTING.iter().any(|ending| unit.ends_with(ending)))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn services_are_found_where_systemd_finds_them() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        assert!(enabled(&folder.join("none")).is_empty());
        let wants = folder.join("multi-user.target.wants");
        fs::create_dir_all(&wants).unwrap();
        fs::create_dir(folder.join("nginx.service.d")).unwrap();
        for unit in ["nginx.service", "man-db.timer"] {
            symlink("/lib/systemd/system/unit", wants.join(unit)).unwrap();
        }
        let found = enabled(folder);
        assert_eq!(found.into_iter().collect::<Vec<_>>(), ["nginx.service"]);
    }
}
