//! The virtual machine's file system: an initial RAM disk, so that a machine has no device but its
//! serial lines. It holds the Debian packages that the tests call, with all they depend on, the kernel's modules, and the
//! programs under test where the tests look for them.

mod foreign;
mod installed;

use std::{
    collections::BTreeMap,
    fs::{self, File, Metadata},
    io::{self, BufWriter, Write},
    os::unix::{ffi::OsStrExt as _, fs::MetadataExt as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use cpio::newc;

use super::{binaries::Binaries, debian::Kernel, guest, report::Job, without_root};
use xtask::{
    architecture::Architecture,
    command::{log, workspace},
    setup,
};

/// What the tools need that no package depends on: a system has them.
const PACKAGES: [&str; 14] = [
    "base-files",
    "base-passwd",
    "bash",
    "bsdutils",
    "coreutils",
    "dash",
    "findutils",
    "grep",
    "kmod",
    "libc-bin",
    "mount",
    "netbase",
    "procps",
    "sed",
];

/// What nobody reads there.
const LEFT_OUT: [&str; 6] = [
    "/usr/share/doc",
    "/usr/share/doc-base",
    "/usr/share/info",
    "/usr/share/lintian",
    "/usr/share/locale",
    "/usr/share/man",
];

const DIRECTORY: u32 = 0o40755;

/// Paths in the image, and the file of this system that goes to each.
type Files = BTreeMap<PathBuf, PathBuf>;

/// The Debian packages that the tests call.
pub(super) enum Tools {
    /// As this system has them installed.
    Installed,
    Foreign(foreign::Tools),
}

impl Tools {
    pub(super) fn of(architecture: Architecture, within: &Path) -> Result<Self> {
        if architecture == Architecture::of_this_machine()? {
            return Ok(Self::Installed);
        }
        foreign::Tools::unpack(architecture, within).map(Self::Foreign)
    }

    fn add_to(&self, files: &mut Files) -> Result<()> {
        match self {
            Self::Installed => installed::add_to(files),
            Self::Foreign(tools) => tools.add_to(files),
        }
    }
}

/// Makes the image for a kernel's machine and returns its path.
pub(super) fn build(
    kernel: &Kernel,
    tools: &Tools,
    binaries: &Binaries,
    job: &Job,
) -> Result<PathBuf> {
    let mut files = Files::new();
    tools.add_to(&mut files)?;
    let modules = kernel.modules.join("lib");
    add_folder(&mut files, &modules, Path::new("/usr/lib"))?;
    let tests = workspace().join("tracer/tests");
    add_folder(&mut files, &tests, &tests)?;
    let temporary = tempfile::tempdir_in(&kernel.folder)?;
    for (file, place) in binaries.stripped(temporary.path())? {
        files.insert(place, file);
    }
    files.insert("/init".into(), binaries.guest.clone());
    let written = temporary.path().join("job.json");
    fs::write(&written, serde_json::to_vec(job)?)?;
    files.insert(guest::JOB.into(), written);

    let image = kernel.folder.join("initramfs.cpio");
    let file = File::create(&image).with_context(|| image.display().to_string())?;
    let mut archive = Archive {
        out: BufWriter::with_capacity(1 << 20, file),
        inode: 0,
    };
    archive.write(&files)?;
    log(&format!(
        "Linux {} gets {} files, {} MB",
        kernel.name,
        files.len(),
        image.metadata()?.len() / 1_000_000
    ));
    Ok(image)
}

fn is_left_out(place: &Path) -> bool {
    LEFT_OUT.iter().any(|start| place.starts_with(start))
}

/// The names of the packages that hold the tools.
fn packages() -> impl Iterator<Item = &'static str> {
    let wanted = setup::KERNEL_TEST_TOOLS.iter().map(|(_, package)| *package);
    PACKAGES.into_iter().chain(wanted)
}

fn add_folder(files: &mut Files, from: &Path, to: &Path) -> Result<()> {
    let entries = fs::read_dir(from).with_context(|| from.display().to_string())?;
    for entry in entries {
        let entry = entry?;
        let place = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            add_folder(files, &entry.path(), &place)?;
        } else {
            files.insert(place, entry.path());
        }
    }
    Ok(())
}

/// An archive in the kernel's own format (`Documentation/driver-api/early-userspace`).
struct Archive<W: Write> {
    out: W,
    inode: u32,
}

impl<W: Write> Archive<W> {
    fn write(&mut self, files: &Files) -> Result<()> {
        let mut folders = Vec::new();
        for (place, file) in files {
            // A file that a package lists may have been removed since.
            let Ok(metadata) = file.symlink_metadata() else {
                continue;
            };
            self.folders_of(place, &mut folders)?;
            self.entry(place, file, &metadata, &mut folders)
                .with_context(|| format!("{} cannot be put into the image", file.display()))?;
        }
        for (place, mode) in [("tmp", 0o41777), ("run", DIRECTORY), ("root", DIRECTORY)] {
            self.put(Path::new(place), mode, &[])?;
        }
        // The kernel opens it for the first process.
        let console = newc::Builder::new("dev/console")
            .mode(0o20600)
            .rdev_major(5)
            .rdev_minor(1);
        self.put(Path::new("dev"), DIRECTORY, &[])?;
        console.write(&mut self.out, 0).finish()?;
        newc::trailer(&mut self.out)?.flush()?;
        Ok(())
    }

    /// Adds the parent folders of a path that no package lists.
    fn folders_of(&mut self, place: &Path, folders: &mut Vec<PathBuf>) -> io::Result<()> {
        let mut above: Vec<&Path> = place.ancestors().skip(1).collect();
        above.reverse();
        for folder in above {
            if folder.parent().is_some() && !folders.contains(&folder.to_path_buf()) {
                self.put(folder, DIRECTORY, &[])?;
                folders.push(folder.to_path_buf());
            }
        }
        Ok(())
    }

    fn entry(
        &mut self,
        place: &Path,
        file: &Path,
        metadata: &Metadata,
        folders: &mut Vec<PathBuf>,
    ) -> io::Result<()> {
        if metadata.is_dir() {
            folders.push(place.to_path_buf());
            return self.put(place, metadata.mode(), &[]);
        }
        if metadata.is_symlink() {
            let to = fs::read_link(file)?;
            return self.put(place, metadata.mode(), to.as_os_str().as_bytes());
        }
        match fs::read(file) {
            Ok(content) => self.put(place, metadata.mode(), &content),
            // Only root's, and no test's.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn put(&mut self, place: &Path, mode: u32, content: &[u8]) -> io::Result<()> {
        self.inode += 1;
        let name = without_root(place).display().to_string();
        let entry = newc::Builder::new(&name)
            .ino(self.inode)
            .mode(mode)
            .nlink(1);
        let size = u32::try_from(content.len()).map_err(io::Error::other)?;
        let mut writer = entry.write(&mut self.out, size);
        writer.write_all(content)?;
        writer.finish().map(drop)
    }
}
