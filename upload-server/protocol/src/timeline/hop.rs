//! The connections that carried an upload, one after the other: from its client through proxies to its server.

use serde::{Deserialize, Serialize};

use super::{Certainty, Endpoint, TlsVersion, known_only};
use crate::{End, connection::ConnectionId, names::names};

/// One connection of an upload's way.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct UploadHop {
    pub connection: ConnectionId,
    /// What it is on the upload's way.
    pub role: HopRole,
    /// The end that opened it.
    pub client: Endpoint,
    /// The end that accepted it.
    pub server: Endpoint,
    /// The end that sends the upload on it. Only the agent of a tunnel receives as a client (`ssh -R`).
    pub sender: End,
    /// The version of TLS on it; absent where it has none, or none was seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsVersion>,
    /// When the first byte of the request was sent on it, CLOCK_MONOTONIC; `null` where that was not seen.
    pub request_mono_ns: Option<u64>,
    /// How long the request took, from its first byte to its last.
    pub request_ns: Option<u64>,
    /// From the request's last byte to the response's first.
    pub wait_ns: Option<u64>,
    /// From the request's first byte to the response's first, as a part of the same on the first hop.
    pub share: Option<f64>,
    /// Bytes of the request on it: of its body where that is in the clear, else with heads and TLS records.
    pub bytes: Option<u64>,
    /// How the process at its server's end passed the request on to the next hop; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub passed_on: Option<PassedOn>,
    /// How long after its own first byte the request's first byte was sent on the next hop.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_ns: Option<u64>,
    /// How it is known that the next hop carried the same upload; empty on the last one.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "known_only")]
    pub evidence: Vec<HopEvidence>,
    /// How certain that is. The last hop is the one with the timeline.
    pub certainty: Certainty,
}

impl UploadHop {
    /// The end that sends the upload on it.
    #[must_use]
    pub const fn sending(&self) -> &Endpoint {
        match self.sender {
            End::Client => &self.client,
            End::Server => &self.server,
        }
    }

    /// The end that receives it.
    #[must_use]
    pub const fn receiving(&self) -> &Endpoint {
        match self.sender {
            End::Client => &self.server,
            End::Server => &self.client,
        }
    }

    /// From the request's first byte to the response's.
    #[must_use]
    pub fn until_response_ns(&self) -> Option<u64> {
        Some(self.request_ns?.saturating_add(self.wait_ns?))
    }
}

names! {
    /// What a connection is on an upload's way.
    #[derive(Default)]
    pub enum HopRole {
        /// It carried the upload's request.
        #[default]
        Exchange = "exchange",
        /// It carried the request within, encrypted or wrapped, perhaps with others at the same time.
        Tunnel = "tunnel",
    }
}

names! {
    /// How a proxy passes a request on.
    pub enum PassedOn {
        /// As it came.
        Streamed = "streamed",
        /// After all of it had come.
        Buffered = "buffered",
    }
}

names! {
    /// Why two connections belong to one upload.
    pub enum HopEvidence {
        /// A thread read the request from one and sent on the other, with no read from another in between.
        Request = "request",
        /// The same at the time of the other's `connect`.
        Connect = "connect",
        /// A thread read the response from the other and sent on the one, likewise.
        Response = "response",
        /// The requests on both have the same method and target.
        Target = "target",
        /// The header of the PROXY protocol on the other has the addresses of the one.
        ProxyProtocol = "proxy_protocol",
        /// The request on the other has the address of the one's client: `Forwarded` or `X-Forwarded-For`.
        Forwarded = "forwarded",
        /// The requests on both have the same `X-Request-Id`, or the same trace id (`traceparent`).
        RequestId = "request_id",
        /// Both have the same ClientHello: TLS goes through.
        ClientHello = "client_hello",
        /// The requests on both have as many bytes, heads and TLS records allowed for.
        Bytes = "bytes",
        /// Request and response on the other are within those on the one, in time.
        Time = "time",
    }
}

impl HopEvidence {
    /// As a sentence's end, after "because".
    #[must_use]
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Request => "a thread read from this connection, and sent on the next one",
            Self::Connect => "a thread read from this connection, and opened the next one",
            Self::Response => "a thread read the response from the next one, and sent on this one",
            Self::Target => "both requests have the same method and target",
            Self::ProxyProtocol => "the next one begins with this one's addresses (PROXY protocol)",
            Self::Forwarded => {
                "the request on the next one has the address of this one's client (Forwarded)"
            }
            Self::RequestId => "both requests have the same identifier",
            Self::ClientHello => "both have the same ClientHello",
            Self::Bytes => "both requests have as many bytes, heads and TLS records allowed for",
            Self::Time => "the next one's request and response are within this one's, in time",
        }
    }
}
