//! A point in time on both clocks.

use jiff::Timestamp;
use serde::{Serialize, Serializer, ser::SerializeStruct as _};

use crate::core::input::Tick;

/// When something happened; in outputs the fields `time` and `mono_ns`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// CLOCK_MONOTONIC in nanoseconds: the kernel's own stamp.
    pub mono_ns: u64,
    /// Nanoseconds since the Unix epoch, from the two clocks' distance at the last tick.
    pub unix_ns: i128,
}

/// The distance between the two clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clock {
    offset_ns: i128,
}

impl Clock {
    /// The distance at a tick.
    #[must_use]
    pub fn at(tick: &Tick) -> Self {
        Self {
            offset_ns: i128::from(tick.realtime_ns) - i128::from(tick.mono_ns),
        }
    }

    /// A monotonic stamp on both clocks.
    #[must_use]
    pub fn moment(self, mono_ns: u64) -> Moment {
        Moment {
            mono_ns,
            unix_ns: i128::from(mono_ns) + self.offset_ns,
        }
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let time = Timestamp::from_nanosecond(self.unix_ns).unwrap_or_default();
        let mut fields = serializer.serialize_struct("Moment", 2)?;
        fields.serialize_field("time", &format_args!("{time:.9}"))?;
        fields.serialize_field("mono_ns", &self.mono_ns)?;
        fields.end()
    }
}
