//! A file that has no name of its own yet: hidden beside the files, locked as long as somebody
//! works on it, and removed where it does not come to a name. What a server left that was killed
//! is known by its lock being free.

use std::{
    fs::File,
    io,
    os::unix::fs::MetadataExt,
    process,
    sync::{
        Arc,
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

/// What the names of these files begin with. No file that a client names does.
const PREFIX: &str = ".upload-";

/// Tells the files of a process apart.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// See the module.
#[derive(Debug)]
pub(crate) struct Temporary {
    directory: Arc<Directory>,
    file: File,
    name: String,
    /// Whether the file stays without having got a name.
    stays: bool,
}

impl Temporary {
    /// A file that stays where it is until it gets another name.
    pub(crate) fn adopt(directory: Arc<Directory>, file: File, name: String) -> Self {
        Self {
            directory,
            file,
            name,
            stays: true,
        }
    }

    /// An empty file.
    pub(crate) fn create(directory: Arc<Directory>) -> io::Result<Self> {
        loop {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let name = format!("{PREFIX}{}-{number}", process::id());
            match directory.create(&name) {
                // Another server may take the file for a leftover until it is locked.
                Ok(file) if is_ours(&file)? => {
                    return Ok(Self {
                        directory,
                        file,
                        name,
                        stays: false,
                    });
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Takes room for so many bytes on the disk.
    pub(crate) fn reserve(&self, bytes: u64) -> io::Result<()> {
        self.directory.reserve(&self.file, bytes)
    }

    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Gives the file a name that is free: `AlreadyExists` where it is not.
    pub(crate) fn name_if_free(&mut self, name: &str) -> io::Result<()> {
        self.directory.rename_to_free(&self.name, name)?;
        self.stays = true;
        Ok(())
    }

    /// Gives the file a name, and takes it from whatever file has it.
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
            warn!(%error, "a temporary file stays until the next start");
        }
    }
}

/// Locks a file that was just created; false where it was taken for a leftover before that.
fn is_ours(file: &File) -> io::Result<bool> {
    Ok(lock(file)? && file.metadata()?.nlink() > 0)
}

/// Removes the files that nobody works on any more.
pub(crate) fn remove_leftovers(directory: &Directory) -> io::Result<()> {
    let mut names = directory.names()?;
    names.retain(|name| name.starts_with(PREFIX));
    let mut removed = 0;
    for name in names {
        match remove_leftover(directory, &name) {
            Ok(true) => removed += 1,
            Ok(false) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => warn!(%error, name, "a leftover cannot be removed"),
        }
    }
    if removed > 0 {
        info!("removed {removed} unfinished uploads of a server that is gone");
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
    fn only_what_nobody_holds_is_a_leftover() {
        let root = tempfile::tempdir().unwrap();
        let directory = Arc::new(Directory::open(root.path()).unwrap());
        for name in [".upload-1-0", ".upload-AbCdEf", ".other", "file"] {
            fs::write(root.path().join(name), "x").unwrap();
        }
        let held = Temporary::create(Arc::clone(&directory)).unwrap();
        remove_leftovers(&directory).unwrap();
        let mut names = directory.names().unwrap();
        names.retain(|name| !matches!(name.as_str(), "." | ".."));
        names.sort();
        assert_eq!(names, [".other", held.name.as_str(), "file"]);
    }

    #[test]
    fn one_that_got_its_name_stays() {
        let root = tempfile::tempdir().unwrap();
        let directory = Arc::new(Directory::open(root.path()).unwrap());
        let mut named = Temporary::create(Arc::clone(&directory)).unwrap();
        let unnamed = Temporary::create(Arc::clone(&directory)).unwrap();
        named.name_if_free("file").unwrap();
        drop((named, unnamed));
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
    }

    #[test]
    fn one_that_was_taken_for_a_leftover_is_not_ours() {
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
