//! HTTP/2 in clear text: its frames, counted.

use std::{borrow::Cow, collections::BTreeMap};

use serde::{Deserialize, Serialize};

/// The frames that each end sent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Http2Frames {
    /// By the client, after its preface.
    pub client: FrameCount,
    pub server: FrameCount,
}

/// One end's frames.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FrameCount {
    /// How many of each type, and their payload in bytes, by the names of RFC 9113, section 6.
    pub types: BTreeMap<Cow<'static, str>, Frames>,
    /// Whether others were sent whose headers lay in a hole of the capture.
    pub more: bool,
}

/// Frames of one type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Frames {
    pub frames: u64,
    /// Their payload as their headers announce it.
    pub bytes: u64,
}
