//! A file that has no name of its own yet: hidden beside the stored files, locked while it is written,
//! and removed if it does not get a name. A server that is killed leaves such files without a lock:
//! the next server recognizes them by that.

use std::{
    fs::File,
    io,
    ops::Range,
    os::unix::fs::MetadataExt,
    process,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU64, Ordering},
    },
};

use rustix::{
    fs::{FlockOperation, OFlags, flock},
    io::Errno,
};
use tracing::{info, warn};

use super::directory::Directory;
use crate::server::file_lock::lock;

/// The prefix of these files' names. A client's file cannot have a name with it.
const PREFIX: &str = ".upload-";

/// To ask the kernel for each file would take a system call.
static PROCESS: LazyLock<u32> = LazyLock::new(process::id);

/// Numbers the files of this process.
static NEXT: AtomicU64 = AtomicU64::new(0);

#[derive(Debug)]
pub(crate) struct Temporary {
    directory: Arc<Directory>,
    file: File,
    name: String,
    /// Whether the file stays when this is dropped.
    stays: bool,
}

impl Temporary {
    /// A file that stays when this is dropped, even without a name.
    pub(crate) fn adopt(directory: Arc<Directory>, file: File, name: String) -> Self {
        Self {
            directory,
            file,
            name,
            stays: true,
        }
    }

    /// An empty file.
    pub(crate) fn create(directory: &Arc<Directory>) -> io::Result<Self> {
        loop {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let name = format!("{PREFIX}{}-{number}", *PROCESS);
            let file = match directory.create(&name) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(error) => return Err(error),
            };
            let mut created = Self {
                directory: Arc::clone(directory),
                file,
                name,
                stays: false,
            };
            // Until the file is locked, another server may take it for a leftover, and remove it.
            if is_ours(&created.file)? {
                return Ok(created);
            }
            created.stays = true;
        }
    }

    /// Reserves disk space for these bytes.
    pub(crate) fn reserve(&self, bytes: Range<u64>) -> io::Result<()> {
        self.directory.reserve(&self.file, bytes)
    }

    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// `AlreadyExists` where the name is not free.
    pub(crate) fn name_if_free(&mut self, name: &str) -> io::Result<()> {
        self.directory.rename_to_free(&self.name, name)?;
        self.stays = true;
        Ok(())
    }

    /// Replaces any file of this name.
    pub(crate) fn name_anyway(&mut self, name: &str) -> io::Result<()> {
        self.directory.rename(&self.name, name)?;
        self.stays = true;
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if self.stays {
            return;
        }
        if let Err(error) = self.directory.remove(&self.name) {
            warn!(%error, "cannot remove a temporary file: it stays until the next start");
        }
    }
}

/// Locks a file that was just created. Returns false where another server has taken it for a leftover.
fn is_ours(file: &File) -> io::Result<bool> {
    Ok(lock(file)? && file.metadata()?.nlink() > 0)
}

/// Removes the files of servers that were killed.
pub(crate) fn remove_leftovers(directory: &Directory) -> io::Result<()> {
    let mut names = directory.names()?;
    names.retain(|name| name.starts_with(PREFIX));
    let mut removed = 0;
    for name in names {
        match remove_leftover(directory, &name) {
            Ok(true) => removed += 1,
            Ok(false) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => warn!(%error, name, "cannot remove a leftover file"),
        }
    }
    if removed > 0 {
        info!("removed {removed} unfinished uploads of a server that was killed");
    }
    Ok(())
}

fn remove_leftover(directory: &Directory, name: &str) -> io::Result<bool> {
    let file = directory.open_file(name, OFlags::RDWR)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => directory.remove(name).map(|()| true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn only_an_unlocked_file_is_a_leftover() {
        let root = tempfile::tempdir().unwrap();
        let directory = Arc::new(Directory::open(root.path()).unwrap());
        for name in [".upload-1-0", ".upload-AbCdEf", ".other", "file"] {
            fs::write(root.path().join(name), "x").unwrap();
        }
        let held = Temporary::create(&directory).unwrap();
        remove_leftovers(&directory).unwrap();
        let mut names = directory.names().unwrap();
        names.retain(|name| !matches!(name.as_str(), "." | ".."));
        names.sort();
        assert_eq!(names, [".other", held.name.as_str(), "file"]);
    }

    #[test]
    fn a_named_file_stays() {
        let root = tempfile::tempdir().unwrap();
        let directory = Arc::new(Directory::open(root.path()).unwrap());
        let mut named = Temporary::create(&directory).unwrap();
        let unnamed = Temporary::create(&directory).unwrap();
        named.name_if_free("file").unwrap();
        drop((named, unnamed));
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_taken_for_a_leftover_is_not_ours() {
        let root = tempfile::tempdir().unwrap();
        let directory = Directory::open(root.path()).unwrap();
        let file = directory.create("held").unwrap();
        let other = directory.open_file("held", OFlags::RDWR).unwrap();
        flock(&other, FlockOperation::LockExclusive).unwrap();
        assert!(!is_ours(&file).unwrap());
        directory.remove("held").unwrap();
        drop(other);
        assert!(!is_ours(&file).unwrap());
    }
}
