//! Handshakes of OpenSSL; tshark shows the same.

use upload_protocol::{
    End,
    timeline::{AlertLevel, Protocol, TlsVersion},
};

use super::{captured, defects, feed_whole};
use crate::core::payload::Tls;

/// A line per step; `~` marks an inferred one.
fn steps(tls: &Tls) -> Vec<String> {
    let line = |step: &crate::core::payload::TlsStep| {
        let who = if step.from == End::Client { "C" } else { "S" };
        let mark = if step.inferred { "~" } else { "" };
        format!("{who} {mark}{}", step.name)
    };
    tls.steps.iter().map(line).collect()
}

/// Version, cipher suite, whether resumed, the certificate's bytes, the records of each end.
fn facts(tls: &Tls) -> String {
    format!(
        "{} {} resumed={:?} certificate={:?} records={}",
        tls.version
            .map_or("?".to_owned(), |version| version.to_string()),
        tls.cipher_suite.as_deref().unwrap_or("?"),
        tls.session_resumed,
        tls.certificate_bytes,
        tls.records.len()
    )
}

fn check(lines: &str, expected_facts: &str, expected_steps: &[&str]) {
    let payload = feed_whole(&captured(lines));
    assert_eq!(payload.protocol(), Protocol::Tls);
    assert_eq!(defects(&payload), Vec::<&str>::new());
    let tls = payload.tls().cloned().unwrap_or_default();
    assert_eq!(facts(&tls), expected_facts);
    assert_eq!(steps(&tls), expected_steps);
}

#[test]
fn tls_1_3() {
    let lines = include_str!("captured/tls13.hex");
    let steps = [
        "C ClientHello",
        "S ServerHello",
        "S ChangeCipherSpec",
        "S ~Finished",
        "C ChangeCipherSpec",
        "C ~Finished",
        "C ~ApplicationData",
    ];
    check(
        lines,
        "TLS 1.3 TLS_AES_256_GCM_SHA384 resumed=Some(false) certificate=None records=15",
        &steps,
    );
    let payload = feed_whole(&captured(lines));
    let tls = payload.tls().cloned().unwrap_or_default();
    assert_eq!(tls.server_name.as_deref(), Some("up.example"));
    assert_eq!(tls.alpn_offered, ["h2", "http/1.1"]);
    assert_eq!(tls.alpn, None);
    assert_eq!(tls.versions_offered, [TlsVersion::TLS_1_3]);
    assert_eq!(tls.cipher_suites_offered, 4);
}

#[test]
fn tls_1_3_resumed() {
    check(
        include_str!("captured/tls13_resumed.hex"),
        "TLS 1.3 TLS_AES_256_GCM_SHA384 resumed=Some(true) certificate=None records=12",
        &[
            "C ClientHello",
            "S ServerHello",
            "S ChangeCipherSpec",
            "S ~Finished",
            "C ChangeCipherSpec",
            "C ~Finished",
            "C ~ApplicationData",
        ],
    );
}

#[test]
fn tls_1_3_with_a_retry() {
    check(
        include_str!("captured/tls13_retry.hex"),
        "TLS 1.3 TLS_AES_256_GCM_SHA384 resumed=Some(false) certificate=None records=17",
        &[
            "C ClientHello",
            "S HelloRetryRequest",
            "S ChangeCipherSpec",
            "C ChangeCipherSpec",
            "C ClientHello",
            "S ServerHello",
            "S ~Finished",
            "C ~Finished",
            "C ~ApplicationData",
        ],
    );
}

#[test]
fn tls_1_3_with_a_client_certificate() {
    check(
        include_str!("captured/tls13_client_certificate.hex"),
        "TLS 1.3 TLS_AES_256_GCM_SHA384 resumed=Some(false) certificate=None records=18",
        &[
            "C ClientHello",
            "S ServerHello",
            "S ChangeCipherSpec",
            "S ~Finished",
            "C ChangeCipherSpec",
            "C ~Finished",
            "C ~ApplicationData",
        ],
    );
}

#[test]
fn tls_1_3_refused() {
    let lines = include_str!("captured/tls13_alert.hex");
    check(
        lines,
        "TLS 1.3 TLS_AES_256_GCM_SHA384 resumed=Some(false) certificate=None records=8",
        &[
            "C ClientHello",
            "S ServerHello",
            "S ChangeCipherSpec",
            "C Alert",
        ],
    );
    let payload = feed_whole(&captured(lines));
    let alerts = payload
        .tls()
        .map(|tls| tls.alerts.clone())
        .unwrap_or_default();
    assert_eq!(alerts.len(), 1);
    assert_eq!(alerts[0].level, Some(AlertLevel::Fatal));
    assert_eq!(alerts[0].description, "unknown_ca");
}

#[test]
fn tls_1_2() {
    let lines = include_str!("captured/tls12.hex");
    check(
        lines,
        "TLS 1.2 TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 resumed=Some(false) \
         certificate=Some(392) records=15",
        &[
            "C ClientHello",
            "S ServerHello",
            "S Certificate",
            "S ServerKeyExchange",
            "S ServerHelloDone",
            "C ClientKeyExchange",
            "C ChangeCipherSpec",
            "C ~Finished",
            "S NewSessionTicket",
            "S ChangeCipherSpec",
            "S ~Finished",
            "C ApplicationData",
            "S ApplicationData",
            "S Alert",
            "C Alert",
        ],
    );
    let payload = feed_whole(&captured(lines));
    let tls = payload.tls().cloned().unwrap_or_default();
    assert_eq!(tls.alpn.as_deref(), Some("h2"));
    assert_eq!(tls.versions_offered, [TlsVersion::TLS_1_2]);
    assert!(
        tls.alerts
            .iter()
            .all(|alert| alert.description == "encrypted")
    );
}

#[test]
fn tls_1_2_resumed() {
    check(
        include_str!("captured/tls12_resumed.hex"),
        "TLS 1.2 TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 resumed=Some(true) \
         certificate=None records=10",
        &[
            "C ClientHello",
            "S ServerHello",
            "S ChangeCipherSpec",
            "S ~Finished",
            "C ChangeCipherSpec",
            "C ~Finished",
            "C ApplicationData",
            "S ApplicationData",
            "S Alert",
            "C Alert",
        ],
    );
}

/// A hello of draft 16, as in `tls13draft16-ff52.a01.pcap` of Zeek.
#[test]
fn the_hello_of_an_early_draft() {
    let mut hello = vec![0x7f, 0x10];
    hello.extend([7; 32]);
    hello.extend([0x13, 0x03, 0, 0]);
    let length = u8::try_from(hello.len()).unwrap();
    let record = [&[0x16, 3, 1, 0, length + 4, 2, 0, 0, length][..], &hello].concat();
    let payload = feed_whole(&[(End::Server, record)]);
    let tls = payload.tls().unwrap();
    assert_eq!(
        tls.cipher_suite.as_deref(),
        Some("TLS_CHACHA20_POLY1305_SHA256")
    );
    assert_eq!(tls.version, Some(TlsVersion(0x7f10)));
    assert!(payload.malformed().is_empty());
}
