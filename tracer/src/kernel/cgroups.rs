//! Cgroups (v2) by id and by path. The id is the inode number of the cgroup's directory, and what
//! `bpf_get_current_cgroup_id` gives.

use std::{
    collections::HashMap,
    fs, io,
    os::unix::fs::{DirEntryExt as _, MetadataExt as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

/// The inode number of the hierarchy's very root; that of a container's root is another.
const ROOT: u64 = 1;

/// The names of all cgroups as they were when last looked at.
#[derive(Clone, Debug)]
pub struct CgroupNames {
    root: PathBuf,
    paths: HashMap<u64, String>,
}

/// A cgroup as the kernel counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cgroup {
    /// Its id.
    pub id: u64,
    /// How many cgroups it is below the root, which is 0: the `ancestor_level` of
    /// `bpf_get_current_ancestor_cgroup_id`.
    pub level: u32,
}

/// Why a path names no cgroup.
#[derive(Debug, thiserror::Error)]
pub enum NoCgroup {
    /// There is no such directory below the root.
    #[error(
        "there is no cgroup {}: name one below {}, such as system.slice/ssh.service",
        path.display(),
        root.display()
    )]
    NotFound {
        /// As it was named.
        path: PathBuf,
        /// Where the hierarchy is mounted.
        root: PathBuf,
    },
    /// Within a container the depth of a cgroup is unknown.
    #[error("{} is a part of the cgroups only, a container's: run the tracer outside of it", .0.display())]
    NotTheRoot(PathBuf),
    /// The file system does not answer.
    #[error("the cgroup {} cannot be read: {reason}", path.display())]
    Unreadable {
        /// As it was named.
        path: PathBuf,
        /// The system's answer.
        reason: io::Error,
    },
}

impl CgroupNames {
    /// Walks the hierarchy mounted at `root`, see [`cgroup2_root`].
    ///
    /// # Errors
    /// When the root cannot be read.
    pub fn new(root: PathBuf) -> io::Result<Self> {
        let mut names = Self {
            root,
            paths: HashMap::new(),
        };
        names.refresh()?;
        Ok(names)
    }

    /// The cgroup's path below the root, which is `/`, as `/proc/PID/cgroup` has it. `None` if it
    /// was made after the last look, or removed before: [`refresh`](Self::refresh), but not for
    /// each.
    #[must_use]
    pub fn path(&self, id: u64) -> Option<&str> {
        self.paths.get(&id).map(String::as_str)
    }

    /// Walks the hierarchy again: new cgroups are known then, and removed ones no more. An id is
    /// never used again.
    ///
    /// # Errors
    /// When the root cannot be read. What was known stays.
    pub fn refresh(&mut self) -> io::Result<()> {
        let mut paths = HashMap::from([(fs::metadata(&self.root)?.ino(), "/".to_owned())]);
        let mut left = vec![(self.root.clone(), String::new())];
        while let Some((directory, path)) = left.pop() {
            let entries = match fs::read_dir(&directory) {
                Ok(entries) => entries,
                Err(error) if path.is_empty() => return Err(error),
                // It was removed meanwhile, or is closed to us.
                Err(_) => continue,
            };
            for entry in entries.flatten() {
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    let path = format!("{path}/{}", entry.file_name().display());
                    paths.insert(entry.ino(), path.clone());
                    left.push((entry.path(), path));
                }
            }
        }
        self.paths = paths;
        Ok(())
    }

    /// The cgroup with this path: below the mounted root (`/sys/fs/cgroup/system.slice`), or as
    /// systemd and `/proc/PID/cgroup` name it (`system.slice`, `/system.slice`).
    ///
    /// # Errors
    /// When it is none, or this is not the whole hierarchy.
    pub fn id_of(&self, path: &Path) -> Result<Cgroup, NoCgroup> {
        let unreadable = |reason| NoCgroup::Unreadable {
            path: path.to_owned(),
            reason,
        };
        let not_found = || NoCgroup::NotFound {
            path: path.to_owned(),
            root: self.root.clone(),
        };
        let root = self.root.canonicalize().map_err(unreadable)?;
        if fs::metadata(&root).map_err(unreadable)?.ino() != ROOT {
            return Err(NoCgroup::NotTheRoot(root));
        }
        let below = path
            .strip_prefix(&self.root)
            .or_else(|_| path.strip_prefix("/"))
            .unwrap_or(path);
        if path.as_os_str().is_empty() {
            return Err(not_found());
        }
        let directory = match root.join(below).canonicalize() {
            Ok(directory) if directory.is_dir() => directory,
            Ok(_) => return Err(not_found()),
            Err(error) => {
                return Err(match error.kind() {
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => not_found(),
                    _ => unreadable(error),
                });
            }
        };
        let below = directory.strip_prefix(&root).map_err(|_| not_found())?;
        Ok(Cgroup {
            id: fs::metadata(&directory).map_err(unreadable)?.ino(),
            level: u32::try_from(below.components().count()).map_err(|_| not_found())?,
        })
    }
}

/// Where the root of the cgroup v2 hierarchy is mounted, if it is.
///
/// # Errors
/// When `/proc/self/mounts` cannot be read.
pub fn cgroup2_root() -> Result<Option<PathBuf>> {
    let mounts = procfs::mounts().context("reading /proc/mounts")?;
    Ok(mounts
        .into_iter()
        .find(|mount| mount.fs_vfstype == "cgroup2")
        .map(|mount| PathBuf::from(mount.fs_file)))
}
