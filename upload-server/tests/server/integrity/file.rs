//! Files to upload: their bytes, and their names, which are as odd as people's.

use crate::random::Random;

/// What names are made of: letters of several scripts, and all that means something in a header field,
/// in a URL or on a command line. No name has `%22`, `%0D` or `%0A`: an HTML form that sends these means
/// other letters.
const PIECES: [&str; 24] = [
    "a",
    "B",
    "7",
    " ",
    "  ",
    "\"",
    "'",
    ";",
    "; filename=x",
    "=",
    "%",
    "%41",
    "&",
    "<b>",
    ",",
    "+",
    "~",
    "..",
    "ï",
    "日本",
    "🎈",
    "e\u{301}",
    "?",
    "#",
];

/// The most pieces of a name.
const MOST_PIECES: usize = 12;

/// Bytes without a pattern, from which files are made.
pub(super) struct Pool(Vec<u8>);

/// A file to upload.
pub(super) struct File<'a> {
    pub(super) name: String,
    pub(super) content: &'a [u8],
}

impl Pool {
    pub(super) fn new(random: &mut Random, largest: usize) -> Self {
        let words = std::iter::repeat_with(|| random.next());
        let words = words.flat_map(u64::to_le_bytes);
        Self(words.take(largest + (1 << 20)).collect())
    }

    /// As many small ones as large ones. The number makes the name unique.
    pub(super) fn file(&self, random: &mut Random, number: usize) -> File<'_> {
        let largest = self.0.len() - (1 << 20);
        let magnitude = random.below(largest.ilog2() as usize + 2);
        let length = random.below(1 << magnitude).min(largest);
        let start = random.below(self.0.len() - length);
        let content = &self.0[start..start + length];
        let name = name(random, number);
        File { name, content }
    }
}

fn name(random: &mut Random, number: usize) -> String {
    let odd: String = (0..random.below(MOST_PIECES + 1))
        .map(|_| PIECES[random.below(PIECES.len())])
        .collect();
    format!("file {number}{odd}.bin")
}
