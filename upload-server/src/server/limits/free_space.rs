//! Free space on the disk: uploads leave some, because other programs need it, too.

use std::path::PathBuf;

use rustix::fs::statvfs;
use tracing::warn;

/// The disk of a directory, and how many bytes of it stay free.
#[derive(Clone, Debug)]
pub(crate) struct FreeSpace {
    directory: PathBuf,
    floor: u64,
}

impl FreeSpace {
    pub(crate) fn new(directory: PathBuf, floor: u64) -> Self {
        Self { directory, floor }
    }

    /// Whether this many more bytes leave enough free. Also true where the free space is unknown.
    pub(crate) fn has_room_for(&self, bytes: u64) -> bool {
        if self.floor == 0 {
            return true;
        }
        match statvfs(&self.directory) {
            Ok(disk) => {
                let available = disk.f_bavail.saturating_mul(disk.f_frsize);
                bytes.saturating_add(self.floor) <= available
            }
            Err(error) => {
                warn!(%error, "the free space of the disk is unknown");
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_floor() {
        let directory = std::env::temp_dir();
        assert!(FreeSpace::new(directory.clone(), 1).has_room_for(0));
        assert!(!FreeSpace::new(directory.clone(), 1).has_room_for(u64::MAX));
        assert!(!FreeSpace::new(directory.clone(), u64::MAX).has_room_for(0));
        assert!(FreeSpace::new(directory, 0).has_room_for(u64::MAX));
    }
}
