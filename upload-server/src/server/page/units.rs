//! Sizes and times as people read them.

use jiff::Timestamp;
use maud::{Markup, html};

/// Decimal units, as disks and networks are sold.
pub(super) fn size(bytes: u64) -> String {
    let (scale, unit) = match bytes {
        0..1_000 => return format!("{bytes} B"),
        1_000..1_000_000 => (1_000, "kB"),
        1_000_000..1_000_000_000 => (1_000_000, "MB"),
        _ => (1_000_000_000, "GB"),
    };
    format!("{}.{} {unit}", bytes / scale, bytes % scale / (scale / 10))
}

/// A time for people, and in its attribute for machines.
pub(super) fn time(time: Timestamp) -> Markup {
    html! {
        time datetime=(time.strftime("%Y-%m-%dT%H:%M:%SZ")) {
            (time.strftime("%Y-%m-%d %H:%M:%S UTC"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_readable() {
        check(0, "0 B");
        check(999, "999 B");
        check(1_000, "1.0 kB");
        check(3_449_999, "3.4 MB");
        check(25_000_000_000, "25.0 GB");
        check(u64::MAX, "18446744073.7 GB");

        fn check(bytes: u64, expected: &str) {
            assert_eq!(size(bytes), expected);
        }
    }

    #[test]
    fn times_are_in_utc() {
        assert_eq!(
            time(Timestamp::UNIX_EPOCH).into_string(),
            "<time datetime=\"1970-01-01T00:00:00Z\">1970-01-01 00:00:00 UTC</time>"
        );
    }
}
