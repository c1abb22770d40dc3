//! The tools for another architecture: Debian's packages, unpacked and not installed, of the release that this machine has.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};

use super::{Files, is_left_out, packages};
use crate::kernels::{
    debian::apt::{KEYS, archives},
    without_root,
};
use xtask::{
    architecture::Architecture,
    command::{as_root, log, run},
};

/// The release that the packages come from.
const RELEASE: &str = "bookworm";

/// Files that are made where a package is installed, and what they are made of.
const MADE: [(&str, &str); 3] = [
    ("/etc/group", "/usr/share/base-passwd/group.master"),
    ("/etc/nsswitch.conf", "/usr/share/libc-bin/nsswitch.conf"),
    ("/etc/passwd", "/usr/share/base-passwd/passwd.master"),
];

/// Removed when dropped.
pub(in crate::kernels) struct Tools {
    root: PathBuf,
}

impl Tools {
    pub(super) fn unpack(architecture: Architecture, within: &Path) -> Result<Self> {
        log(&format!("unpacking the tools for {architecture}"));
        fs::create_dir_all(within)?;
        let within = fs::canonicalize(within)?;
        let tools = Self {
            root: within.join(format!("tools-{architecture}")),
        };
        tools.remove()?;
        let archives = archives()?;
        let debian = archives.iter().find(|archive| archive.label == "Debian");
        let debian = debian.context("apt has no source of Debian's")?;
        let names: Vec<&str> = packages().collect();
        run(as_root("mmdebstrap")
            .args(["--quiet", "--variant=extract", "--hook-dir"])
            .arg("/usr/share/mmdebstrap/hooks/merged-usr")
            .arg(format!("--architectures={}", architecture.of_debian()))
            .arg(format!("--keyring={KEYS}"))
            .arg(format!("--include={}", names.join(",")))
            .arg(RELEASE)
            .args([&tools.root, Path::new(&debian.address)]))?;
        Ok(tools)
    }

    pub(super) fn add_to(&self, files: &mut Files) -> Result<()> {
        self.add_folder(files, Path::new("/"))?;
        for (place, made_of) in MADE {
            let file = self.file(Path::new(made_of));
            ensure!(file.exists(), "the packages have no {made_of}");
            files.insert(place.into(), file);
        }
        Ok(())
    }

    fn add_folder(&self, files: &mut Files, folder: &Path) -> Result<()> {
        let here = self.file(folder);
        for entry in fs::read_dir(&here).with_context(|| here.display().to_string())? {
            let entry = entry?;
            let place = folder.join(entry.file_name());
            if is_left_out(&place) {
                continue;
            }
            let kind = entry.file_type()?;
            if kind.is_dir() {
                self.add_folder(files, &place)?;
            }
            // The machine makes its own devices.
            if kind.is_dir() || kind.is_file() || kind.is_symlink() {
                files.insert(place, entry.path());
            }
        }
        Ok(())
    }

    fn file(&self, place: &Path) -> PathBuf {
        self.root.join(without_root(place))
    }

    fn remove(&self) -> Result<()> {
        if self.root.exists() {
            run(as_root("rm")
                .args(["--recursive", "--force"])
                .arg(&self.root))?;
        }
        Ok(())
    }
}

impl Drop for Tools {
    fn drop(&mut self) {
        if let Err(error) = self.remove() {
            log(&format!("{error:#}"));
        }
    }
}
