//! TLS in clear text: records, handshake messages, alerts (RFC 8446, RFC 5246).

mod conversation;
mod flight;
mod handshake;
mod hello;
mod names;
mod record;

use std::borrow::Cow;

use upload_protocol::{
    End,
    timeline::{AlertLevel, ContentType, TlsMessage, TlsVersion},
};

pub(super) use self::{conversation::Conversation, record::looks_like_record};

/// The observed TLS handshake of a connection.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tls {
    /// The handshake messages, in the order in which they were sent, and the first application data
    /// of each end. In TLS 1.3 the server's first application data is left out: it looks like the
    /// session tickets before it.
    pub steps: Vec<TlsStep>,
    /// The records whose headers were seen, at most 64 of each end.
    pub records: Vec<TlsRecord>,
    /// How many came after those.
    pub records_left_out: u64,
    /// How many steps came after the first 64.
    pub steps_left_out: u64,
    /// How many alerts came after the first 16.
    pub alerts_left_out: u64,
    /// How many hellos were not read to their end.
    pub hellos_cut: u64,
    /// The first bytes of the ClientHello's random (RFC 8446, section 4.1.2): no two connections have the same.
    pub random: Option<u64>,
    /// The host that the client asked for (RFC 6066, section 3), what is not printable ASCII escaped.
    pub server_name: Option<String>,
    /// The application protocols that the client offered (RFC 7301).
    pub alpn_offered: Vec<String>,
    /// The one chosen, where it is in the clear: before TLS 1.3.
    pub alpn: Option<String>,
    /// The versions that the client offered (RFC 8446, section 4.2.1), or else its newest (RFC 5246,
    /// section 7.4.1.2), without those that stand for nothing (RFC 8701).
    pub versions_offered: Vec<TlsVersion>,
    /// The version chosen.
    pub version: Option<TlsVersion>,
    /// How many cipher suites the client listed, those included that stand for nothing.
    pub cipher_suites_offered: usize,
    /// The one chosen, by IANA's name, or in hexadecimal.
    pub cipher_suite: Option<Cow<'static, str>>,
    /// Whether an earlier session went on: in TLS 1.3 whether the server took a pre-shared key (RFC
    /// 8446, section 4.2.11), before that whether it repeated the client's session id or sent no
    /// certificate before its ChangeCipherSpec (RFC 5246, section 7.3; RFC 5077, section 3.1).
    pub session_resumed: Option<bool>,
    /// Length of the server's Certificate message, where it is in the clear: before TLS 1.3.
    pub certificate_bytes: Option<u64>,
    /// The alerts in records of that type; in TLS 1.3 encrypted ones are not told from data.
    pub alerts: Vec<TlsAlert>,
}

/// A handshake message, ChangeCipherSpec, the first application data of an end, or an alert.
///
/// An encrypted message is `inferred`: before TLS 1.3, Finished is the handshake record after a
/// ChangeCipherSpec (RFC 5246, section 7.4.9); in TLS 1.3 it is recognised by its record's length (RFC
/// 8446, section 4.4.4). Ambiguous ones are left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsStep {
    pub name: TlsMessage,
    /// When its first byte was sent.
    pub mono_ns: u64,
    /// Who sent it.
    pub from: End,
    /// Whether it is encrypted, and inferred from its record's position and length.
    pub inferred: bool,
}

/// A record's header (RFC 8446, section 5.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsRecord {
    /// When its first byte was sent.
    pub mono_ns: u64,
    /// Who sent it.
    pub from: End,
    /// The number of its type.
    pub content_type: u8,
    pub name: ContentType,
    /// The version field; 0x0303 in TLS 1.2 and 1.3 alike.
    pub version: u16,
    /// Bytes after the header.
    pub length: u16,
}

/// An alert (RFC 8446, section 6; RFC 5246, section 7.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsAlert {
    /// When its record began.
    pub mono_ns: u64,
    /// Who sent it.
    pub from: End,
    /// `warning` or `fatal`, where it is in the clear and was captured.
    pub level: Option<AlertLevel>,
    /// Its name, the number of one without, `encrypted`, or `not captured`.
    pub description: Cow<'static, str>,
}

/// A record's most bytes in TLS 1.3 (RFC 8446, section 5.2), and in the clear.
const LONGEST: u16 = 16_384 + 256;
/// The same for encrypted ones before (RFC 5246, section 6.2.3).
const LONGEST_BEFORE_1_3: u16 = 16_384 + 2048;
