//! Cgroups (v2) by id and by path. The id is the inode number of the cgroup's directory, and what
//! `bpf_get_current_cgroup_id` gives.

use std::{
    collections::HashMap,
    fs::{self, File},
    io,
    ops::ControlFlow,
    os::{
        fd::{AsFd as _, AsRawFd as _},
        unix::fs::{DirEntryExt as _, MetadataExt as _},
    },
    path::{Component, Path, PathBuf},
    thread,
};

use anyhow::{Context as _, Result};
use rustix::{
    mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen},
    thread::{LinkNameSpaceType, move_into_link_name_space},
};
use tracing::debug;

/// The inode number of the hierarchy's very root; that of a container's root is another.
const ROOT: u64 = 1;

/// The inode number of the machine's cgroup namespace (`CGROUP_NS_INIT_INO`, `linux/nsfs.h`).
const INITIAL: u64 = 0xEFFF_FFFB;

/// Where it is mounted on most machines: a path that people name even where it is not mounted.
const USUAL: &str = "/sys/fs/cgroup";

/// The names of all cgroups as they were when last looked at.
#[derive(Debug)]
pub struct CgroupNames {
    root: PathBuf,
    is_mounted: bool,
    /// Keeps a mount that no path leads to.
    #[expect(dead_code, reason = "the mount lasts as long as its descriptor")]
    detached: Option<File>,
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
    /// The hierarchy is not mounted where the tracer is.
    #[error("there is no cgroup {}: name one below the root, such as system.slice/ssh.service", .0.display())]
    NotBelowTheRoot(PathBuf),
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
    /// Walks the hierarchy mounted at `root`, see [`CgroupRoot::names`].
    ///
    /// # Errors
    /// When the root cannot be read.
    #[cfg(feature = "internals")]
    pub fn new(root: PathBuf) -> io::Result<Self> {
        let mut names = Self {
            root,
            is_mounted: true,
            detached: None,
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
        let mut paths = HashMap::new();
        self.walk(|id, path| {
            paths.insert(id, path.to_owned());
            ControlFlow::Continue(())
        })?;
        self.paths = paths;
        Ok(())
    }

    /// Walks the hierarchy until these cgroups are found, and gives those that are there. Keeps nothing.
    #[must_use]
    pub fn find(&self, wanted: &foldhash::HashSet<u64>) -> Vec<(u64, String)> {
        let mut found = Vec::new();
        let walked = self.walk(|id, path| {
            if wanted.contains(&id) {
                found.push((id, path.to_owned()));
            }
            if found.len() < wanted.len() {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        });
        if let Err(error) = walked {
            debug!(%error, "no names of cgroups");
        }
        found
    }

    /// The path of a cgroup, if this process is in it. Takes no walk.
    #[must_use]
    pub fn path_by_process(&self, id: u64, pid: u32) -> Option<String> {
        if pid == 0 {
            return None;
        }
        let cgroups = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
        let path = cgroups.lines().find_map(|line| line.strip_prefix("0::"))?;
        let below = self.root.join(path.trim_start_matches('/'));
        let is_same = !path.contains("/..") && fs::metadata(below).ok()?.ino() == id;
        is_same.then(|| path.to_owned())
    }

    fn walk(&self, mut each: impl FnMut(u64, &str) -> ControlFlow<()>) -> io::Result<()> {
        if each(fs::metadata(&self.root)?.ino(), "/").is_break() {
            return Ok(());
        }
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
                    if each(entry.ino(), &path).is_break() {
                        return Ok(());
                    }
                    left.push((entry.path(), path));
                }
            }
        }
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
        let not_found = || {
            if self.is_mounted {
                NoCgroup::NotFound {
                    path: path.to_owned(),
                    root: self.root.clone(),
                }
            } else {
                NoCgroup::NotBelowTheRoot(path.to_owned())
            }
        };
        if fs::metadata(&self.root).map_err(unreadable)?.ino() != ROOT {
            return Err(NoCgroup::NotTheRoot(self.root.clone()));
        }
        let below = self.below_root(path).ok_or_else(not_found)?;
        let directory = self.root.join(&below);
        match fs::metadata(&directory) {
            Ok(found) if found.is_dir() => Ok(Cgroup {
                id: found.ino(),
                level: u32::try_from(below.components().count()).map_err(|_| not_found())?,
            }),
            Ok(_) => Err(not_found()),
            Err(error) => Err(match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => not_found(),
                _ => unreadable(error),
            }),
        }
    }

    /// Whether a process is in the cgroup with this path below the root, or below it. `None` if that is
    /// unknown, as of the root itself.
    #[must_use]
    pub fn is_populated(&self, path: &str) -> Option<bool> {
        let events = self
            .root
            .join(path.trim_start_matches('/'))
            .join("cgroup.events");
        let events = fs::read_to_string(events).ok()?;
        let populated = events
            .lines()
            .find_map(|line| line.strip_prefix("populated "))?;
        Some(populated != "0")
    }

    /// The path from the root, without `.` and `..`; there are no symbolic links among cgroups.
    fn below_root(&self, path: &Path) -> Option<PathBuf> {
        if path.as_os_str().is_empty() {
            return None;
        }
        // The mount may have been reached through a symbolic link.
        let real = path.canonicalize();
        let places = [self.root.as_path(), Path::new(USUAL), Path::new("/")];
        let below = real
            .as_deref()
            .ok()
            .and_then(|real| real.strip_prefix(&self.root).ok())
            .or_else(|| {
                places
                    .iter()
                    .find_map(|place| path.strip_prefix(place).ok())
            })
            .unwrap_or(path);
        let mut normal = PathBuf::new();
        for component in below.components() {
            match component {
                Component::Normal(name) => normal.push(name),
                Component::ParentDir if !normal.pop() => return None,
                _ => {}
            }
        }
        Some(normal)
    }
}

/// The root of the cgroup v2 hierarchy, or the part of it that a container sees.
#[derive(Debug)]
pub struct CgroupRoot {
    directory: File,
    /// Where it is mounted, or the descriptor's path in `/proc`.
    path: PathBuf,
    /// Whether a path leads there.
    pub is_mounted: bool,
    /// Whether this is the root, and not a part.
    pub is_whole: bool,
}

impl CgroupRoot {
    /// Finds the root. `ip netns exec` and a container hide where it is mounted, so a mount that no
    /// path leads to is tried as well, in the own cgroup namespace and then in the machine's.
    ///
    /// # Errors
    /// When `/proc/self/mounts` cannot be read.
    pub fn find() -> Result<Option<Self>> {
        let mut part = None;
        let mounted = mounts()?
            .into_iter()
            .filter_map(|path| Self::mounted(path).ok());
        let unmounted = [Self::detached, Self::of_the_machine];
        let unmounted = unmounted.into_iter().filter_map(|mount| {
            mount()
                .inspect_err(|error| debug!(%error, "cgroup v2 cannot be mounted"))
                .ok()
        });
        for found in mounted.chain(unmounted) {
            if found.is_whole {
                return Ok(Some(found));
            }
            part.get_or_insert(found);
        }
        Ok(part)
    }

    /// The directory, to attach programs to.
    #[must_use]
    pub const fn directory(&self) -> &File {
        &self.directory
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// # Errors
    /// When the root cannot be read.
    pub fn names(self) -> io::Result<CgroupNames> {
        let mut names = self.into_names();
        names.refresh()?;
        Ok(names)
    }

    /// The names, none of which is known yet.
    #[must_use]
    pub fn into_names(self) -> CgroupNames {
        CgroupNames {
            root: self.path,
            is_mounted: self.is_mounted,
            detached: Some(self.directory).filter(|_| !self.is_mounted),
            paths: HashMap::new(),
        }
    }

    fn mounted(path: PathBuf) -> io::Result<Self> {
        let directory = File::open(&path)?;
        Ok(Self {
            is_whole: directory.metadata()?.ino() == ROOT,
            is_mounted: true,
            directory,
            path,
        })
    }

    /// Mounts the hierarchy where no path leads; the mount ends with its descriptor.
    fn detached() -> io::Result<Self> {
        let context = fsopen("cgroup2", FsOpenFlags::FSOPEN_CLOEXEC)?;
        fsconfig_create(&context)?;
        let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID
            | MountAttrFlags::MOUNT_ATTR_NOEXEC
            | MountAttrFlags::MOUNT_ATTR_NODEV;
        let mount = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?;
        // The mount's own descriptor is a path only (O_PATH), to which nothing can be attached.
        let path = PathBuf::from(format!("/proc/self/fd/{}", mount.as_raw_fd()));
        let directory = File::open(path)?;
        let path = PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd()));
        Ok(Self {
            is_whole: directory.metadata()?.ino() == ROOT,
            is_mounted: false,
            directory,
            path,
        })
    }

    /// The same in the machine's cgroup namespace, where `/proc` shows a process in it (a container
    /// started with `--pid=host`). On a thread of its own, which ends there.
    fn of_the_machine() -> io::Result<Self> {
        let processes = fs::read_dir("/proc")?.flatten();
        let mut namespaces = processes.map(|process| process.path().join("ns/cgroup"));
        let is_initial =
            |path: &PathBuf| fs::metadata(path).is_ok_and(|namespace| namespace.ino() == INITIAL);
        let namespace = namespaces.find(is_initial).ok_or(io::ErrorKind::NotFound)?;
        let namespace = File::open(namespace)?;
        let enter = || {
            let kind = Some(LinkNameSpaceType::ControlGroup);
            move_into_link_name_space(namespace.as_fd(), kind)?;
            Self::detached()
        };
        thread::scope(|scope| scope.spawn(enter).join())
            .unwrap_or_else(|_| Err(io::Error::other("the thread panicked")))
    }
}

fn mounts() -> Result<Vec<PathBuf>> {
    let mounts = procfs::mounts().context("reading /proc/mounts")?;
    let of_cgroups = mounts
        .into_iter()
        .filter(|mount| mount.fs_vfstype == "cgroup2");
    Ok(of_cgroups.map(|mount| mount.fs_file.into()).collect())
}

/// Where the root of the cgroup v2 hierarchy is mounted, if it is.
///
/// # Errors
/// When `/proc/self/mounts` cannot be read.
#[cfg(feature = "internals")]
pub fn cgroup2_root() -> Result<Option<PathBuf>> {
    Ok(mounts()?.into_iter().next())
}
