//! The upload directory as an open descriptor. Names are looked up beneath it and never through a
//! symbolic link, whatever becomes of the path that it was opened by (openat2(2)).

use std::{
    fs::File,
    io,
    os::fd::OwnedFd,
    path::Path,
    time::{Duration, SystemTime},
};

use rustix::{
    fs::{
        AtFlags, CWD, Dir, FallocateFlags, FileType, FsWord, Mode, OFlags, RenameFlags,
        ResolveFlags, Stat, fallocate, fstatfs, fstatvfs, fsync, linkat, openat, openat2, renameat,
        renameat_with, statat, unlinkat,
    },
    io::Errno,
};

/// Before the umask, as for any file that a user creates.
const MODE: Mode = Mode::from_raw_mode(0o666);

/// A file system in memory (linux/magic.h).
const TMPFS_MAGIC: FsWord = 0x0102_1994;

/// Where uploads are stored.
#[derive(Debug)]
pub(crate) struct Directory {
    fd: OwnedFd,
    /// Its files are in memory.
    in_memory: bool,
}

/// What stands under a name, not followed where it is a link.
pub(crate) struct FileStat {
    pub(crate) is_file: bool,
    pub(crate) inode: u64,
    pub(crate) bytes: u64,
    pub(crate) modified: SystemTime,
}

impl Directory {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = openat(CWD, path, flags, Mode::empty())?;
        let in_memory = fstatfs(&fd)?.f_type == TMPFS_MAGIC;
        Ok(Self { fd, in_memory })
    }

    /// Takes room for so many bytes of a file, where the file system can do that: `StorageFull`
    /// where there is none. In memory, taking it would cost as much as writing the file, so that it
    /// is only looked for.
    pub(crate) fn reserve(&self, file: &File, bytes: u64) -> io::Result<()> {
        if bytes == 0 {
            return Ok(());
        }
        if self.in_memory {
            return self.look_for_room(bytes);
        }
        match fallocate(file, FallocateFlags::KEEP_SIZE, 0, bytes) {
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => Ok(()),
            reserved => Ok(reserved?),
        }
    }

    /// Creates a file that does not exist yet.
    pub(crate) fn create(&self, name: &str) -> io::Result<File> {
        self.open_beneath(name, OFlags::RDWR | OFlags::CREATE | OFlags::EXCL, MODE)
    }

    /// Opens a plain file; anything else is not found.
    pub(crate) fn open_file(&self, name: &str, access: OFlags) -> io::Result<File> {
        // A FIFO would make this wait for its other end.
        let opened = self.open_beneath(name, access | OFlags::NONBLOCK, Mode::empty());
        let file = opened.map_err(|error| match Errno::from_io_error(&error) {
            Some(Errno::LOOP | Errno::NXIO | Errno::ISDIR) => io::ErrorKind::NotFound.into(),
            _ => error,
        })?;
        match file.metadata()?.is_file() {
            true => Ok(file),
            false => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// What stands under a name, if anything.
    pub(crate) fn find(&self, name: &str) -> io::Result<Option<FileStat>> {
        match statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(FileStat::new(&stat))),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Everything in it, in no order.
    pub(crate) fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.fd)? {
            if let Ok(name) = entry?.file_name().to_str() {
                names.push(name.to_owned());
            }
        }
        Ok(names)
    }

    pub(crate) fn remove(&self, name: &str) -> io::Result<()> {
        Ok(unlinkat(&self.fd, name, AtFlags::empty())?)
    }

    /// Gives a file a name that is free: `AlreadyExists` where it is not.
    pub(crate) fn rename_to_free(&self, from: &str, to: &str) -> io::Result<()> {
        match renameat_with(&self.fd, from, &self.fd, to, RenameFlags::NOREPLACE) {
            // Not every file system knows the flag (renameat2(2)); a link is as strict.
            Err(Errno::INVAL | Errno::NOSYS) => self.link_to_free(from, to),
            renamed => Ok(renamed?),
        }
    }

    /// Gives a file a name, and takes it from whatever file has it.
    pub(crate) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(renameat(&self.fd, from, &self.fd, to)?)
    }

    /// Writes the names to the disk.
    pub(crate) fn sync(&self) -> io::Result<()> {
        Ok(fsync(&self.fd)?)
    }

    /// Whether there is room for so many bytes: `StorageFull` where there is none.
    pub(crate) fn look_for_room(&self, bytes: u64) -> io::Result<()> {
        let disk = fstatvfs(&self.fd)?;
        // A file system without a size has no blocks to count.
        let limited = disk.f_blocks > 0;
        match limited && disk.f_bavail.saturating_mul(disk.f_frsize) < bytes {
            true => Err(io::ErrorKind::StorageFull.into()),
            false => Ok(()),
        }
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
    fn new(stat: &Stat) -> Self {
        let seconds = u64::try_from(stat.st_mtime).unwrap_or_default();
        let nanoseconds = u32::try_from(stat.st_mtime_nsec).unwrap_or_default();
        Self {
            is_file: FileType::from_raw_mode(stat.st_mode).is_file(),
            inode: stat.st_ino,
            bytes: u64::try_from(stat.st_size).unwrap_or_default(),
            modified: SystemTime::UNIX_EPOCH + Duration::new(seconds, nanoseconds),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn both_ways_to_a_free_name_take_no_other() {
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

    /// Where the path leads elsewhere now, the directory stays the one that was opened.
    #[test]
    fn is_the_one_that_was_opened() {
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
