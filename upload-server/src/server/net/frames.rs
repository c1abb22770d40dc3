//! The frames of a connection of HTTP/2 (RFC 9113, 4.1), as far as their number matters.

/// The length of a frame's header.
pub(super) const HEADER: usize = 9;

/// What a client sends before the first frame (3.4).
const PREFACE: usize = 24;

/// The type of DATA (6.1).
const DATA: u8 = 0;

/// Finds the frames in what is read, however it is cut.
pub(super) struct Frames {
    header: [u8; HEADER],
    /// How many bytes of the header are there.
    read: usize,
    /// How many bytes follow until the next header.
    rest: usize,
}

impl Default for Frames {
    fn default() -> Self {
        Self {
            header: [0; HEADER],
            read: 0,
            rest: PREFACE,
        }
    }
}

impl Frames {
    /// Passes over bytes, in which no more than `most` frames of DATA begin. Returns how many bytes these are, and
    /// how many frames begin in them. Empty ones do not count.
    pub(super) fn pass(&mut self, bytes: &[u8], most: usize) -> (usize, usize) {
        let (mut passed, mut found) = (0, 0);
        loop {
            let content = self.rest.min(bytes.len() - passed);
            self.rest -= content;
            passed += content;
            let next = bytes.get(passed).filter(|_| found < most);
            let Some(&byte) = next else {
                return (passed, found);
            };
            if let Some(place) = self.header.get_mut(self.read) {
                *place = byte;
            }
            self.read += 1;
            passed += 1;
            if self.read == HEADER {
                let [high, middle, low, kind, ..] = self.header;
                let length = u32::from_be_bytes([0, high, middle, low]);
                self.rest = usize::try_from(length).unwrap_or(usize::MAX);
                self.read = 0;
                found += usize::from(kind == DATA && length > 0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_found_however_they_are_cut() {
        let mut bytes = vec![0; PREFACE];
        for (length, kind) in [(3, DATA), (0, DATA), (5, 1), (300, DATA)] {
            let [high, low] = u16::to_be_bytes(length);
            bytes.extend([0, high, low, kind, 0, 0, 0, 0, 1]);
            bytes.resize(bytes.len() + usize::from(length), DATA);
        }
        for size in 1..=bytes.len() {
            let mut frames = Frames::default();
            let found = bytes.chunks(size).map(|cut| frames.pass(cut, 9));
            let (passed, found) = found.fold((0, 0), |all, one| (all.0 + one.0, all.1 + one.1));
            assert_eq!((passed, found), (bytes.len(), 2), "{size}");
        }
        // All of the first frame, and what precedes the second.
        let (passed, found) = Frames::default().pass(&bytes, 1);
        assert_eq!((passed, found), (PREFACE + HEADER + 3, 1));
        assert_eq!(Frames::default().pass(&bytes[..passed + 4], 1).0, passed);
        {}
    }
}
