//! Numbers as a person reads them.

/// A duration in its natural unit.
pub(super) fn duration(nanoseconds: u64) -> String {
    let (unit, name) = match nanoseconds {
        0..1_000 => return format!("{nanoseconds} ns"),
        1_000..1_000_000 => (1_000, "µs"),
        1_000_000..1_000_000_000 => (1_000_000, "ms"),
        _ => (1_000_000_000, "s"),
    };
    let (whole, tenth) = (nanoseconds / unit, nanoseconds % unit * 10 / unit);
    match whole {
        100.. => format!("{whole} {name}"),
        _ => format!("{whole}.{tenth} {name}"),
    }
}

/// A moment since the connection's beginning, with every microsecond of it.
pub(super) fn moment(at_ns: u64) -> String {
    match at_ns {
        0..1_000_000 => format!("+{}", duration(at_ns)),
        1_000_000..1_000_000_000 => {
            format!("+{}.{:03} ms", at_ns / 1_000_000, at_ns / 1_000 % 1_000)
        }
        _ => {
            let (seconds, micros) = (at_ns / 1_000_000_000, at_ns / 1_000 % 1_000_000);
            format!("+{seconds}.{micros:06} s")
        }
    }
}

/// How long something took. What one segment has in it took no time that could be known.
pub(super) fn took(start: Option<u64>, end: Option<u64>) -> Option<String> {
    let (start, end) = start.zip(end)?;
    Some(match end.checked_sub(start) {
        None | Some(0) => "at once".to_owned(),
        Some(took) => duration(took),
    })
}

/// The same, where what is unknown is said.
pub(super) fn between(start: Option<u64>, end: Option<u64>) -> String {
    took(start, end).unwrap_or_else(|| "unknown".to_owned())
}

/// Bytes with a decimal prefix, as disks and networks are sold.
pub(super) fn size(bytes: u64) -> String {
    let (unit, name) = match bytes {
        0..1_000 => return format!("{bytes} B"),
        1_000..1_000_000 => (1_000, "kB"),
        1_000_000..1_000_000_000 => (1_000_000, "MB"),
        _ => (1_000_000_000, "GB"),
    };
    format!("{}.{} {name}", bytes / unit, bytes % unit * 10 / unit)
}

/// Every digit, in groups of three.
pub(super) fn exact(bytes: u64) -> String {
    let digits = bytes.to_string();
    let mut grouped = String::with_capacity(digits.len() * 4 / 3 + 2);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped + " B"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units() {
        assert_eq!(duration(999), "999 ns");
        assert_eq!(duration(81_000), "81.0 µs");
        assert_eq!(duration(41_234_567), "41.2 ms");
        assert_eq!(duration(123_456_789_012), "123 s");
        assert_eq!(moment(81_000), "+81.0 µs");
        assert_eq!(moment(41_034_567), "+41.034 ms");
        assert_eq!(moment(1_000_034_567), "+1.000034 s");
        assert_eq!(took(Some(5), Some(5)).unwrap(), "at once");
        assert_eq!(size(3_449_999), "3.4 MB");
        assert_eq!(exact(0), "0 B");
        assert_eq!(exact(1_000), "1,000 B");
        assert_eq!(exact(50_000_000), "50,000,000 B");
    }
}
