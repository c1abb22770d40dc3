//! Text that becomes HTML.

use jiff::Timestamp;

/// Replaces each `{{place}}` of a template; what is filled in is not looked at again.
pub(super) fn fill(template: &str, content: impl Fn(&str) -> String) -> String {
    let mut filled = String::new();
    let mut pieces = template.split("{{");
    filled.push_str(pieces.next().unwrap_or_default());
    for piece in pieces {
        let (place, text) = piece.split_once("}}").unwrap_or((piece, ""));
        filled.push_str(&content(place));
        filled.push_str(text);
    }
    filled
}

/// What means something in HTML, in text and in quoted attributes, means itself.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// A time as people and machines read it.
pub(super) fn time(time: Timestamp) -> String {
    let (machine, human) = (
        time.strftime("%Y-%m-%dT%H:%M:%SZ"),
        time.strftime("%Y-%m-%d %H:%M:%S UTC"),
    );
    format!("<time datetime=\"{machine}\">{human}</time>")
}

/// Decimal units, as disks and networks are sold.
pub(super) fn human_size(bytes: u64) -> String {
    let (scale, unit) = match bytes {
        0..1_000 => return format!("{bytes} B"),
        1_000..1_000_000 => (1_000, "kB"),
        1_000_000..1_000_000_000 => (1_000_000, "MB"),
        _ => (1_000_000_000, "GB"),
    };
    format!("{}.{} {unit}", bytes / scale, bytes % scale / (scale / 10))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fills_each_place_once() {
        check("a {{x}} b", "a <x> b");
        check("{{x}}{{y}}", "<x><y>");
        check("none", "none");

        fn check(template: &str, expected: &str) {
            assert_eq!(fill(template, |place| format!("<{place}>")), expected);
        }
    }

    #[test]
    fn escapes_markup() {
        assert_eq!(escape("<a href='\"&"), "&lt;a href=&#39;&quot;&amp;");
    }

    #[test]
    fn sizes_are_readable() {
        check(0, "0 B");
        check(999, "999 B");
        check(1_000, "1.0 kB");
        check(3_449_999, "3.4 MB");
        check(25_000_000_000, "25.0 GB");
        check(u64::MAX, "18446744073.7 GB");

        fn check(bytes: u64, expected: &str) {
            assert_eq!(human_size(bytes), expected);
        }
    }
}
