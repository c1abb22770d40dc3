//! The one way out of text and JSON: nothing that acts on a terminal passes, apart from line ends and the
//! tracer's own styles.

use std::borrow::Cow;

use upload_protocol::plain::{is_hidden, plain_json, push_plain};

/// What the styles are rendered as.
const STYLES: [&str; 7] = [
    "\u{1b}[0m",
    "\u{1b}[1m",
    "\u{1b}[2m",
    "\u{1b}[31m",
    "\u{1b}[32m",
    "\u{1b}[33m",
    "\u{1b}[36m",
];

/// Bytes that are looked at together: the compiler makes one comparison of several.
const BLOCK: usize = 64;

/// Whether all bytes are ASCII, and none is DEL.
fn is_below_delete(block: &[u8]) -> bool {
    block.iter().fold(0, |most, byte| most.max(*byte)) < 0x7f
}

const fn is_seen(character: char) -> bool {
    matches!(character, ' '..='~' | '\n') || !is_hidden(character)
}

/// Whether there is nothing but ASCII that is seen and the characters that timelines have of themselves: `µ`, `·`, arrows
/// and bars, with all others in their rows of Unicode (U+00B0 to U+00BF, U+2180 to U+21BF, U+2580 to U+25BF). None of them
/// is hidden. False also where a character of these is the first, the second or the last.
//
// Each byte is looked at with the two before it, and without a way out of the loop: the compiler compares many at once.
fn is_own(rendered: &[u8]) -> bool {
    let is_ascii = |byte: u8| matches!(byte, b' '..=b'~' | b'\n');
    let [first, rest @ ..] = rendered else {
        return true;
    };
    let [second, third_on @ ..] = rest else {
        return is_ascii(*first);
    };
    let last = third_on.last().unwrap_or(second);
    let pairs = rendered.iter().zip(rest);
    let is_right = |((two_before, before), byte): ((&u8, &u8), &u8)| {
        let (two_before, before, byte) = (*two_before, *before, *byte);
        let begins = (two_before != 0xe2) & (before != 0xe2) & (before != 0xc2);
        let ends_two = (before == 0xc2) & matches!(byte, 0xb0..=0xbf);
        let goes_on = (before == 0xe2) & matches!(byte, 0x86 | 0x96);
        let ends_three = (two_before == 0xe2) & matches!(byte, 0x80..=0xbf);
        begins & (is_ascii(byte) | (byte == 0xc2) | (byte == 0xe2))
            | ends_two
            | goes_on
            | ends_three
    };
    let are_right = pairs
        .zip(third_on)
        .fold(true, |all, byte| all & is_right(byte));
    are_right & is_ascii(*first) & is_ascii(*second) & is_ascii(*last)
}

/// Escapes the hidden characters in the JSON that was rendered since `from`.
pub(super) fn make_json_plain(out: &mut Vec<u8>, from: usize) {
    let rendered = out.get(from..).unwrap_or_default();
    // JSON escapes control characters itself.
    if rendered.chunks(BLOCK).all(is_below_delete) {
        return;
    }
    let text = String::from_utf8_lossy(rendered);
    if let Cow::Owned(escaped) = plain_json(&text) {
        out.truncate(from);
        out.extend_from_slice(escaped.as_bytes());
    }
}

/// Escapes the hidden characters in what was rendered since `from`. `coloured`: styles are part of it.
pub(super) fn make_plain(out: &mut Vec<u8>, from: usize, coloured: bool) {
    let rendered = out.get(from..).unwrap_or_default();
    if is_own(rendered) || str::from_utf8(rendered).is_ok_and(|text| text.chars().all(is_seen)) {
        return;
    }
    let text = String::from_utf8_lossy(rendered);
    let mut escaped = String::new();
    let mut rest = &*text;
    while let Some(at) = rest.find(|character| character != '\n' && is_hidden(character)) {
        escaped.push_str(&rest[..at]);
        rest = &rest[at..];
        let style = STYLES.iter().find(|style| rest.starts_with(**style));
        if let Some(style) = style.filter(|_| coloured) {
            escaped.push_str(style);
            rest = &rest[style.len()..];
        } else if let Some(character) = rest.chars().next() {
            push_plain(&mut escaped, character);
            rest = &rest[character.len_utf8()..];
        }
    }
    escaped.push_str(rest);
    out.truncate(from);
    out.extend_from_slice(escaped.as_bytes());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop, prop_assert, proptest};
    use upload_protocol::plain::is_hidden;

    use super::{STYLES, is_own, is_seen, make_plain};
    use crate::sink::text::Styles;

    fn check(text: &str, coloured: bool, expected: &str) {
        let mut out = b"\x1b[2Jbefore ".to_vec();
        let from = out.len();
        out.extend_from_slice(text.as_bytes());
        make_plain(&mut out, from, coloured);
        assert_eq!(&out[from..], expected.as_bytes(), "{text:?}");
        assert_eq!(&out[..from], b"\x1b[2Jbefore ");
    }

    #[test]
    fn only_styles_pass() {
        check("two\nlines\n", false, "two\nlines\n");
        check("81 µs → 猫\n", false, "81 µs → 猫\n");
        check("\u{1b}[1mbold\u{1b}[0m\n", true, "\u{1b}[1mbold\u{1b}[0m\n");
        check("\u{1b}[1mbold\n", false, "\\u{1b}[1mbold\n");
        check(
            "\u{1b}[2J\u{1b}]0;t\u{7}\n",
            true,
            "\\u{1b}[2J\\u{1b}]0;t\\u{7}\n",
        );
        check("a\u{9b}2J\u{202e}b\n", true, "a\\u{9b}2J\\u{202e}b\n");
    }

    #[test]
    fn no_hidden_character_is_taken_for_an_own_one() {
        for character in '\0'..=char::MAX {
            let is_seen = character == '\n' || !is_hidden(character);
            let text = format!("ab{character}c");
            assert!(!is_own(text.as_bytes()) || is_seen, "{character:?}");
        }
        let own = "  81 µs · → █▏\n";
        assert!(is_own(own.as_bytes()));
        assert!(is_own(b"") && is_own(b"a"));
        for end in 1..own.len() {
            let is_whole = own.is_char_boundary(end);
            let last = own.as_bytes()[end - 1];
            let expected = is_whole && last.is_ascii();
            assert_eq!(is_own(&own.as_bytes()[..end]), expected, "{end}");
        }
    }

    proptest! {
        /// Bytes of those that own characters have, in any order.
        #[test]
        fn damaged_characters_are_no_own_ones(
            bytes in prop::collection::vec(prop::sample::select(&b"a\n\xc2\xe2\x86\x96\x80\xb5\xbf"[..]), 0..9),
        ) {
            if is_own(&bytes) {
                let text = str::from_utf8(&bytes);
                prop_assert!(text.is_ok_and(|text| text.chars().all(is_seen)));
            }
        }
    }

    #[test]
    fn the_list_has_every_style() {
        let Styles {
            bold,
            dim,
            bad,
            initiation,
            maintenance,
            termination,
            ..
        } = Styles::COLOURED;
        for style in [bold, dim, bad, initiation, maintenance, termination] {
            let mut rendered = format!("{style}{style:#}");
            for known in STYLES {
                rendered = rendered.replace(known, "");
            }
            assert_eq!(rendered, "");
        }
    }
}
