//! TCP's own words: ends, states, flags, options.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::names::names;

/// One end of a connection: the client opened it actively, the server passively.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum End {
    #[default]
    Client,
    Server,
}

impl End {
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }

    /// `client` or `server`, as in every output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Server => "server",
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

names! {
    /// A TCP state (RFC 9293, section 3.3.2; CLOSED is called CLOSE, as the kernel does).
    pub enum State {
        Established = "ESTABLISHED",
        SynSent = "SYN_SENT",
        SynRecv = "SYN_RECV",
        FinWait1 = "FIN_WAIT1",
        FinWait2 = "FIN_WAIT2",
        TimeWait = "TIME_WAIT",
        Close = "CLOSE",
        CloseWait = "CLOSE_WAIT",
        LastAck = "LAST_ACK",
        Listen = "LISTEN",
        Closing = "CLOSING",
        NewSynRecv = "NEW_SYN_RECV",
    }
}

/// The TCP flags (RFC 9293, section 3.1; RFC 3168; the ninth bit is RFC 9768's AE). In JSON a list of
/// the names of those that are set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(pub u16);

impl Flags {
    pub const FIN: u16 = 0x001;
    pub const SYN: u16 = 0x002;
    pub const RST: u16 = 0x004;
    pub const PSH: u16 = 0x008;
    pub const ACK: u16 = 0x010;
    pub const URG: u16 = 0x020;
    pub const ECE: u16 = 0x040;
    pub const CWR: u16 = 0x080;
    pub const AE: u16 = 0x100;

    const NAMES: [(u16, &'static str); 9] = [
        (Self::FIN, "FIN"),
        (Self::SYN, "SYN"),
        (Self::RST, "RST"),
        (Self::PSH, "PSH"),
        (Self::ACK, "ACK"),
        (Self::URG, "URG"),
        (Self::ECE, "ECE"),
        (Self::CWR, "CWR"),
        (Self::AE, "AE"),
    ];

    /// Whether all of `flags` are set.
    #[must_use]
    pub const fn has(self, flags: u16) -> bool {
        self.0 & flags == flags
    }

    /// The names of those that are set, in the order of the bits.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let set = Self::NAMES.into_iter();
        set.filter(move |(flag, _)| self.has(*flag))
            .map(|(_, name)| name)
    }
}

impl Serialize for Flags {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.names())
    }
}

impl<'de> Deserialize<'de> for Flags {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let names = Vec::<String>::deserialize(deserializer)?;
        let set = Self::NAMES
            .into_iter()
            .filter(|(_, name)| names.iter().any(|set| set == name))
            .fold(0, |flags, (flag, _)| flags | flag);
        Ok(Self(set))
    }
}

/// The options of a TCP header, by name; absent in JSON where the header has none of the kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SegmentOptions {
    /// Largest segment that the sender takes, in bytes of payload (RFC 9293, section 3.7.1).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mss: Option<u16>,
    /// Whether selective acknowledgments may be sent (RFC 2018).
    #[serde(skip_serializing_if = "is_false")]
    pub sack_permitted: bool,
    /// The sender's timestamp (RFC 7323).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tsval: Option<u32>,
    /// The peer's timestamp, echoed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tsecr: Option<u32>,
    /// Shift of the windows that the sender announces (RFC 7323).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window_scale: Option<u8>,
    /// Selectively acknowledged blocks, left and right edge (RFC 2018), relative where the segment is.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sack: Vec<(u32, u32)>,
    /// A TCP Fast Open cookie, or an empty request for one (RFC 7413), in hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fast_open: Option<String>,
    /// Kinds of options that have no name here.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub other: Vec<u8>,
    /// Whether an option ran past the end of the header or had a length that is not its kind's.
    #[serde(skip_serializing_if = "is_false")]
    pub malformed: bool,
}

impl SegmentOptions {
    /// Whether none is among them that has a text.
    #[must_use]
    pub fn are_unnamed(&self) -> bool {
        let has_numbers = self.mss.is_some() || self.tsval.is_some() || self.window_scale.is_some();
        let has_others = self.sack_permitted || !self.sack.is_empty() || self.fast_open.is_some();
        !(has_numbers || has_others || self.malformed)
    }
}

impl fmt::Display for SegmentOptions {
    /// As Wireshark's Info column has them, separated by spaces; what it leaves out, too.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut apart = "";
        let mut part = |f: &mut fmt::Formatter<'_>, text: fmt::Arguments<'_>| {
            f.write_str(std::mem::replace(&mut apart, " "))?;
            f.write_fmt(text)
        };
        if let Some(mss) = self.mss {
            part(f, format_args!("MSS={mss}"))?;
        }
        if self.sack_permitted {
            part(f, format_args!("SACK_PERM"))?;
        }
        if let (Some(value), Some(echo)) = (self.tsval, self.tsecr) {
            part(f, format_args!("TSval={value} TSecr={echo}"))?;
        }
        if let Some(shift) = self.window_scale {
            part(f, format_args!("WS={}", 1_u32 << shift.min(14)))?;
        }
        for (left, right) in &self.sack {
            part(f, format_args!("SLE={left} SRE={right}"))?;
        }
        if let Some(cookie) = &self.fast_open {
            part(f, format_args!("TFO={cookie}"))?;
        }
        if self.malformed {
            part(f, format_args!("[malformed options]"))?;
        }
        Ok(())
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
pub(crate) const fn is_false(flag: &bool) -> bool {
    !*flag
}

/// A listener's accept queue (`sk_ack_backlog`, `sk_max_ack_backlog`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AcceptQueue {
    /// Connections that waited for `accept`.
    pub waiting: u32,
    /// The most that may wait: with more, the kernel drops a SYN without an answer.
    pub limit: u32,
}

impl AcceptQueue {
    /// Whether a SYN that comes now is dropped (`sk_acceptq_is_full`).
    #[must_use]
    pub const fn is_full(self) -> bool {
        self.waiting > self.limit
    }
}
