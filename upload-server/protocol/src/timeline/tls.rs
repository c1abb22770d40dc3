//! The TLS handshake within the open connection: what is in the clear, and what follows from it.

use std::{borrow::Cow, fmt};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Certainty, known_only};
use crate::{names::names, tcp::End};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TlsHandshake {
    /// When the first record was sent.
    pub start_ns: Option<u64>,
    /// When the last Finished was sent.
    pub end_ns: Option<u64>,
    #[serde(deserialize_with = "known_only")]
    pub steps: Vec<TlsStep>,
    /// The host that the client asked for (SNI).
    pub server_name: Option<String>,
    /// The version chosen.
    pub version: Option<TlsVersion>,
    /// The versions offered.
    pub versions_offered: Vec<TlsVersion>,
    /// The cipher suite chosen, by IANA's name, or its number.
    pub cipher_suite: Option<Cow<'static, str>>,
    /// How many were offered.
    pub cipher_suites_offered: usize,
    /// The application protocols offered (ALPN).
    pub alpn_offered: Vec<String>,
    /// The one chosen, where it is in the clear: before TLS 1.3.
    pub alpn: Option<String>,
    /// Whether an earlier session went on; `null` where that cannot be told.
    pub session_resumed: Option<bool>,
    /// Length of the server's Certificate message, where it is in the clear: before TLS 1.3.
    pub certificate_bytes: Option<u64>,
    /// The records whose headers were seen, in order, at most 64 of each end.
    #[serde(deserialize_with = "known_only")]
    pub records: Vec<TlsRecord>,
    pub alerts: Vec<TlsAlert>,
}

/// A handshake message, ChangeCipherSpec, an alert, or the first application data of an end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlsStep {
    pub name: TlsMessage,
    pub at_ns: u64,
    /// The end that sent it.
    pub from: End,
    /// Observed in the clear, or inferred from an encrypted record's place and length.
    #[serde(default)]
    pub certainty: Certainty,
}

names! {
    /// What an end says, by its name in RFC 8446 or RFC 5246.
    pub enum TlsMessage {
        HelloRequest = "HelloRequest",
        ClientHello = "ClientHello",
        ServerHello = "ServerHello",
        HelloRetryRequest = "HelloRetryRequest",
        NewSessionTicket = "NewSessionTicket",
        Certificate = "Certificate",
        ServerKeyExchange = "ServerKeyExchange",
        CertificateRequest = "CertificateRequest",
        ServerHelloDone = "ServerHelloDone",
        CertificateVerify = "CertificateVerify",
        ClientKeyExchange = "ClientKeyExchange",
        Finished = "Finished",
        CertificateStatus = "CertificateStatus",
        ChangeCipherSpec = "ChangeCipherSpec",
        Alert = "Alert",
        ApplicationData = "ApplicationData",
    }
}

/// A record's type and length.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlsRecord {
    pub name: ContentType,
    /// The end that sent it.
    pub from: End,
    /// Bytes after its header.
    pub length: u16,
}

names! {
    /// A record's content type (RFC 8446, appendix B.1; heartbeat: RFC 6520).
    pub enum ContentType {
        ChangeCipherSpec = "change_cipher_spec",
        Alert = "alert",
        Handshake = "handshake",
        ApplicationData = "application_data",
        Heartbeat = "heartbeat",
        Unknown = "unknown",
    }
}

/// An alert (RFC 8446, section 6; RFC 5246, section 7.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlsAlert {
    pub at_ns: u64,
    /// The end that sent it.
    pub from: End,
    /// Where it is in the clear and was captured.
    pub level: Option<AlertLevel>,
    /// Its name, the number of one without, `encrypted`, or `not captured`.
    pub description: Cow<'static, str>,
}

names! {
    /// An alert's level (RFC 8446, section 6).
    pub enum AlertLevel {
        Warning = "warning",
        Fatal = "fatal",
    }
}

/// A version of the protocol (RFC 8446, section 4.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TlsVersion(pub u16);

impl TlsVersion {
    pub const SSL_3_0: Self = Self(0x0300);
    pub const TLS_1_0: Self = Self(0x0301);
    pub const TLS_1_1: Self = Self(0x0302);
    pub const TLS_1_2: Self = Self(0x0303);
    pub const TLS_1_3: Self = Self(0x0304);

    const NAMES: [(Self, &'static str); 5] = [
        (Self::SSL_3_0, "SSL 3.0"),
        (Self::TLS_1_0, "TLS 1.0"),
        (Self::TLS_1_1, "TLS 1.1"),
        (Self::TLS_1_2, "TLS 1.2"),
        (Self::TLS_1_3, "TLS 1.3"),
    ];
}

impl fmt::Display for TlsVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Self::NAMES.iter().find(|(version, _)| version == self) {
            Some((_, name)) => f.write_str(name),
            None => write!(f, "{:#06x}", self.0),
        }
    }
}

impl Serialize for TlsVersion {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TlsVersion {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <Cow<'_, str>>::deserialize(deserializer)?;
        let named = Self::NAMES.iter().find(|(_, name)| *name == text);
        let number = || u16::from_str_radix(text.strip_prefix("0x")?, 16).ok();
        named
            .map(|(version, _)| *version)
            .or_else(|| number().map(Self))
            .ok_or_else(|| serde::de::Error::custom(format!("unknown TLS version {text}")))
    }
}
