//! Where an HTTP/1.x head begins and ends (RFC 9112, section 2.1), as far as the programs need to know
//! it: they capture a head until its blank line.

/// How many bytes of one head are captured: as many as servers take.
pub const MAX_HEAD: u32 = 64 * 1024;

/// The line ends among the 8 bytes that were searched last: the highest bit of each that is a LF.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LineEnds(u64);

impl LineEnds {
    /// Before the first byte.
    pub const NONE: Self = Self(0);
    /// Whether a blank line was found. Not the highest bit of any byte.
    const FOUND: u64 = 1;

    /// As an integer.
    #[inline(always)]
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// Searches some words, one after the other, after these line ends. Their own as an integer, with the lowest bit set if a
    /// blank line ends among them.
    #[inline(always)]
    #[must_use]
    pub fn search_all(before: u64, words: &[u64]) -> u64 {
        let mut line_ends = Self(before);
        let mut found = 0;
        for word in words {
            found |= line_ends.search(*word);
        }
        line_ends.0 | if found == 0 { 0 } else { Self::FOUND }
    }

    /// What [`search_all`](Self::search_all) gave: the line ends, and whether a blank line ends there.
    #[inline(always)]
    #[must_use]
    pub const fn found(searched: u64) -> (Self, bool) {
        (Self(searched & !Self::FOUND), searched & Self::FOUND != 0)
    }

    /// Searches the next 8 bytes; `word` has them in memory order. Not 0 if a blank line ends among
    /// them: a LF right after another, or after one and a CR.
    //
    // A line of one other character is taken for a blank one. No head has one.
    #[inline(always)]
    pub const fn search(&mut self, word: u64) -> u64 {
        let ends = line_ends(word);
        let before = self.0;
        self.0 = ends;
        ends & (ends << 8 | before >> 56 | ends << 16 | before >> 48)
    }

    /// The same for the next 4 bytes, the second half of `word`.
    #[inline(always)]
    pub const fn search_half(&mut self, word: u64) -> u64 {
        let ends = line_ends(word) & !(u32::MAX as u64) | self.0 >> 32;
        self.0 = ends;
        (ends & (ends << 8 | ends << 16)) >> 32
    }

    /// Passes a byte without a search.
    #[inline(always)]
    pub const fn pass(&mut self, byte: u8) {
        self.0 = self.0 >> 8 | if byte == b'\n' { 1 << 63 } else { 0 };
    }
}

#[inline(always)]
const fn line_ends(word: u64) -> u64 {
    const LF: u64 = 0x0a0a_0a0a_0a0a_0a0a;
    const LOW: u64 = 0x7f7f_7f7f_7f7f_7f7f;
    let other = word ^ LF;
    !(((other & LOW) + LOW) | other | LOW)
}

/// Whether bytes may begin a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// The next byte decides.
    Undecided,
    Head,
    Other,
}

/// The longest method that is recognised.
pub const MAX_METHOD: usize = 16;

/// What the byte at `place`, after bytes that left it undecided, makes of it: a head begins with a
/// method and a blank, with `HTTP/`, or with empty lines before those.
#[inline(always)]
#[must_use]
pub const fn begin(place: usize, byte: u8) -> Begin {
    match (place, byte) {
        (0, b'\r' | b'\n') | (1.., b' ') | (4, b'/') => Begin::Head,
        (_, b'A'..=b'Z' | b'-' | b'_') => Begin::Undecided,
        _ => Begin::Other,
    }
}

/// How many bytes precede the first line of a head whose first byte is a line end: those of a header
/// of the PROXY protocol, version 2 (its length is in bytes 14 and 15), or of empty lines.
#[inline(always)]
#[must_use]
pub const fn preamble(fifth: u8, length: [u8; 2]) -> u32 {
    const HEADER: u32 = 16;
    const EMPTY_LINES: u32 = 4;
    if fifth == 0 {
        HEADER + u16::from_be_bytes(length) as u32
    } else {
        EMPTY_LINES
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec;

    use super::{Begin, LineEnds, MAX_METHOD, begin};

    /// The first place, in steps of a word, after a blank line in `bytes`, which came in segments of
    /// `step` bytes behind headers of 8 or 12 bytes.
    fn end(bytes: &[u8], step: usize, headers: usize) -> Option<usize> {
        let mut ends = LineEnds::NONE;
        for (number, segment) in bytes.chunks(step).enumerate() {
            let mut packet = vec![b'\n'; headers];
            packet.extend(segment);
            packet.resize(packet.len().next_multiple_of(8), 0);
            let mut within = ends;
            for (place, word) in packet.chunks(8).enumerate().skip(1) {
                let word = u64::from_le_bytes(word.try_into().unwrap());
                let found = if place == 1 && headers == 12 {
                    within.search_half(word)
                } else {
                    within.search(word)
                };
                if found != 0 {
                    return Some(number * step + place * 8 + 8 - headers);
                }
            }
            segment.iter().for_each(|byte| ends.pass(*byte));
        }
        None
    }

    #[test]
    fn a_blank_line_is_found_wherever_the_segments_are_cut() {
        let check = |text: &[u8], blank: Option<usize>| {
            for (step, headers) in (1..=17).flat_map(|step| [(step, 8), (step, 12)]) {
                let found = end(text, step, headers);
                let is_near = match (found, blank) {
                    (Some(found), Some(at)) => (at..at + 8).contains(&found),
                    (found, blank) => found == blank,
                };
                assert!(is_near, "{text:?} by {step} after {headers}: {found:?}");
            }
        };
        check(b"GET / HTTP/1.1\r\nHost: h\r\n\r\nbody", Some(27));
        check(b"GET / HTTP/1.1\nHost: h\n\nbody", Some(24));
        check(b"GET / HTTP/1.1\r\nHost: h\r\nA: \x8a\x8a\xff\r\n", None);
        check(b"\x0b\x09\x8a\x0b\x0b\x8a\x8a", None);
        check(b"a\r\n\r\n", Some(5));
    }

    #[test]
    fn words_are_searched_at_once_as_one_by_one() {
        let mut text = [b'a'; 64];
        text[62] = b'\n';
        for at in 0..62 {
            let mut text = text;
            text[at..at + 3].copy_from_slice(b"\n\r\n");
            for before in [b"aaaaaaaa", b"aaaaaa\n\r"] {
                let words = text.as_chunks().0.iter().copied().map(u64::from_le_bytes);
                let words: vec::Vec<u64> = words.collect();
                let mut ends = LineEnds::NONE;
                before.iter().for_each(|byte| ends.pass(*byte));
                let mut one_by_one = ends;
                let found = words.iter().map(|word| one_by_one.search(*word));
                let found = found.fold(0, |all, found| all | found) != 0;
                assert!(found, "at {at}");
                let searched = LineEnds::search_all(ends.bits(), &words);
                assert_eq!(LineEnds::found(searched), (one_by_one, found), "at {at}");
            }
        }
        let none = LineEnds::search_all(0, &[u64::from_le_bytes(*b"line\r\nli"); 8]);
        assert!(!LineEnds::found(none).1);
    }

    #[test]
    fn heads_begin_with_a_method_or_a_version() {
        let check = |text: &[u8], expected| {
            let mut bytes = text.iter().take(MAX_METHOD).enumerate();
            let found = bytes.find_map(|(place, byte)| match begin(place, *byte) {
                Begin::Undecided => None,
                decided => Some(decided),
            });
            assert_eq!(found, Some(expected), "{text:?}");
        };
        check(b"PUT /x HTTP/1.1", Begin::Head);
        check(b"VERSION-CONTROL /x", Begin::Head);
        check(b"HTTP/1.1 200 OK", Begin::Head);
        check(b"PROXY TCP4 192.0.2.1", Begin::Head);
        check(b"\r\nPUT /x", Begin::Head);
        check(b"\x16\x03\x01", Begin::Other);
        check(b"hello world", Begin::Other);
        check(b"PK\x03\x04", Begin::Other);
        check(b" PUT", Begin::Other);
        check(b"0\r\n\r\n", Begin::Other);
    }
}
