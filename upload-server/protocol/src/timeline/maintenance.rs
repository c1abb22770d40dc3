//! What the open connection was used for.

use serde::{Deserialize, Serialize};

use super::{Certainty, Exchange, Http2Frames, PerEnd, TlsHandshake, known_only};
use crate::{names::names, tcp::End};

/// The phase from ESTABLISHED to the first FIN or RST.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Maintenance {
    /// When the initiation ended; `null` where that was before the tracer.
    pub start_ns: Option<u64>,
    /// When the termination began; `null` where none has.
    pub end_ns: Option<u64>,
    /// How the two are known.
    pub certainty: Certainty,
    /// What the payload is.
    pub protocol: Protocol,
    /// The TLS handshake, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsHandshake>,
    /// The frames of HTTP/2 in clear text, where there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http2: Option<Http2Frames>,
    /// The requests, in order: those whose uploads the server reported, and those in clear text.
    pub exchanges: Vec<Exchange>,
    /// How many requests in clear text came after those that are kept.
    #[serde(skip_serializing_if = "is_zero")]
    pub exchanges_left_out: usize,
    /// Bytes that were not what they claimed to be.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "known_only")]
    pub malformed: Vec<Malformed>,
    /// Smoothed round-trip time at the end, of the client's socket, or else of the server's.
    pub rtt_ns: Option<u64>,
    /// The smallest, likewise.
    pub min_rtt_ns: Option<u64>,
    /// How many segments each end might have in flight when it closed (`snd_cwnd`); `null` while it is
    /// open.
    pub congestion_window: PerEnd,
    /// Payload bytes that each end had sent again when it closed (`tcpi_bytes_retrans`); likewise.
    pub retransmitted_bytes: PerEnd,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
const fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// What a connection's payload is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TLS records (RFC 8446, section 5.1; RFC 5246, section 6.2.1).
    Tls,
    /// HTTP/1.x in clear text (RFC 9112).
    Http1,
    /// HTTP/2 in clear text with prior knowledge: the client's first line is the preface's, whose
    /// method is reserved for it (RFC 9113, sections 3.4 and 11.6). In a capture also after an upgrade
    /// (RFC 7540, section 3.2).
    Http2,
    /// None of these.
    Other,
    /// Too little was captured to tell.
    #[default]
    #[serde(other)]
    Unknown,
}

/// Bytes that are not what they claim to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Malformed {
    /// The end that sent them.
    pub from: End,
    #[serde(rename = "what")]
    pub defect: Defect,
}

names! {
    /// What is wrong with bytes.
    pub enum Defect {
        HttpRequestMissing = "something else where an HTTP request should begin",
        HttpResponseMissing = "something else where an HTTP response should begin",
        HttpHeadNotText = "an HTTP head that is not text, or too long",
        HttpFieldMalformed = "a line of an HTTP head that is no field",
        HttpContentLengthsDiffer = "two different Content-Lengths",
        HttpContentLengthNotANumber = "Content-Length not a number",
        HttpChunkWithoutSize = "a chunk without a size",
        Http2FieldsMalformed = "HTTP/2 fields that cannot be decompressed",
        TlsRecordMissing = "something else where a TLS record should begin",
        TlsRecordTooLong = "a TLS record longer than one may be",
        TlsMessageCutOff = "a TLS handshake message cut off by another record",
        TlsChangeCipherSpecLength = "a ChangeCipherSpec that is not one byte",
        TlsHandshakeRecordEmpty = "an empty TLS handshake record",
        TlsAlertLength = "a TLS alert that is not two bytes",
        TlsHelloOfPeer = "the peer's TLS hello",
        TlsClientHelloLengths = "a ClientHello whose lengths do not fit",
        TlsServerHelloLengths = "a ServerHello whose lengths do not fit",
    }
}
