//! What ended a connection, or an attempt to open one, other than a FIN from each end.

use std::{borrow::Cow, fmt};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{names::names, tcp::is_false};

/// Facts of the socket whose end it was; each is absent where there is none, or none is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cause {
    /// The error that the kernel closed the socket with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<SocketError>,
    /// The timer that gave up.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "known")]
    pub timer: Option<Timer>,
    /// Whether the process had limited the wait for an answer with `TCP_USER_TIMEOUT`.
    #[serde(skip_serializing_if = "is_false")]
    pub user_timeout: bool,
    /// Whether no process held the socket any more.
    #[serde(skip_serializing_if = "is_false")]
    pub orphan: bool,
    /// Why the kernel sent the RST, where its socket is on this machine (Linux 6.10 and later).
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "known")]
    pub reset_reason: Option<ResetReason>,
}

/// A value that a later version may have added is unknown.
fn known<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Option<T>, D::Error> {
    let value = serde_json::Value::deserialize(from)?;
    Ok(T::deserialize(value).ok())
}

names! {
    /// The timers of a socket that close it when they give up.
    pub enum Timer {
        /// What was sent was not acknowledged, however often it was sent again (RFC 6298;
        /// `net.ipv4.tcp_retries2`, `tcp_syn_retries`, `tcp_orphan_retries`).
        Retransmission = "retransmission",
        /// The peer's window stayed closed (RFC 9293, section 3.8.6.1).
        Persist = "persist",
        /// The peer did not answer keep-alive probes (RFC 9293, section 3.8.4).
        KeepAlive = "keepalive",
        /// The peer did not close its direction, and no process waited for it
        /// (`net.ipv4.tcp_fin_timeout`).
        FinWait2 = "fin_wait2",
    }
}

impl Timer {
    /// What it waited for in vain. Completes "timed out: …".
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Retransmission => "no acknowledgment came",
            Self::Persist => "the peer's window stayed closed",
            Self::KeepAlive => "no answer to keep-alive probes",
            Self::FinWait2 => "the peer did not close its direction",
        }
    }
}

names! {
    /// Why a kernel sends a RST: `enum sk_rst_reason`, without `SK_RST_REASON_`.
    pub enum ResetReason {
        NoSocket = "NO_SOCKET",
        InvalidAckSequence = "TCP_INVALID_ACK_SEQUENCE",
        Paws = "TCP_RFC7323_PAWS",
        TooOldAck = "TCP_TOO_OLD_ACK",
        AckUnsentData = "TCP_ACK_UNSENT_DATA",
        Flags = "TCP_FLAGS",
        OldAck = "TCP_OLD_ACK",
        AbortOnData = "TCP_ABORT_ON_DATA",
        TimeWaitSocket = "TCP_TIMEWAIT_SOCKET",
        InvalidSyn = "INVALID_SYN",
        AbortOnClose = "TCP_ABORT_ON_CLOSE",
        AbortOnLinger = "TCP_ABORT_ON_LINGER",
        AbortOnMemory = "TCP_ABORT_ON_MEMORY",
        State = "TCP_STATE",
        KeepAliveTimeout = "TCP_KEEPALIVE_TIMEOUT",
        DisconnectWithData = "TCP_DISCONNECT_WITH_DATA",
        MptcpUnspecified = "MPTCP_RST_EUNSPEC",
        MptcpFallback = "MPTCP_RST_EMPTCP",
        MptcpResources = "MPTCP_RST_ERESOURCE",
        MptcpProhibited = "MPTCP_RST_EPROHIBIT",
        MptcpTooMuchData = "MPTCP_RST_EWQ2BIG",
        MptcpPerformance = "MPTCP_RST_EBADPERF",
        MptcpMiddlebox = "MPTCP_RST_EMIDDLEBOX",
    }
}

impl ResetReason {
    /// In plain words. Completes "… reset it: …".
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::NoSocket => "its kernel knows of no such connection",
            Self::InvalidAckSequence => "a segment acknowledged a number outside the window",
            Self::Paws => "a time stamp did not fit (RFC 7323)",
            Self::TooOldAck => "an acknowledgment was far too old",
            Self::AckUnsentData => "a segment acknowledged data that was never sent",
            Self::Flags => "the flags of a segment did not fit",
            Self::OldAck => "an acknowledgment was old",
            Self::AbortOnData => "data came after its process had closed the socket",
            Self::TimeWaitSocket => "a segment came for a connection in TIME_WAIT",
            Self::InvalidSyn => "a SYN came in the middle of the connection",
            Self::AbortOnClose => "its process closed the socket with data unread",
            Self::AbortOnLinger => "its process had TCP_LINGER2 forbid to wait for the peer's FIN",
            Self::AbortOnMemory => {
                "its kernel was out of memory for TCP, or had too many sockets of no process"
            }
            Self::State => {
                "it was aborted while open, as close() does with SO_LINGER and 0 seconds"
            }
            Self::KeepAliveTimeout => "keep-alive probes got no answer",
            Self::DisconnectWithData => "its process disconnected the socket with data unsent",
            Self::MptcpUnspecified => "an error of MPTCP",
            Self::MptcpFallback => "a subflow without the options of MPTCP",
            Self::MptcpResources => "MPTCP had not the resources for another subflow",
            Self::MptcpProhibited => "MPTCP does not permit the subflow",
            Self::MptcpTooMuchData => "too much data waits on the subflow for MPTCP",
            Self::MptcpPerformance => "the subflow of MPTCP is too slow",
            Self::MptcpMiddlebox => "a middlebox interfered with MPTCP",
        }
    }
}

/// An errno (`asm-generic/errno.h`); in JSON its name, such as `ETIMEDOUT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketError(pub u32);

impl SocketError {
    pub const BROKEN_PIPE: Self = Self(32);
    pub const CONNECTION_ABORTED: Self = Self(103);
    pub const CONNECTION_RESET: Self = Self(104);
    pub const TIMED_OUT: Self = Self(110);
    pub const CONNECTION_REFUSED: Self = Self(111);

    /// What TCP, ICMP and what lies above a socket may set.
    const KNOWN: &[(u32, &str, &str)] = &[
        (1, "EPERM", "a filter of this machine dropped it"),
        (5, "EIO", "input or output failed"),
        (12, "ENOMEM", "its kernel was out of memory"),
        (
            13,
            "EACCES",
            "an ICMP message said that a filter forbids it",
        ),
        (19, "ENODEV", "its network device is gone"),
        (22, "EINVAL", "a value was not valid"),
        (32, "EPIPE", "a RST came after the peer's FIN"),
        (
            71,
            "EPROTO",
            "an ICMP message said that a header was not understood",
        ),
        (74, "EBADMSG", "a message could not be decrypted or decoded"),
        (90, "EMSGSIZE", "a packet was too large for the way"),
        (
            92,
            "ENOPROTOOPT",
            "an ICMP message said that the host does not speak TCP",
        ),
        (
            95,
            "EOPNOTSUPP",
            "an ICMP message said that a source route failed",
        ),
        (99, "EADDRNOTAVAIL", "its address is gone"),
        (100, "ENETDOWN", "its network is down"),
        (101, "ENETUNREACH", "there was no route to the network"),
        (
            103,
            "ECONNABORTED",
            "it was destroyed from outside, as ss -K does",
        ),
        (104, "ECONNRESET", "a RST came"),
        (105, "ENOBUFS", "no buffer was free"),
        (110, "ETIMEDOUT", "no answer came in time"),
        (
            111,
            "ECONNREFUSED",
            "a RST answered, or an ICMP message said that the port is closed",
        ),
        (112, "EHOSTDOWN", "the host was down"),
        (113, "EHOSTUNREACH", "the host could not be reached"),
        (64, "ENONET", "the host is not on the network"),
    ];

    /// As in every output: `errno 4711` for one without a name here.
    #[must_use]
    pub fn name(self) -> Cow<'static, str> {
        match self.known() {
            Some((_, name, _)) => Cow::Borrowed(name),
            None => Cow::Owned(format!("errno {}", self.0)),
        }
    }

    /// In plain words; `None` for one without a name here.
    #[must_use]
    pub fn meaning(self) -> Option<&'static str> {
        self.known().map(|(_, _, meaning)| *meaning)
    }

    fn known(self) -> Option<&'static (u32, &'static str, &'static str)> {
        Self::KNOWN.iter().find(|(number, ..)| *number == self.0)
    }
}

impl fmt::Display for SocketError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.name())
    }
}

impl Serialize for SocketError {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SocketError {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <Cow<'_, str>>::deserialize(deserializer)?;
        let known = Self::KNOWN.iter().find(|(_, name, _)| *name == text);
        let number = known.map(|(number, ..)| *number).or_else(|| {
            let number = text.strip_prefix("errno ")?;
            number.parse().ok()
        });
        let unknown = || de::Error::custom(format_args!("{text} is no errno"));
        number.map(Self).ok_or_else(unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::{Cause, SocketError};

    #[test]
    fn names_are_read_as_they_were_written() {
        let known = SocketError::KNOWN.iter().map(|(number, ..)| *number);
        for number in known.chain([0, 4711]) {
            let text = serde_json::to_string(&SocketError(number)).unwrap();
            let read: SocketError = serde_json::from_str(&text).unwrap();
            assert_eq!(read, SocketError(number), "{text}");
        }
        assert_eq!(SocketError::TIMED_OUT.to_string(), "ETIMEDOUT");
        assert_eq!(SocketError(4711).to_string(), "errno 4711");
    }

    #[test]
    fn words_of_a_later_version_are_unknown() {
        let read: Cause =
            serde_json::from_str(r#"{"timer":"another","reset_reason":"ANOTHER","error":"EPIPE"}"#)
                .unwrap();
        let expected = Cause {
            error: Some(SocketError::BROKEN_PIPE),
            ..Cause::default()
        };
        assert_eq!(read, expected);
    }
}
