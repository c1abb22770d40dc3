//! Numbers and names as a person reads them.

use hyper::StatusCode;

/// Bytes with a decimal prefix, three digits or more.
pub(super) fn bytes(count: u64) -> String {
    scaled(
        count,
        &[
            (1_000_000_000_000, "TB"),
            (1_000_000_000, "GB"),
            (1_000_000, "MB"),
            (1_000, "kB"),
            (1, "B"),
        ],
    )
}

/// The same, or a question mark in its place.
pub(super) fn bytes_or_unknown(count: Option<u64>) -> String {
    count.map_or_else(|| "? B".to_owned(), bytes)
}

/// A duration in its natural unit.
pub(super) fn duration(nanoseconds: u64) -> String {
    scaled(
        nanoseconds,
        &[
            (1_000_000_000, "s"),
            (1_000_000, "ms"),
            (1_000, "µs"),
            (1, "ns"),
        ],
    )
}

fn scaled(value: u64, units: &[(u64, &str)]) -> String {
    let (unit, name) = units
        .iter()
        .find(|(unit, _)| value >= *unit)
        .or(units.last())
        .copied()
        .unwrap_or((1, ""));
    let whole = value / unit;
    let tenth = value % unit * 10 / unit.max(1);
    if unit == 1 || whole >= 100 {
        format!("{whole} {name}")
    } else {
        format!("{whole}.{tenth} {name}")
    }
}

/// Foreign text without control characters: a process may be called anything.
pub(super) fn plain(text: &str) -> String {
    text.chars()
        .map(|character| {
            if character.is_control() {
                '\u{fffd}'
            } else {
                character
            }
        })
        .collect()
}

/// A status with its reason phrase.
pub(super) fn status_text(status: Option<u16>) -> String {
    let Some(status) = status else {
        return "no response".to_owned();
    };
    let reason = StatusCode::from_u16(status)
        .ok()
        .and_then(|status| status.canonical_reason());
    format!("{status} {}", reason.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::{bytes, duration, plain};

    #[test]
    fn units() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(3_449_999), "3.4 MB");
        assert_eq!(bytes(52_428_800), "52.4 MB");
        assert_eq!(bytes(u64::MAX), "18446744 TB");
        assert_eq!(duration(81_000), "81.0 µs");
        assert_eq!(duration(41_234_567), "41.2 ms");
        assert_eq!(duration(999), "999 ns");
        assert_eq!(duration(123_456_789_012), "123 s");
    }

    #[test]
    fn no_escape_sequences() {
        assert_eq!(plain("a\u{1b}[31mb\n"), "a\u{fffd}[31mb\u{fffd}");
    }
}
