//! Names of the numbers in TLS, as the RFCs and IANA's registries write them.

use tls_parser::TlsCipherSuite;

pub(super) const TLS_1_2: u16 = 0x0303;
pub(super) const TLS_1_3: u16 = 0x0304;

/// A record's content type (RFC 8446, appendix B.1; heartbeat: RFC 6520).
pub(super) const fn content_type(number: u8) -> Option<&'static str> {
    Some(match number {
        20 => "change_cipher_spec",
        21 => "alert",
        22 => "handshake",
        23 => "application_data",
        24 => "heartbeat",
        _ => return None,
    })
}

/// A handshake message (RFC 8446, appendix B.3; RFC 5246, section 7.4; RFC 5077; RFC 6066).
pub(super) const fn handshake_type(number: u8) -> Option<&'static str> {
    Some(match number {
        0 => "HelloRequest",
        1 => "ClientHello",
        2 => "ServerHello",
        4 => "NewSessionTicket",
        11 => "Certificate",
        12 => "ServerKeyExchange",
        13 => "CertificateRequest",
        14 => "ServerHelloDone",
        15 => "CertificateVerify",
        16 => "ClientKeyExchange",
        20 => "Finished",
        22 => "CertificateStatus",
        _ => return None,
    })
}

/// A version of the protocol (RFC 8446, section 4.2.1).
pub(super) fn version(number: u16) -> String {
    match number {
        0x0300 => "SSL 3.0".to_owned(),
        0x0301 => "TLS 1.0".to_owned(),
        0x0302 => "TLS 1.1".to_owned(),
        TLS_1_2 => "TLS 1.2".to_owned(),
        TLS_1_3 => "TLS 1.3".to_owned(),
        number => format!("{number:#06x}"),
    }
}

/// A cipher suite, by IANA's name or in hexadecimal.
pub(super) fn cipher_suite(number: u16) -> String {
    TlsCipherSuite::from_id(number)
        .map_or_else(|| format!("{number:#06x}"), |suite| suite.name.to_owned())
}

/// Whether a value stands for nothing, to keep peers tolerant (RFC 8701, section 2).
pub(super) const fn is_grease(number: u16) -> bool {
    number & 0x0f0f == 0x0a0a && number >> 8 == number & 0xff
}

/// An alert's level (RFC 8446, section 6).
pub(super) const fn alert_level(number: u8) -> Option<&'static str> {
    match number {
        1 => Some("warning"),
        2 => Some("fatal"),
        _ => None,
    }
}

/// An alert's description (RFC 8446, section 6.2, and IANA's registry for the older ones).
pub(super) fn alert_description(number: u8) -> String {
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
        number => return format!("{number}"),
    };
    name.to_owned()
}
