//! A segment that opens or closes a connection, kept for the timeline.

use upload_protocol::{End, Flags, SegmentOptions};

/// A segment that opens or closes the connection; numbers are relative.
//
// 56 bytes instead of the whole segment (176 and the packet): an open connection keeps at least three.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Milestone {
    /// CLOCK_MONOTONIC.
    pub mono_ns: u64,
    pub seq: u32,
    pub ack: u32,
    pub len: u32,
    /// The window in bytes, scaled where a scale was agreed on.
    pub window: u32,
    pub options: MilestoneOptions,
    pub flags: Flags,
    pub from: End,
    /// Whether it was seen leaving its sender; else arriving.
    pub seen_leaving: bool,
    /// Whether its sequence numbers were sent before.
    pub is_retransmission: bool,
    /// Whether it comes from a capture, which does not tell whether it left or arrived.
    pub is_captured: bool,
}

/// The options of a milestone. What most have takes no memory of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MilestoneOptions {
    Usual {
        mss: Option<u16>,
        sack_permitted: bool,
        /// TSval and TSecr.
        stamps: Option<(u32, u32)>,
        window_scale: Option<u8>,
    },
    /// SACK blocks, a TCP Fast Open cookie, or others are among them.
    All(Box<SegmentOptions>),
}

impl Default for MilestoneOptions {
    fn default() -> Self {
        Self::of(SegmentOptions::default())
    }
}

impl MilestoneOptions {
    /// Keeps the options of a segment.
    #[must_use]
    pub fn of(options: SegmentOptions) -> Self {
        let SegmentOptions {
            mss,
            sack_permitted,
            tsval,
            tsecr,
            window_scale,
            sack,
            fast_open,
            other,
            malformed,
        } = &options;
        let is_usual = sack.is_empty() && fast_open.is_none() && other.is_empty() && !malformed;
        if !is_usual {
            return Self::All(Box::new(options));
        }
        Self::Usual {
            mss: *mss,
            sack_permitted: *sack_permitted,
            stamps: tsval.zip(*tsecr),
            window_scale: *window_scale,
        }
    }

    /// The options of the segment.
    #[must_use]
    pub fn get(&self) -> SegmentOptions {
        match self {
            Self::Usual {
                mss,
                sack_permitted,
                stamps,
                window_scale,
            } => SegmentOptions {
                mss: *mss,
                sack_permitted: *sack_permitted,
                tsval: stamps.map(|(value, _)| value),
                tsecr: stamps.map(|(_, echo)| echo),
                window_scale: *window_scale,
                ..SegmentOptions::default()
            },
            Self::All(options) => SegmentOptions::clone(options),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Milestone, MilestoneOptions, SegmentOptions};

    #[test]
    fn nothing_of_the_options_is_lost() {
        let usual = SegmentOptions {
            mss: Some(1460),
            sack_permitted: true,
            tsval: Some(1),
            tsecr: Some(0),
            window_scale: Some(7),
            ..SegmentOptions::default()
        };
        let kept = MilestoneOptions::of(usual.clone());
        assert!(matches!(kept, MilestoneOptions::Usual { .. }));
        assert_eq!(kept.get(), usual);
        let with_cookie = SegmentOptions {
            fast_open: Some("0a".to_owned()),
            sack: vec![(1, 2)],
            other: vec![253],
            ..usual
        };
        assert_eq!(MilestoneOptions::of(with_cookie.clone()).get(), with_cookie);
        assert_eq!(MilestoneOptions::default().get(), SegmentOptions::default());
    }

    #[test]
    fn is_small() {
        assert_eq!(size_of::<Milestone>(), 56);
    }
}
