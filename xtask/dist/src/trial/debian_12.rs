//! Debian 12, made once of its own packages and kept in cargo's target directory: as a folder for containers, and as a
//! disk for virtual machines.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use xtask::command::{as_root, run, target_dir};

use super::steps::service;

const RELEASE: &str = "bookworm";

/// Where apt finds Debian, if this machine has it.
const SOURCES: &str = "/etc/apt/sources.list.d/debian.sources";

/// What the steps call in a container.
const CONTAINER: &str = "systemd-sysv,dbus,curl,diffutils,openssl,procps,rpm";

/// The same in a machine, and its kernel.
const MACHINE: &str =
    "systemd-sysv,dbus,bpftool,curl,diffutils,procps,initramfs-tools,linux-image-cloud-amd64";

/// The disk with the steps is the second.
const FILE_SYSTEMS: &str = "/dev/vda / ext4 defaults 0 1\n/dev/vdb /trial ext4 defaults 0 0\n";

/// The second serial line.
const LOG: &str = "/dev/ttyS1";

/// Sparse: it takes what the files take.
const SIZE_OF_DISK: &str = "3G";

/// A machine's disk, and what boots it.
pub(super) struct Disk {
    pub(super) image: PathBuf,
    pub(super) kernel: PathBuf,
    pub(super) initial_ram_disk: PathBuf,
}

/// The folder of a container's files.
pub(super) fn container() -> Result<PathBuf> {
    let root = target_dir().join("dist-debian");
    make(&root, CONTAINER)?;
    fs::canonicalize(&root).with_context(|| root.display().to_string())
}

/// The disk of a machine that has `trial.service`, which runs this script.
pub(super) fn disk(script: &str) -> Result<Disk> {
    let root = target_dir().join("dist-machine");
    let is_new = make(&root, MACHINE)?;
    let folder = target_dir().join("dist-machine-boot");
    let disk = Disk {
        image: folder.join("disk"),
        kernel: folder.join("vmlinuz"),
        initial_ram_disk: folder.join("initrd.img"),
    };
    if !is_new && disk.image.exists() {
        return Ok(disk);
    }
    fs::create_dir_all(&folder)?;
    for boots in [&disk.kernel, &disk.initial_ram_disk] {
        let name = boots.file_name().context("a file without a name")?;
        run(as_root("cp").arg(root.join(name)).arg(boots))?;
    }
    for (place, content) in [
        ("etc/fstab", FILE_SYSTEMS),
        (
            "etc/systemd/system/trial.service",
            &service(script, LOG, "RequiresMountsFor=/trial"),
        ),
    ] {
        let written = folder.join("written");
        fs::write(&written, content)?;
        run(as_root("cp").arg(&written).arg(root.join(place)))?;
    }
    let unfinished = folder.join("unfinished");
    run(as_root("mke2fs")
        .args(["-q", "-F", "-t", "ext4", "-d"])
        .args([&root, &unfinished])
        .arg(SIZE_OF_DISK))?;
    run(as_root("mv").args([&unfinished, &disk.image]))?;
    Ok(disk)
}

/// Makes a folder with these packages and all that they depend on, unless it has them. Returns whether it is new.
fn make(root: &Path, packages: &str) -> Result<bool> {
    let list = root.with_extension("packages");
    if fs::read_to_string(&list).is_ok_and(|kept| kept == packages) {
        return Ok(false);
    }
    run(as_root("rm").args(["--recursive", "--force"]).arg(root))?;
    let mut mmdebstrap = as_root("mmdebstrap");
    mmdebstrap
        .args(["--variant=minbase", "--include", packages, RELEASE])
        .arg(root);
    if Path::new(SOURCES).exists() {
        mmdebstrap.arg(SOURCES);
    }
    run(&mut mmdebstrap)?;
    fs::write(list, packages)?;
    Ok(true)
}
