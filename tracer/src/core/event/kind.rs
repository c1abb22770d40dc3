//! The kinds of records, to count them.

use super::{EventKind, SocketCall};

/// Which record an event was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordKind {
    State,
    Retransmit,
    SynAckRetransmit,
    ResetSent,
    ResetReceived,
    Segment,
    MoreBytes,
    Flow,
    Limits,
    Sample,
    TimeOut,
    Error,
    Subflow,
    Relay,
    Adopted,
    UnixRelay,
    UnixBytes,
    Read,
    Send,
    Release,
}

impl RecordKind {
    pub const COUNT: usize = Self::ALL.len();

    /// In the order of their declaration.
    pub const ALL: &[Self] = &[
        Self::State,
        Self::Retransmit,
        Self::SynAckRetransmit,
        Self::ResetSent,
        Self::ResetReceived,
        Self::Segment,
        Self::MoreBytes,
        Self::Flow,
        Self::Limits,
        Self::Sample,
        Self::TimeOut,
        Self::Error,
        Self::Subflow,
        Self::Relay,
        Self::Adopted,
        Self::UnixRelay,
        Self::UnixBytes,
        Self::Read,
        Self::Send,
        Self::Release,
    ];

    /// In lower case, for programs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::State => "state",
            Self::Retransmit => "retransmit",
            Self::SynAckRetransmit => "syn_ack_retransmit",
            Self::ResetSent => "reset_sent",
            Self::ResetReceived => "reset_received",
            Self::Segment => "segment",
            Self::MoreBytes => "more_bytes",
            Self::Flow => "flow",
            Self::Limits => "limits",
            Self::Sample => "sample",
            Self::TimeOut => "time_out",
            Self::Error => "error",
            Self::Subflow => "subflow",
            Self::Relay => "relay",
            Self::Adopted => "adopted",
            Self::UnixRelay => "unix_relay",
            Self::UnixBytes => "unix_bytes",
            Self::Read => "read",
            Self::Send => "send",
            Self::Release => "release",
        }
    }
}

impl EventKind<'_> {
    /// The kind of its record.
    #[must_use]
    pub const fn record_kind(&self) -> RecordKind {
        match self {
            Self::State { .. } => RecordKind::State,
            Self::Retransmit { .. } => RecordKind::Retransmit,
            Self::SynAckRetransmit => RecordKind::SynAckRetransmit,
            Self::ResetSent(_) => RecordKind::ResetSent,
            Self::ResetReceived => RecordKind::ResetReceived,
            Self::Segment(_) => RecordKind::Segment,
            Self::MoreBytes(_) => RecordKind::MoreBytes,
            Self::Flow(_) => RecordKind::Flow,
            Self::Limits(_) => RecordKind::Limits,
            Self::Sample(_) => RecordKind::Sample,
            Self::TimeOut { .. } => RecordKind::TimeOut,
            Self::Error(_) => RecordKind::Error,
            Self::Subflow { .. } => RecordKind::Subflow,
            Self::Relay(_) => RecordKind::Relay,
            Self::Adopted(..) => RecordKind::Adopted,
            Self::UnixRelay(_) => RecordKind::UnixRelay,
            Self::UnixBytes { .. } => RecordKind::UnixBytes,
            Self::Held(SocketCall::Read, _) => RecordKind::Read,
            Self::Held(SocketCall::Send, _) => RecordKind::Send,
            Self::Held(SocketCall::Release, _) => RecordKind::Release,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::RecordKind;

    #[test]
    fn all_are_in_the_order_of_their_declaration() {
        for (place, kind) in RecordKind::ALL.iter().enumerate() {
            assert_eq!(*kind as usize, place, "{}", kind.name());
        }
    }
}
