//! Free space on the disk: uploads leave some, because other programs need it, too.

use std::{fmt, net::IpAddr, sync::Arc};

use tracing::warn;
use upload_protocol::units;

use super::announced::{Announced, ToCome};
use crate::server::{
    error::Error,
    store::directory::{Directory, Disk},
};

/// The disk of a directory, and how much of it stays free. Clones share what clients have announced.
#[derive(Clone, Debug)]
pub(crate) struct FreeSpace {
    directory: Arc<Directory>,
    /// In bytes.
    floor: u64,
    floor_of_inodes: u64,
    announced: Arc<Announced>,
}

/// Why a disk has no room: its `Display` names the sizes and the option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shortage {
    Bytes {
        /// What the upload still needs; 0 where that is unknown.
        needed: u64,
        /// What the client's other uploads have announced.
        others: u64,
        free: u64,
        floor: u64,
    },
    Inodes {
        free: u64,
        floor: u64,
    },
}

impl FreeSpace {
    pub(crate) fn new(directory: Arc<Directory>, floor: u64, floor_of_inodes: u64) -> Self {
        Self {
            directory,
            floor,
            floor_of_inodes,
            announced: Arc::default(),
        }
    }

    /// Counts what an upload of this client announces, until it has arrived or the upload ends. An error
    /// where that, and what else this client has announced, does not leave enough free, or where `needs_file`
    /// and the disk has too few inodes for another file.
    pub(crate) fn admit(
        &self,
        client: IpAddr,
        bytes: u64,
        needs_file: bool,
    ) -> Result<ToCome, Error> {
        let to_come = self.announce(client, bytes);
        let disk = self.disk();
        self.check_bytes(disk, bytes, to_come.of_others())?;
        if needs_file {
            self.check_inodes_of(disk)?;
        }
        Ok(to_come)
    }

    /// The same where the free space does not matter.
    pub(crate) fn announce(&self, client: IpAddr, bytes: u64) -> ToCome {
        self.announced.announce(client, bytes)
    }

    /// An error where this many more bytes do not leave enough free. None where the free space is
    /// unknown.
    pub(crate) fn check(&self, needed: u64) -> Result<(), Error> {
        if needed.saturating_add(self.floor) == 0 {
            return Ok(());
        }
        self.check_bytes(self.disk(), needed, 0)
    }

    /// An error where the disk has too few inodes for another file. None where it makes them as needed.
    pub(crate) fn check_inodes(&self) -> Result<(), Error> {
        self.check_inodes_of(self.disk())
    }

    fn check_inodes_of(&self, disk: Option<Disk>) -> Result<(), Error> {
        let floor = self.floor_of_inodes;
        match disk.and_then(|disk| disk.inodes) {
            Some(free) if free < floor => Err(Shortage::Inodes { free, floor }.into()),
            _ => Ok(()),
        }
    }

    fn check_bytes(&self, disk: Option<Disk>, needed: u64, others: u64) -> Result<(), Error> {
        let floor = self.floor;
        let most = needed.saturating_add(others).saturating_add(floor);
        match disk.and_then(|disk| disk.bytes) {
            Some(free) if free < most => {
                let shortage = Shortage::Bytes {
                    needed,
                    others,
                    free,
                    floor,
                };
                Err(shortage.into())
            }
            _ => Ok(()),
        }
    }

    fn disk(&self) -> Option<Disk> {
        let disk = self.directory.disk();
        disk.inspect_err(|error| warn!(%error, "the free space of the disk is unknown"))
            .ok()
    }
}

impl From<Shortage> for Error {
    fn from(shortage: Shortage) -> Self {
        Self::NoFreeSpace(shortage)
    }
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (needed, others, free, floor) = match *self {
            Self::Bytes {
                needed,
                others,
                free,
                floor,
            } => (needed, others, free, floor),
            Self::Inodes { free, floor } => {
                return write!(
                    f,
                    "{free} inodes are free, and the server leaves at least {floor} free \
                     (--min-free-inodes)"
                );
            }
        };
        if needed > 0 {
            write!(f, "the upload needs {}, ", units::bytes(needed))?;
        }
        if others > 0 {
            let others = units::bytes(others);
            write!(f, "other uploads of this client need {others} more, ")?;
        }
        write!(f, "{} are free", units::bytes(free))?;
        if floor > 0 {
            let floor = units::bytes(floor);
            write!(
                f,
                ", and the server leaves at least {floor} free (--min-free)"
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The disk of temporary files.
    pub(crate) fn space(floor: u64, floor_of_inodes: u64) -> FreeSpace {
        let directory = Directory::open(&std::env::temp_dir()).unwrap();
        FreeSpace::new(Arc::new(directory), floor, floor_of_inodes)
    }

    #[test]
    fn keeps_the_floor() {
        check(1, 0, true);
        check(1, u64::MAX, false);
        check(u64::MAX, 0, false);
        check(0, u64::MAX, false);
        check(0, 0, true);

        fn check(floor: u64, needed: u64, fits: bool) {
            let checked = space(floor, 0).check(needed);
            assert_eq!(checked.is_ok(), fits, "{floor} {needed}");
        }
    }

    #[test]
    fn keeps_inodes() {
        assert!(space(0, 1).check_inodes().is_ok());
        let refused = space(0, u64::MAX).check_inodes().unwrap_err().to_string();
        assert!(refused.contains("(--min-free-inodes)"), "{refused}");
    }

    #[test]
    fn the_sentence_has_every_number() {
        let floor = "3.0 MB are free, and the server leaves at least 2.0 MB free (--min-free)";
        check(
            (5_000_000, 0, 2_000_000),
            &format!("the upload needs 5.0 MB, {floor}"),
        );
        check((0, 0, 2_000_000), floor);
        check(
            (5_000_000, 0, 0),
            "the upload needs 5.0 MB, 3.0 MB are free",
        );
        check(
            (5_000_000, 1_000_000, 0),
            "the upload needs 5.0 MB, other uploads of this client need 1.0 MB more, 3.0 MB are free",
        );

        fn check((needed, others, floor): (u64, u64, u64), expected: &str) {
            let shortage = Shortage::Bytes {
                needed,
                others,
                free: 3_000_000,
                floor,
            };
            assert_eq!(shortage.to_string(), expected);
        }
    }
}
