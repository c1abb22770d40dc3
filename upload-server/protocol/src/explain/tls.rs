//! The TLS handshake within the open connection.

use std::{borrow::Cow, fmt::Write as _};

use crate::{
    timeline::{TlsHandshake, TlsMessage, TlsVersion},
    units::plain,
};

/// What a message means, and the display filter that shows it.
pub fn tls_step(message: TlsMessage, handshake: &TlsHandshake) -> (String, &'static str) {
    let version = handshake.version.map(|version| version.to_string());
    let or_unknown = |value: Option<&str>| value.map_or("?".into(), plain).into_owned();
    match message {
        TlsMessage::ClientHello => {
            let mut text = "The client offers what it can do".to_owned();
            if !handshake.versions_offered.is_empty() {
                let _ = write!(text, ": {}", join(&handshake.versions_offered));
            }
            let _ = write!(text, ", {} cipher suites", handshake.cipher_suites_offered);
            if let Some(host) = &handshake.server_name {
                let _ = write!(
                    text,
                    "; it asks for the host {} in the clear (SNI)",
                    plain(host)
                );
            }
            if !handshake.alpn_offered.is_empty() {
                let offered: Vec<Cow<'_, str>> = handshake
                    .alpn_offered
                    .iter()
                    .map(|name| plain(name))
                    .collect();
                let _ = write!(
                    text,
                    " and for one of the protocols {} (ALPN)",
                    offered.join(", ")
                );
            }
            text.push('.');
            (text, "tls.handshake.type==1")
        }
        TlsMessage::ServerHello => (
            format!(
                "The server chooses {} and {}.",
                or_unknown(version.as_deref()),
                or_unknown(handshake.cipher_suite.as_deref())
            ),
            "tls.handshake.type==2",
        ),
        TlsMessage::HelloRetryRequest => (
            "The server asks for a ClientHello with another key share.".to_owned(),
            "tls.handshake.type==2",
        ),
        TlsMessage::Certificate => (
            "The certificate chain, in the clear before TLS 1.3.".to_owned(),
            "tls.handshake.type==11",
        ),
        TlsMessage::ChangeCipherSpec if handshake.version == Some(TlsVersion::TLS_1_3) => (
            "Has no meaning in TLS 1.3: it is sent for middleboxes that expect it.".to_owned(),
            "tls.record.content_type==20",
        ),
        TlsMessage::ChangeCipherSpec => (
            "From here on, what this end sends is encrypted with the new keys.".to_owned(),
            "tls.record.content_type==20",
        ),
        TlsMessage::Alert => (
            "This end announces that it closes, or reports an error; if the alert is encrypted, only the peer can read which.".to_owned(),
            "tls.record.content_type==21",
        ),
        TlsMessage::Finished => (
            "A checksum over the whole handshake, by which the other end verifies that nobody changed it on the way.".to_owned(),
            "tls",
        ),
        TlsMessage::ApplicationData => (
            "The first encrypted data of the application: what the connection is for.".to_owned(),
            "tls.app_data",
        ),
        other => (format!("The handshake message {other}."), "tls.handshake"),
    }
}

fn join(versions: &[TlsVersion]) -> String {
    let versions: Vec<String> = versions.iter().map(ToString::to_string).collect();
    versions.join(", ")
}

#[cfg(test)]
mod tests {
    use super::{TlsHandshake, TlsMessage, tls_step};

    #[test]
    fn an_alert_is_no_handshake_message() {
        let (sentence, filter) = tls_step(TlsMessage::Alert, &TlsHandshake::default());
        assert!(!sentence.contains("handshake message"), "{sentence}");
        assert_eq!(filter, "tls.record.content_type==21");
    }
}
