//! A point in time on both clocks: the fields `time` and `mono_ns` of every line.

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser::SerializeStruct as _};

/// When something happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    /// CLOCK_MONOTONIC in nanoseconds: the kernel's own stamp.
    pub mono_ns: u64,
    /// Nanoseconds since the Unix epoch, from the distance of the two clocks at the last tick.
    pub unix_ns: i128,
}

impl Moment {
    /// The wall clock's time.
    #[must_use]
    pub fn timestamp(&self) -> Timestamp {
        Timestamp::from_nanosecond(self.unix_ns).unwrap_or_default()
    }

    /// The same in RFC 3339, with nanoseconds: the field `time`.
    #[must_use]
    pub fn time(&self) -> String {
        format!("{:.9}", self.timestamp())
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let time = self.timestamp();
        let mut fields = serializer.serialize_struct("Moment", 2)?;
        fields.serialize_field("time", &format_args!("{time:.9}"))?;
        fields.serialize_field("mono_ns", &self.mono_ns)?;
        fields.end()
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Fields {
            time: Option<String>,
            mono_ns: u64,
        }
        let Fields { time, mono_ns } = Fields::deserialize(deserializer)?;
        let unix_ns = match time {
            Some(time) => time
                .parse::<Timestamp>()
                .map_err(de::Error::custom)?
                .as_nanosecond(),
            None => 0,
        };
        Ok(Self { mono_ns, unix_ns })
    }
}
