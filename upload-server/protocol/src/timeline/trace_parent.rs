//! The span that a request belongs to, as its sender names it: W3C Trace Context, section 3.2.

use std::{borrow::Cow, fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The field `traceparent` of a request, in JSON as its text. It is what a client claims.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceParent {
    /// Never all zeros.
    pub trace_id: [u8; 16],
    /// The span of the sender; never all zeros.
    pub parent_id: [u8; 8],
    /// Bit 0: the sender may have recorded that span.
    pub flags: u8,
}

/// The text is no `traceparent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoTraceParent;

/// The length of version 00. A later version may go on after it with a dash (section 3.2.4).
const LENGTH: usize = 55;

impl TraceParent {
    /// Reads the field's value: version, trace id, parent id and flags, in lower-case hexadecimal with dashes
    /// between them. The version 255 is invalid, and so is an id that is all zeros.
    ///
    /// # Errors
    /// When it is anything else.
    pub fn read(value: &[u8]) -> Result<Self, NoTraceParent> {
        let (own, rest) = value.split_at_checked(LENGTH).ok_or(NoTraceParent)?;
        let mut parts = own.split(|byte| *byte == b'-');
        let mut part = || parts.next().ok_or(NoTraceParent);
        let [version] = hexadecimal(part()?)?;
        let trace_id = hexadecimal(part()?)?;
        let parent_id = hexadecimal(part()?)?;
        let [flags] = hexadecimal(part()?)?;
        let may_follow = match version {
            0 => rest.is_empty(),
            0xff => false,
            _ => rest.is_empty() || rest.starts_with(b"-"),
        };
        let is_valid =
            may_follow && parts.next().is_none() && trace_id != [0; 16] && parent_id != [0; 8];
        is_valid
            .then_some(Self {
                trace_id,
                parent_id,
                flags,
            })
            .ok_or(NoTraceParent)
    }
}

/// Exactly so many bytes in lower-case hexadecimal.
fn hexadecimal<const N: usize>(digits: &[u8]) -> Result<[u8; N], NoTraceParent> {
    let mut bytes = [0; N];
    if digits.len() != 2 * N {
        return Err(NoTraceParent);
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        for digit in pair {
            let value = match digit {
                b'0'..=b'9' => digit - b'0',
                b'a'..=b'f' => digit - b'a' + 10,
                _ => return Err(NoTraceParent),
            };
            *byte = (*byte << 4) | value;
        }
    }
    Ok(bytes)
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("00-")?;
        for byte in self.trace_id {
            write!(f, "{byte:02x}")?;
        }
        f.write_str("-")?;
        for byte in self.parent_id {
            write!(f, "{byte:02x}")?;
        }
        write!(f, "-{:02x}", self.flags)
    }
}

impl fmt::Debug for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for NoTraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a traceparent")
    }
}

impl std::error::Error for NoTraceParent {}

impl FromStr for TraceParent {
    type Err = NoTraceParent;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::read(text.as_bytes())
    }
}

impl Serialize for TraceParent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TraceParent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <Cow<'_, str>>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::TraceParent;

    const OWN: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn the_standard_s_example() {
        let parent: TraceParent = OWN.parse().unwrap();
        assert_eq!(parent.trace_id[..4], [0x0a, 0xf7, 0x65, 0x19]);
        assert_eq!(parent.parent_id[..2], [0xb7, 0xad]);
        assert_eq!(parent.flags, 1);
        assert_eq!(parent.to_string(), OWN);
    }

    #[test]
    fn a_later_version_may_go_on() {
        let later = OWN.replacen("00-", "cc-", 1);
        let check = |rest: &str, expected| {
            let text = format!("{later}{rest}");
            assert_eq!(
                TraceParent::read(text.as_bytes()).is_ok(),
                expected,
                "{text}"
            );
        };
        check("", true);
        check("-what-comes", true);
        check("-", true);
        check(".what", false);
        check("00", false);
    }

    #[test]
    fn anything_else_is_none() {
        for wrong in [
            "",
            "00",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-00",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319-cb7ad6b7169203331-01",
            "00_0af7651916cd43dd8448eb211c80319c_b7ad6b7169203331_01",
            "0g-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            " 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1",
            "00-0af7651916cd43dd8448eb211c80319c--7ad6b7169203331-01",
        ] {
            assert!(TraceParent::read(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
