//! Names of the numbers in TLS, as the RFCs and IANA's registries write them.

use std::borrow::Cow;

use tls_parser::TlsCipherSuite;
use upload_protocol::timeline::{AlertLevel, ContentType, TlsMessage};

/// A record's content type (RFC 8446, appendix B.1; heartbeat: RFC 6520).
pub(super) const fn content_type(number: u8) -> ContentType {
    match number {
        20 => ContentType::ChangeCipherSpec,
        21 => ContentType::Alert,
        22 => ContentType::Handshake,
        23 => ContentType::ApplicationData,
        24 => ContentType::Heartbeat,
        _ => ContentType::Unknown,
    }
}

/// A handshake message (RFC 8446, appendix B.3; RFC 5246, section 7.4; RFC 5077; RFC 6066).
pub(super) const fn handshake_type(number: u8) -> Option<TlsMessage> {
    Some(match number {
        0 => TlsMessage::HelloRequest,
        1 => TlsMessage::ClientHello,
        2 => TlsMessage::ServerHello,
        4 => TlsMessage::NewSessionTicket,
        11 => TlsMessage::Certificate,
        12 => TlsMessage::ServerKeyExchange,
        13 => TlsMessage::CertificateRequest,
        14 => TlsMessage::ServerHelloDone,
        15 => TlsMessage::CertificateVerify,
        16 => TlsMessage::ClientKeyExchange,
        20 => TlsMessage::Finished,
        22 => TlsMessage::CertificateStatus,
        _ => return None,
    })
}

// tls-parser has IANA's registry of cipher suites and keeps it up to date. Its parser is not used: it
// wants whole records, and a capture has heads of bursts and holes.
/// A cipher suite, by IANA's name or in hexadecimal.
pub(super) fn cipher_suite(number: u16) -> Cow<'static, str> {
    TlsCipherSuite::from_id(number).map_or_else(
        || format!("{number:#06x}").into(),
        |suite| suite.name.into(),
    )
}

/// Whether a value is GREASE: it has no meaning, and keeps peers tolerant (RFC 8701, section 2).
pub(super) const fn is_grease(number: u16) -> bool {
    number & 0x0f0f == 0x0a0a && number >> 8 == number & 0xff
}

/// An alert's level (RFC 8446, section 6).
pub(super) const fn alert_level(number: u8) -> Option<AlertLevel> {
    match number {
        1 => Some(AlertLevel::Warning),
        2 => Some(AlertLevel::Fatal),
        _ => None,
    }
}

/// An alert's description (RFC 8446, section 6.2, and IANA's registry for the older ones).
pub(super) fn alert_description(number: u8) -> Cow<'static, str> {
    let name = match number {
        0 => "close_notify",
        10 => "unexpected_message",
        20 => "bad_record_mac",
        21 => "decryption_failed",
        22 => "record_overflow",
        30 => "decompression_failure",
        40 => "handshake_failure",
        41 => "no_certificate",
        42 => "bad_certificate",
        43 => "unsupported_certificate",
        44 => "certificate_revoked",
        45 => "certificate_expired",
        46 => "certificate_unknown",
        47 => "illegal_parameter",
        48 => "unknown_ca",
        49 => "access_denied",
        50 => "decode_error",
        51 => "decrypt_error",
        60 => "export_restriction",
        70 => "protocol_version",
        71 => "insufficient_security",
        80 => "internal_error",
        86 => "inappropriate_fallback",
        90 => "user_canceled",
        100 => "no_renegotiation",
        109 => "missing_extension",
        110 => "unsupported_extension",
        111 => "certificate_unobtainable",
        112 => "unrecognized_name",
        113 => "bad_certificate_status_response",
        114 => "bad_certificate_hash_value",
        115 => "unknown_psk_identity",
        116 => "certificate_required",
        120 => "no_application_protocol",
        121 => "ech_required",
        number => return number.to_string().into(),
    };
    name.into()
}
