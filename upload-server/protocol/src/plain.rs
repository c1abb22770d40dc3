//! Untrusted text for a terminal or a page: a process, a file or a recording may contain any characters.

use std::{borrow::Cow, fmt::Write as _};

/// The text with each [hidden](is_hidden) character escaped, such as `\u{9b}`.
#[must_use]
pub fn plain(text: &str) -> Cow<'_, str> {
    let is_printable = |byte| matches!(byte, b' '..=b'~');
    if text.bytes().all(is_printable) || !text.chars().any(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        push_plain(&mut escaped, character);
    }
    Cow::Owned(escaped)
}

/// Appends a character, escaped if it is [hidden](is_hidden).
pub fn push_plain(to: &mut String, character: char) {
    if is_hidden(character) {
        // Writing to a string does not fail.
        let _ = write!(to, "{}", character.escape_unicode());
    } else {
        to.push(character);
    }
}

/// Whether a character is not seen as itself: control characters (C0, DEL, C1), line and paragraph
/// separators, and those without a glyph, among them all that change the direction of text
/// (Default_Ignorable_Code_Point, Unicode 16.0, `DerivedCoreProperties.txt`).
#[must_use]
pub const fn is_hidden(character: char) -> bool {
    matches!(
        character,
        '\0'..='\u{1f}'
            | '\u{7f}'..='\u{9f}'
            | '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn what_is_not_seen_as_itself_is_escaped() {
        for (text, expected) in [
            ("plain é → 猫", "plain é → 猫"),
            ("a\u{1b}[31mb\n", r"a\u{1b}[31mb\u{a}"),
            ("é\u{9b}2J\u{7f}", r"é\u{9b}2J\u{7f}"),
            // It reads as "cat.png.exe" does not.
            ("cat\u{202e}gnp.exe", r"cat\u{202e}gnp.exe"),
            (
                "a\u{200b}\u{2066}\u{feff}\u{e0041}",
                r"a\u{200b}\u{2066}\u{feff}\u{e0041}",
            ),
        ] {
            assert_eq!(plain(text), expected);
        }
    }
}
