//! The upload directory as an open descriptor. Names are looked up beneath it and never through a
//! symbolic link, even when the path by which it was opened later leads elsewhere (openat2(2)).

use std::{
    fs::File,
    io,
    ops::Range,
    os::fd::OwnedFd,
    path::Path,
    time::{Duration, SystemTime},
};

use rustix::{
    fs::{
        AtFlags, CWD, Dir, FallocateFlags, FileType, FsWord, Mode, OFlags, RenameFlags,
        ResolveFlags, Stat, fallocate, fstat, fstatfs, fstatvfs, fsync, linkat, openat, openat2,
        renameat, renameat_with, statat, unlinkat,
    },
    io::Errno,
};

/// Before the umask, as for any file that a program creates.
const MODE: Mode = Mode::from_raw_mode(0o666);

/// The type of a file system in memory (linux/magic.h).
const TMPFS_MAGIC: FsWord = 0x0102_1994;

#[derive(Debug)]
pub(crate) struct Directory {
    fd: OwnedFd,
    /// The file system is in memory.
    in_memory: bool,
}

/// What a disk has free for other users than root.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Disk {
    /// None for a file system without a size.
    pub(crate) bytes: Option<u64>,
    /// None for a file system that makes inodes as needed, such as btrfs.
    pub(crate) inodes: Option<u64>,
}

/// The status of a name. A symbolic link is not followed.
#[derive(Clone, Debug)]
pub(crate) struct FileStat {
    pub(crate) is_file: bool,
    pub(crate) inode: u64,
    pub(crate) bytes: u64,
    pub(crate) modified: SystemTime,
    /// When its content or its name last changed. No program can set it.
    changed: SystemTime,
}

impl Directory {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = openat(CWD, path, flags, Mode::empty())?;
        let in_memory = fstatfs(&fd)?.f_type == TMPFS_MAGIC;
        Ok(Self { fd, in_memory })
    }

    /// Reserves disk space for these bytes of a file, where the file system supports it: `StorageFull` where
    /// there is too little. In memory, it does nothing.
    pub(crate) fn reserve(&self, file: &File, bytes: Range<u64>) -> io::Result<()> {
        // On tmpfs, fallocate clears every page: 0.23 s for 1 GiB, as much as the upload itself takes. On
        // ext4 it takes 3 ms.
        if self.in_memory || bytes.is_empty() {
            return Ok(());
        }
        let length = bytes.end - bytes.start;
        match fallocate(file, FallocateFlags::KEEP_SIZE, bytes.start, length) {
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => Ok(()),
            reserved => Ok(reserved?),
        }
    }

    /// Creates a file. `AlreadyExists` where the name is not free.
    pub(crate) fn create(&self, name: &str) -> io::Result<File> {
        self.open_beneath(name, OFlags::RDWR | OFlags::CREATE | OFlags::EXCL, MODE)
    }

    /// Opens a plain file. `NotFound` for anything else.
    pub(crate) fn open_file(&self, name: &str, access: OFlags) -> io::Result<File> {
        // NONBLOCK: opening a FIFO would wait for its other end.
        let opened = self.open_beneath(name, access | OFlags::NONBLOCK, Mode::empty());
        let file = opened.map_err(|error| match Errno::from_io_error(&error) {
            Some(Errno::LOOP | Errno::NXIO | Errno::ISDIR) => io::ErrorKind::NotFound.into(),
            _ => error,
        })?;
        if file.metadata()?.is_file() {
            Ok(file)
        } else {
            Err(io::ErrorKind::NotFound.into())
        }
    }

    /// None where nothing has this name.
    pub(crate) fn find(&self, name: &str) -> io::Result<Option<FileStat>> {
        match statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(FileStat::new(&stat))),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// All names in the directory, in no order.
    pub(crate) fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        self.each_name(|name| names.push(name.to_owned()))?;
        Ok(names)
    }

    /// The same without keeping them.
    pub(crate) fn each_name(&self, mut visit: impl FnMut(&str)) -> io::Result<()> {
        for entry in Dir::read_from(&self.fd)? {
            if let Ok(name) = entry?.file_name().to_str() {
                visit(name);
            }
        }
        Ok(())
    }

    pub(crate) fn remove(&self, name: &str) -> io::Result<()> {
        Ok(unlinkat(&self.fd, name, AtFlags::empty())?)
    }

    /// Renames a file. `AlreadyExists` where the new name is not free.
    pub(crate) fn rename_to_free(&self, from: &str, to: &str) -> io::Result<()> {
        match renameat_with(&self.fd, from, &self.fd, to, RenameFlags::NOREPLACE) {
            // Not every file system supports the flag (renameat2(2)); a link is as strict.
            Err(Errno::INVAL | Errno::NOSYS) => self.link_to_free(from, to),
            renamed => Ok(renamed?),
        }
    }

    /// Renames a file, and replaces any file of the new name.
    pub(crate) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(renameat(&self.fd, from, &self.fd, to)?)
    }

    /// Flushes the names to the disk.
    pub(crate) fn sync(&self) -> io::Result<()> {
        Ok(fsync(&self.fd)?)
    }

    pub(crate) fn disk(&self) -> io::Result<Disk> {
        let disk = fstatvfs(&self.fd)?;
        let bytes = disk.f_bavail.saturating_mul(disk.f_frsize);
        Ok(Disk {
            bytes: (disk.f_blocks > 0).then_some(bytes),
            inodes: (disk.f_files > 0).then_some(disk.f_favail),
        })
    }

    fn link_to_free(&self, from: &str, to: &str) -> io::Result<()> {
        linkat(&self.fd, from, &self.fd, to, AtFlags::empty())?;
        self.remove(from)
    }

    fn open_beneath(&self, name: &str, flags: OFlags, mode: Mode) -> io::Result<File> {
        let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        Ok(openat2(&self.fd, name, flags, mode, resolve)?.into())
    }
}

impl FileStat {
    pub(crate) fn of(file: &File) -> io::Result<Self> {
        Ok(Self::new(&fstat(file)?))
    }

    /// A strong entity tag (RFC 9110, 8.8.3): it differs for every other file and content.
    pub(crate) fn tag(&self) -> String {
        let nanoseconds = |time: SystemTime| {
            let since = time.duration_since(SystemTime::UNIX_EPOCH);
            since.unwrap_or_default().as_nanos()
        };
        format!(
            "\"{:x}-{:x}-{:x}-{:x}\"",
            self.inode,
            self.bytes,
            nanoseconds(self.modified),
            nanoseconds(self.changed)
        )
    }

    fn new(stat: &Stat) -> Self {
        Self {
            is_file: FileType::from_raw_mode(stat.st_mode).is_file(),
            inode: stat.st_ino,
            bytes: u64::try_from(stat.st_size).unwrap_or_default(),
            modified: time(stat.st_mtime, stat.st_mtime_nsec),
            changed: time(stat.st_ctime, stat.st_ctime_nsec),
        }
    }
}

/// Times before 1970 count as 1970.
fn time(seconds: i64, nanoseconds: impl TryInto<u32>) -> SystemTime {
    let seconds = u64::try_from(seconds).unwrap_or_default();
    let nanoseconds = nanoseconds.try_into().unwrap_or_default();
    SystemTime::UNIX_EPOCH + Duration::new(seconds, nanoseconds)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn both_ways_to_rename_replace_nothing() {
        check(Directory::rename_to_free);
        check(Directory::link_to_free);

        fn check(rename: fn(&Directory, &str, &str) -> io::Result<()>) {
            let root = tempfile::tempdir().unwrap();
            let directory = Directory::open(root.path()).unwrap();
            fs::write(root.path().join("from"), "new").unwrap();
            fs::write(root.path().join("taken"), "old").unwrap();
            symlink("nowhere", root.path().join("link")).unwrap();
            for taken in ["taken", "link"] {
                let error = rename(&directory, "from", taken).unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
            }
            rename(&directory, "from", "free").unwrap();
            assert_eq!(fs::read(root.path().join("free")).unwrap(), b"new");
            assert_eq!(fs::read(root.path().join("taken")).unwrap(), b"old");
            assert!(!root.path().join("from").exists());
        }
    }

    #[test]
    fn nothing_outside_is_opened() {
        let root = tempfile::tempdir().unwrap();
        let inside = root.path().join("inside");
        fs::create_dir(&inside).unwrap();
        fs::write(root.path().join("outside"), "secret").unwrap();
        symlink("../outside", inside.join("link")).unwrap();
        symlink(root.path(), inside.join("directory")).unwrap();
        let directory = Directory::open(&inside).unwrap();
        let absolute = root.path().join("outside");
        let absolute = absolute.to_str().unwrap();
        for name in ["../outside", "link", "directory/outside", absolute] {
            assert!(
                directory.open_file(name, OFlags::RDONLY).is_err(),
                "{name} is opened"
            );
            assert!(directory.create(name).is_err(), "{name} is created");
        }
    }

    /// Even when the path leads elsewhere later.
    #[test]
    fn stays_the_one_that_was_opened() {
        let root = tempfile::tempdir().unwrap();
        let (path, moved) = (root.path().join("files"), root.path().join("moved"));
        fs::create_dir(&path).unwrap();
        let directory = Directory::open(&path).unwrap();
        fs::rename(&path, &moved).unwrap();
        symlink("/", &path).unwrap();
        directory.create("file").unwrap();
        assert!(moved.join("file").exists());
    }
}
