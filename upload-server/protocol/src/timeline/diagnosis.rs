//! Why an upload took as long as it did: its time, split by what held it back.

mod named;
mod timed_out;

use serde::{Deserialize, Serialize};

pub use self::{
    named::{BlackHole, NamedCause},
    timed_out::{TimedOut, WaitedFor},
};
use super::{Certainty, known_only};
use crate::{names::names, tcp::End};

/// What held one upload back on this connection.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Diagnosis {
    /// What held it back most, from half of its time on; or from a third, where `second` makes it 70 %
    /// together. `null` where there is no such cause: `no_verdict` is why.
    pub verdict: Option<HeldBackBy>,
    /// What held it back second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub second: Option<HeldBackBy>,
    /// Why there is no verdict.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_verdict: Option<NoVerdict>,
    /// Where the verdict's cause is; `null` without a verdict.
    pub side: Option<Side>,
    /// Observed where the kernel of an end measured it, else inferred: what is estimated is never observed.
    pub certainty: Certainty,
    /// The ends whose kernels measured it.
    pub from: Vec<End>,
    /// What it was estimated from, where no kernel measured it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<EstimatedBy>,
    /// The end near which that was captured: what an end alone cannot know is unknown there, too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub near: Option<End>,
    /// The end that sent the body, where that is not the client: in active mode of FTP the server opens
    /// the connection. Causes and sides take it for the client then, and the other end for the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sender: Option<End>,
    /// From the upload's first byte, or from the opening of its connection, to the last of the response.
    pub wall_ns: u64,
    /// The causes, the largest first. Together they are `wall_ns`.
    #[serde(deserialize_with = "known_only")]
    pub shares: Vec<Share>,
    /// Which cause ruled when: spans that follow each other without a gap, of all `wall_ns`. A cause has as
    /// much time here as it has among the shares, but that causes below 1 % keep their names.
    #[serde(deserialize_with = "known_only", skip_serializing_if = "Vec::is_empty")]
    pub course: Vec<CauseSpan>,
    /// The numbers behind it.
    pub evidence: DiagnosisEvidence,
    /// The time-out that ended it, where one did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_by: Option<TimedOut>,
    /// The verdict in a sentence.
    pub sentence: String,
    /// What to do about it; `null` without a verdict.
    pub advice: Option<String>,
}

/// How long one cause held an upload back.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Share {
    pub cause: HeldBackBy,
    pub ns: u64,
    /// Part of the whole, from 0 to 1, rounded to hundredths. The shares of a diagnosis make 1.
    pub share: f64,
}

/// A stretch of time in which one cause held an upload back, in nanoseconds since the timeline's beginning.
///
/// The body is measured in pieces of 100 ms or more. Within a piece, how long each cause ruled is known, and
/// their order is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CauseSpan {
    pub cause: HeldBackBy,
    pub start_ns: u64,
    pub end_ns: u64,
}

names! {
    /// What holds an upload back.
    pub enum HeldBackBy {
        /// The handshake of TCP: SYN to ESTABLISHED.
        Connect = "connect",
        /// The server's process had not accepted the connection yet.
        Accept = "accept",
        /// The handshake of TLS.
        Tls = "tls",
        /// The head of the request.
        Request = "request",
        /// The client waited for `100 Continue` (RFC 9110, section 10.1.1).
        ServerSilent = "server_silent",
        /// The client's process gave nothing to send.
        ClientApplication = "client_application",
        /// The client's process waited for something that its peer sends, such as the window of an HTTP/2
        /// stream.
        WaitsForPeer = "waits_for_peer",
        /// The client's send buffer was full of what was not acknowledged yet.
        ClientSendBuffer = "client_send_buffer",
        /// Nagle's algorithm: less than a segment waited for an acknowledgment (RFC 896).
        Nagle = "nagle",
        /// A queue of the client's machine.
        ClientQueue = "client_queue",
        /// The client's machine; which of its causes is unknown from the server's end.
        ClientSide = "client_side",
        /// Segments were lost, and sent again.
        Loss = "loss",
        /// The path carried no more: its queue was full.
        Path = "path",
        /// Round trips, while the congestion window or the receive window was still growing.
        Rtt = "rtt",
        /// The server's process did not read what had arrived.
        ServerNotReading = "server_not_reading",
        /// The server's receive window was too small for the path.
        ServerWindow = "server_window",
        /// The server had the whole body, and had not answered yet.
        ServerThinks = "server_thinks",
        /// The response.
        Response = "response",
        /// Causes of less than 1 % each.
        Other = "other",
        /// Time that no measurement covers.
        Unknown = "unknown",
    }
}

names! {
    /// Where a cause is.
    pub enum Side {
        Client = "client",
        Network = "network",
        Server = "server",
        /// It takes two: a handshake, or waiting for each other.
        Both = "both",
    }
}

names! {
    /// What a diagnosis was estimated from.
    pub enum EstimatedBy {
        /// The segments of a capture.
        Segments = "segments",
    }
}

names! {
    /// Why a diagnosis has no verdict.
    pub enum NoVerdict {
        /// It took less than 200 ms or ten round trips, or what held it back did so for less than 200 ms.
        Short = "short",
        /// It went at 100 MB/s or more.
        Fast = "fast",
        /// Two causes together held it back for less than 70 %.
        NoSingleCause = "no_single_cause",
        /// Records were lost, a capture has holes, or nothing was measured.
        Unknown = "unknown",
    }
}

/// The numbers behind a diagnosis; `null` where unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DiagnosisEvidence {
    /// Bytes of the body per second, while it was sent.
    pub bytes_per_second: Option<u64>,
    /// The mean round-trip time of the client's socket meanwhile, or else of the server's.
    pub rtt_ns: Option<u64>,
    /// The smallest, likewise.
    pub min_rtt_ns: Option<u64>,
    /// Segments that the client retransmitted meanwhile.
    pub retransmits: Option<u32>,
    /// The part of the server's largest window that was in use: rate × round-trip time ÷ window.
    pub window_use: Option<f64>,
    /// The server's largest window in bytes.
    pub window_bytes: Option<u32>,
    /// The most that waited for the server's process, in bytes.
    pub unread_bytes: Option<u32>,
    /// The longest that a segment of the client was on its way, beyond the fastest.
    pub delay_ns: Option<u64>,
    /// The client's send buffer in bytes (`sk_sndbuf`).
    pub send_buffer_bytes: Option<u32>,
    /// Whether its process fixed it (`SO_SNDBUF`).
    pub send_buffer_fixed: Option<bool>,
    /// The server's receive buffer in bytes (`sk_rcvbuf`).
    pub receive_buffer_bytes: Option<u32>,
    /// Whether its process fixed it (`SO_RCVBUF`).
    pub receive_buffer_fixed: Option<bool>,
    /// Whether the two ends agreed on window scaling (RFC 7323).
    pub window_scaling: Option<bool>,
    /// What the verdict's cause is more exactly.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub named: Option<NamedCause>,
    /// How long segments waited in queues of the path, where the path is the verdict: at the client's end
    /// the mean round-trip time beyond the smallest, at the server's alone the longest delay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue_ns: Option<u64>,
    /// Which segments the path drops.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub black_hole: Option<BlackHole>,
    /// The window of each stream that the server announced (RFC 9113, section 6.5.2), in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream_window_bytes: Option<u32>,
    /// How long the client's thread that sends ran on a CPU meanwhile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub processor_ns: Option<u64>,
    /// For how long the upload waited for the server's disk, as the server reports it: while its body arrived,
    /// and while it was stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk_ns: Option<u64>,
    /// Whether the client's send buffer is as large as `net.ipv4.tcp_wmem` permits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub send_buffer_largest: Option<bool>,
    /// Whether the server's receive buffer is as large as `net.ipv4.tcp_rmem` permits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receive_buffer_largest: Option<bool>,
}

impl Diagnosis {
    /// Whether the end that sent the body was seen itself.
    #[must_use]
    pub fn sees_sender(&self) -> bool {
        let sender = self.sender.unwrap_or(End::Client);
        self.from.contains(&sender) || self.near == Some(sender)
    }

    /// The cause as a person reads it, by the ends' roles: completes "held back by …".
    #[must_use]
    pub fn phrase(&self, cause: HeldBackBy) -> String {
        self.by_roles(cause.phrase())
    }

    /// A text that takes the client for the end that sends the body. Where it is not, the ends are the
    /// sender and the receiver.
    #[must_use]
    pub fn by_roles(&self, text: &str) -> String {
        match self.sender {
            Some(End::Server) => text
                .replace("client", "sender")
                .replace("server", "receiver"),
            Some(End::Client) | None => text.to_owned(),
        }
    }
}

impl HeldBackBy {
    /// Where the cause is; `None` for what is no cause.
    #[must_use]
    pub const fn side(self) -> Option<Side> {
        Some(match self {
            Self::ClientApplication
            | Self::ClientSendBuffer
            | Self::Nagle
            | Self::ClientQueue
            | Self::ClientSide
            | Self::Request => Side::Client,
            Self::Connect | Self::Loss | Self::Path | Self::Rtt | Self::Response => Side::Network,
            Self::Accept
            | Self::ServerSilent
            | Self::ServerNotReading
            | Self::ServerWindow
            | Self::ServerThinks => Side::Server,
            Self::Tls | Self::WaitsForPeer => Side::Both,
            Self::Other | Self::Unknown => return None,
        })
    }

    /// As a person reads it: completes "held back by …".
    #[must_use]
    pub const fn phrase(self) -> &'static str {
        match self {
            Self::Connect => "the handshake of TCP",
            Self::Accept => "the server's accept queue",
            Self::Tls => "the TLS handshake",
            Self::Request => "the request's head",
            Self::ServerSilent => "waiting for 100 Continue",
            Self::ClientApplication => "the client's process",
            Self::WaitsForPeer => "waiting for the server's word",
            Self::ClientSendBuffer => "the client's send buffer",
            Self::Nagle => "Nagle's algorithm",
            Self::ClientQueue => "a queue of the client's machine",
            Self::ClientSide => "the client's side",
            Self::Loss => "loss",
            Self::Path => "the path",
            Self::Rtt => "round trips",
            Self::ServerNotReading => "the server's process, which did not read",
            Self::ServerWindow => "the server's receive window",
            Self::ServerThinks => "the server's work",
            Self::Response => "the response",
            Self::Other => "other causes",
            Self::Unknown => "unknown",
        }
    }
}
