//! Numbers and names as a person reads them.

use std::{
    fmt::{self, Display, Formatter},
    net::{IpAddr, SocketAddr},
};

use http::StatusCode;

pub use crate::plain::plain;

/// Bytes with a decimal prefix, three digits or more.
pub fn bytes(count: u64) -> impl Display {
    Scaled::new(
        count,
        &[
            (1_000_000_000_000, "TB"),
            (1_000_000_000, "GB"),
            (1_000_000, "MB"),
            (1_000, "kB"),
        ],
        "B",
    )
}

/// The same, or a question mark in its place.
pub fn bytes_or_unknown(count: Option<u64>) -> impl Display {
    fmt::from_fn(move |f| match count {
        Some(count) => bytes(count).fmt(f),
        None => f.write_str("? B"),
    })
}

/// A duration in its natural unit.
pub fn duration(nanoseconds: u64) -> impl Display {
    Scaled::new(
        nanoseconds,
        &[(1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "µs")],
        "ns",
    )
}

struct Scaled {
    whole: u64,
    tenth: Option<u64>,
    unit: &'static str,
}

impl Scaled {
    /// In the first of the larger units that it reaches, or else in the smallest.
    fn new(value: u64, larger: &[(u64, &'static str)], smallest: &'static str) -> Self {
        let Some((size, unit)) = larger.iter().find(|(size, _)| value >= *size) else {
            return Self {
                whole: value,
                tenth: None,
                unit: smallest,
            };
        };
        let whole = value / size;
        Self {
            whole,
            tenth: (whole < 100).then(|| value % size * 10 / size),
            unit,
        }
    }
}

impl Display for Scaled {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { whole, unit, .. } = self;
        match self.tenth {
            Some(tenth) => write!(f, "{whole}.{tenth} {unit}"),
            None => write!(f, "{whole} {unit}"),
        }
    }
}

/// A moment since the connection's beginning, with every microsecond of it.
pub fn moment(at_ns: u64) -> impl Display {
    fmt::from_fn(move |f| match at_ns {
        0..1_000_000 => write!(f, "+{}", duration(at_ns)),
        1_000_000..1_000_000_000 => {
            write!(f, "+{}.{:03} ms", at_ns / 1_000_000, at_ns / 1_000 % 1_000)
        }
        _ => {
            let (seconds, micros) = (at_ns / 1_000_000_000, at_ns / 1_000 % 1_000_000);
            write!(f, "+{seconds}.{micros:06} s")
        }
    })
}

/// How long something took, if both ends are known. The duration of something in one segment cannot
/// be known.
#[must_use]
pub fn took(start_ns: Option<u64>, end_ns: Option<u64>) -> Option<String> {
    let (start, end) = start_ns.zip(end_ns)?;
    Some(match end.checked_sub(start) {
        None | Some(0) => "at once".to_owned(),
        Some(took) => duration(took).to_string(),
    })
}

/// An IP address and a port, as in a URL.
#[must_use]
pub fn socket_address(addr: IpAddr, port: u16) -> String {
    SocketAddr::new(addr, port).to_string()
}

/// Every digit of a number of bytes, in groups of three.
#[must_use]
pub fn exact_bytes(count: u64) -> String {
    let digits = count.to_string();
    let mut grouped = String::with_capacity(digits.len() * 4 / 3 + 2);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped + " B"
}

/// A status with its reason phrase.
pub fn status_text(status: Option<u16>) -> impl Display {
    fmt::from_fn(move |f| {
        let Some(status) = status else {
            return f.write_str("no response");
        };
        let known = StatusCode::from_u16(status).ok();
        let reason = known.and_then(|status| status.canonical_reason());
        write!(f, "{status} {}", reason.unwrap_or_default())
    })
}

#[cfg(test)]
mod tests {
    use super::{bytes, duration, exact_bytes, moment};

    #[test]
    fn units() {
        assert_eq!(bytes(0).to_string(), "0 B");
        assert_eq!(bytes(999).to_string(), "999 B");
        assert_eq!(bytes(3_449_999).to_string(), "3.4 MB");
        assert_eq!(bytes(52_428_800).to_string(), "52.4 MB");
        assert_eq!(bytes(u64::MAX).to_string(), "18446744 TB");
        assert_eq!(duration(81_000).to_string(), "81.0 µs");
        assert_eq!(duration(41_234_567).to_string(), "41.2 ms");
        assert_eq!(duration(999).to_string(), "999 ns");
        assert_eq!(duration(123_456_789_012).to_string(), "123 s");
        assert_eq!(moment(81_000).to_string(), "+81.0 µs");
        assert_eq!(moment(41_034_567).to_string(), "+41.034 ms");
        assert_eq!(moment(1_000_034_567).to_string(), "+1.000034 s");
        assert_eq!(exact_bytes(0), "0 B");
        assert_eq!(exact_bytes(1_000), "1,000 B");
        assert_eq!(exact_bytes(50_000_000), "50,000,000 B");
    }
}
