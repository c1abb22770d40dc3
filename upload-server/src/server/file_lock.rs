//! Locks on files, so that one process works on a file at a time (flock(2)).

use std::{fs::File, io, ops::Deref};

use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};

/// Locks a file until it is closed. Returns false where another descriptor has the lock. On a file
/// system without locks, every call succeeds.
pub(crate) fn lock(file: &File) -> io::Result<bool> {
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::NOLCK) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// A locked file. Dropping it unlocks it even while another descriptor of it is open: a child process
/// that is just being started has a copy of each descriptor until it runs its program.
#[derive(Debug)]
pub(crate) struct Locked(File);

impl Locked {
    /// None where another descriptor has the lock.
    pub(crate) fn new(file: File) -> io::Result<Option<Self>> {
        Ok(lock(&file)?.then_some(Self(file)))
    }
}

impl Deref for Locked {
    type Target = File;

    fn deref(&self) -> &File {
        &self.0
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        // A failure does not matter: closing the file unlocks it, too.
        let _ = flock(&self.0, FlockOperation::Unlock);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_unlocked_when_dropped() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("file");
        let file = File::create(&path).unwrap();
        let other_descriptor = file.try_clone().unwrap();
        let locked = Locked::new(file).unwrap().unwrap();
        let again = || Locked::new(File::open(&path).unwrap()).unwrap();
        assert!(again().is_none());
        drop(locked);
        assert!(again().is_some());
        drop(other_descriptor);
    }
}
