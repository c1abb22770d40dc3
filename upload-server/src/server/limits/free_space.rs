//! Free space on the disk: uploads leave some, because other programs need it, too.

use std::{fmt, path::PathBuf};

use rustix::fs::statvfs;
use tracing::warn;
use upload_protocol::units;

use crate::server::error::Error;

/// The disk of a directory, and how many bytes of it stay free.
#[derive(Clone, Debug)]
pub(crate) struct FreeSpace {
    directory: PathBuf,
    floor: u64,
}

/// Why a disk has no room: its `Display` names the sizes and the option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shortage {
    /// What the upload still needs; 0 where that is unknown.
    needed: u64,
    free: u64,
    floor: u64,
}

impl Shortage {
    /// Of a disk on which nothing stays free.
    pub(crate) fn new(needed: u64, free: u64) -> Self {
        Self {
            needed,
            free,
            floor: 0,
        }
    }
}

impl FreeSpace {
    pub(crate) fn new(directory: PathBuf, floor: u64) -> Self {
        Self { directory, floor }
    }

    /// An error where this many more bytes do not leave enough free. None where the free space is
    /// unknown.
    pub(crate) fn check(&self, needed: u64) -> Result<(), Error> {
        if self.floor == 0 {
            return Ok(());
        }
        match statvfs(&self.directory) {
            Ok(disk) => {
                let shortage = Shortage {
                    needed,
                    free: disk.f_bavail.saturating_mul(disk.f_frsize),
                    floor: self.floor,
                };
                if needed.saturating_add(self.floor) <= shortage.free {
                    Ok(())
                } else {
                    Err(Error::NoFreeSpace(shortage))
                }
            }
            Err(error) => {
                warn!(%error, "the free space of the disk is unknown");
                Ok(())
            }
        }
    }
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.needed > 0 {
            write!(f, "the upload needs {}, ", units::bytes(self.needed))?;
        }
        write!(f, "{} are free", units::bytes(self.free))?;
        if self.floor > 0 {
            let floor = units::bytes(self.floor);
            write!(
                f,
                ", and the server leaves at least {floor} free (--min-free)"
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_floor() {
        check(1, 0, true);
        check(1, u64::MAX, false);
        check(u64::MAX, 0, false);
        check(0, u64::MAX, true);

        fn check(floor: u64, needed: u64, fits: bool) {
            let space = FreeSpace::new(std::env::temp_dir(), floor);
            assert_eq!(space.check(needed).is_ok(), fits, "{floor} {needed}");
        }
    }

    #[test]
    fn the_sentence_has_every_number() {
        let floor = "3.0 MB are free, and the server leaves at least 2.0 MB free (--min-free)";
        check(
            5_000_000,
            2_000_000,
            &format!("the upload needs 5.0 MB, {floor}"),
        );
        check(0, 2_000_000, floor);
        check(5_000_000, 0, "the upload needs 5.0 MB, 3.0 MB are free");

        fn check(needed: u64, floor: u64, expected: &str) {
            let shortage = Shortage {
                needed,
                free: 3_000_000,
                floor,
            };
            assert_eq!(shortage.to_string(), expected);
        }
    }
}
