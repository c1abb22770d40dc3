//! A segment in relation to its connection, as a packet list shows it.

use serde::{Deserialize, Serialize};

use crate::{ConnectionId, End, Flags, Moment, SegmentOptions, timeline::LostAt};

/// One segment, as it left its sender's socket or, if that was not seen, as it arrived. Numbers are
/// relative to the initial sequence numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentLine {
    #[serde(flatten)]
    pub at: Moment,
    pub connection: ConnectionId,
    /// The end that sent it.
    pub from: End,
    pub flags: Flags,
    pub seq: u32,
    /// 0 without the flag ACK.
    pub ack: u32,
    /// Bytes of payload.
    pub len: u32,
    /// The window in bytes, scaled where a scale was agreed on.
    pub window: u32,
    /// SACK blocks are relative, too.
    pub options: SegmentOptions,
    /// The ECN bits of the IP header (RFC 3168); absent for none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub ecn: u8,
    /// What begins in its payload, in the words of Wireshark's Info column, such as `PUT /cat.png HTTP/1.1`; absent
    /// where nothing does that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub info: Option<String>,
    /// Analysis of the segment and those before it; absent for an ordinary one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub analysis: Vec<Analysis>,
    /// Whether the segment was seen leaving its sender; else arriving, or in a capture, which does not
    /// tell.
    pub seen_leaving: bool,
    /// Its frame in the capture that it was read from, as Wireshark's `frame.number` counts: the first is
    /// 1. Absent where the kernel reported it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frame: Option<u64>,
    /// Whether the capture has it twice, as a mirror port makes it, and this is the second. Absent if not.
    #[serde(default, skip_serializing_if = "crate::tcp::is_false")]
    pub duplicate: bool,
    /// Which of two captures `frame` counts in, from 1: the sender's, or the other where that lacks the segment.
    /// Absent with one capture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capture: Option<u8>,
    /// How long it was on its way from the sender's capture to the receiver's; absent where that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub one_way_delay_ns: Option<u64>,
    /// Where it was lost, whole or in part; absent if it was not, or that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<LostAt>,
    /// Which of two captures lacks it although it passed there; absent for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing_in: Option<u8>,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
const fn is_zero(ecn: &u8) -> bool {
    *ecn == 0
}

/// Compares a segment with those before it, by the names of Wireshark's TCP analysis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Analysis {
    /// Sequence numbers that were sent before.
    Retransmission,
    /// A retransmission that two duplicate acknowledgments asked for, within 20 ms.
    FastRetransmission,
    /// A retransmission of bytes that the peer had acknowledged already.
    SpuriousRetransmission,
    /// It arrived after a segment that was sent later.
    OutOfOrder,
    /// Sequence numbers before it were not seen.
    PreviousSegmentNotSeen,
    /// The receiver's buffer is full.
    ZeroWindow,
    /// A window and an acknowledgment already sent.
    DuplicateAck,
    /// Its number is one before the next: it asks whether the peer is alive.
    KeepAlive,
    /// The answer to that.
    KeepAliveAck,
    /// It fills the window that the receiver announced.
    WindowFull,
    /// An acknowledgment already sent, with another window.
    WindowUpdate,
    /// One byte beyond a window of zero: it asks whether the window is still that.
    ZeroWindowProbe,
    /// The answer to that, if the window is.
    ZeroWindowProbeAck,
    /// It acknowledges bytes that were not seen.
    AckedUnseenSegment,
}

impl Analysis {
    /// Whether the sequence numbers were sent before.
    #[must_use]
    pub const fn is_retransmission(self) -> bool {
        matches!(
            self,
            Self::Retransmission | Self::FastRetransmission | Self::SpuriousRetransmission
        )
    }
}
