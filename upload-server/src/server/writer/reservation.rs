//! Disk space for a file, reserved ahead of its bytes so that a large one lies in few extents. What is reserved grows
//! with what has arrived: a client that announces much and sends little holds little.

use std::io;

use crate::server::{limits::FreeSpace, store::Temporary};

/// How much is reserved ahead: as much as has arrived, within these limits.
const LEAST_AHEAD: u64 = 1024 * 1024;
const MOST_AHEAD: u64 = 64 * 1024 * 1024;

pub(super) struct Reservation {
    space: FreeSpace,
    /// The length of the whole file.
    length: u64,
    written: u64,
    reserved: u64,
}

/// The bytes to reserve next.
pub(super) struct Ahead {
    space: FreeSpace,
    begin: u64,
    end: u64,
}

impl Reservation {
    pub(super) fn new(space: FreeSpace, length: u64) -> Self {
        Self {
            space,
            length,
            written: 0,
            reserved: 0,
        }
    }

    /// What is to be reserved before this many more bytes are written. None where they, or all bytes that
    /// follow, have their space.
    pub(super) fn before(&mut self, bytes: u64) -> Option<Ahead> {
        self.written += bytes;
        if self.written <= self.reserved || self.written >= self.length {
            return None;
        }
        let ahead = self.written.clamp(LEAST_AHEAD, MOST_AHEAD);
        let begin = self.reserved;
        self.reserved = self.length.min(self.written + ahead);
        Some(Ahead {
            space: self.space.clone(),
            begin,
            end: self.reserved,
        })
    }
}

impl Ahead {
    /// Blocks.
    pub(super) fn reserve(&self, file: &Temporary) -> io::Result<()> {
        // Space ahead is not worth the space that stays free. The bytes themselves have another limit.
        if self.space.check(self.end - self.begin).is_err() {
            return Ok(());
        }
        file.reserve(self.begin..self.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::limits::tests::space;

    const MIB: u64 = 1024 * 1024;

    /// Where reservations of a file end that is written in batches of 1 MiB, in MiB.
    fn ends(length: u64) -> Vec<u64> {
        let mut reservation = Reservation::new(space(0, 0), length * MIB);
        let mut begin = 0;
        let ahead = (0..length).filter_map(|_| reservation.before(MIB));
        let ends = ahead.map(|ahead| {
            assert_eq!(ahead.begin, begin);
            begin = ahead.end;
            ahead.end / MIB
        });
        ends.collect()
    }

    #[test]
    fn grows_with_what_has_arrived() {
        assert!(ends(1).is_empty());
        assert_eq!(ends(2), [2]);
        assert_eq!(ends(7), [2, 6]);
        assert_eq!(ends(8), [2, 6, 8]);
        assert_eq!(ends(300), [2, 6, 14, 30, 62, 126, 191, 256, 300]);
        assert_eq!(ends(1024).len(), 20);
    }
}
