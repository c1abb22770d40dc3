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

/// Lines of text with each hidden character escaped, but for line ends and tabs.
#[must_use]
pub fn plain_lines(text: &str) -> Cow<'_, str> {
    escape_unless(text, |_| false)
}

/// The same for lines of a log, whose colours (SGR) pass, too.
#[must_use]
pub fn plain_log(lines: &str) -> Cow<'_, str> {
    escape_unless(lines, is_colour)
}

/// JSON with each hidden character as an escape (RFC 8259, 7), such as `\u009b`: it means the same, and acts on
/// no terminal.
#[must_use]
pub fn plain_json(json: &str) -> Cow<'_, str> {
    if !json.chars().any(is_hidden_in_lines) {
        return Cow::Borrowed(json);
    }
    let mut escaped = String::with_capacity(json.len() + 16);
    for character in json.chars() {
        if is_hidden_in_lines(character) {
            for unit in character.encode_utf16(&mut [0; 2]) {
                // Writing to a string does not fail.
                let _ = write!(escaped, "\\u{unit:04x}");
            }
        } else {
            escaped.push(character);
        }
    }
    Cow::Owned(escaped)
}

/// `passes` gets what begins with a hidden character.
fn escape_unless(text: &str, passes: impl Fn(&str) -> bool) -> Cow<'_, str> {
    if !text.chars().any(is_hidden_in_lines) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for (at, character) in text.char_indices() {
        if is_hidden_in_lines(character) && !passes(&text[at..]) {
            push_plain(&mut escaped, character);
        } else {
            escaped.push(character);
        }
    }
    Cow::Owned(escaped)
}

/// Whether this begins with a sequence that sets a colour (SGR).
fn is_colour(text: &str) -> bool {
    text.strip_prefix("\u{1b}[").is_some_and(|rest| {
        let numbers = rest.trim_start_matches(|one: char| one.is_ascii_digit() || one == ';');
        numbers.starts_with('m')
    })
}

const fn is_hidden_in_lines(character: char) -> bool {
    is_hidden(character) && !matches!(character, '\n' | '\t')
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
    use super::{plain, plain_json, plain_lines, plain_log};

    #[test]
    fn only_line_ends_and_tabs_pass() {
        assert_eq!(plain_lines("plain é\n\t猫\n"), "plain é\n\t猫\n");
        let hidden = "\u{1b}[33ma\u{9b}2J\u{202e}\n";
        assert_eq!(plain_lines(hidden), "\\u{1b}[33ma\\u{9b}2J\\u{202e}\n");
    }

    #[test]
    fn only_colours_pass() {
        for (line, expected) in [
            ("plain é\n", "plain é\n"),
            (
                "\u{1b}[33mWARN\u{1b}[0m\tx\n",
                "\u{1b}[33mWARN\u{1b}[0m\tx\n",
            ),
            (
                "\u{1b}[2Ja\u{9b}2Jb\u{202e}c\n",
                "\\u{1b}[2Ja\\u{9b}2Jb\\u{202e}c\n",
            ),
        ] {
            assert_eq!(plain_log(line), expected);
        }
    }

    #[test]
    fn json_means_the_same() {
        let name = "é\u{9b}2J\u{7f}\u{202e}\u{e0041}";
        let json = serde_json::to_string(name).unwrap() + "\n";
        let escaped = plain_json(&json);
        assert_eq!(escaped, "\"é\\u009b2J\\u007f\\u202e\\udb40\\udc41\"\n");
        assert_eq!(serde_json::from_str::<String>(&escaped).unwrap(), name);
    }

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
