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
    if rendered
        .iter()
        .all(|byte| matches!(byte, b' '..=b'~' | b'\n'))
    {
        return;
    }
    if str::from_utf8(rendered).is_ok_and(|text| text.chars().all(is_seen)) {
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
    use super::{STYLES, make_plain};
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
