//! TLS of which only the heads of bursts were captured.

use upload_protocol::{
    End::{self, Client, Server},
    timeline::{TlsMessage, TlsVersion},
};

use super::{captured, defects, feed_head};
use crate::core::payload::{Payload, Tls};

/// Feeds a conversation; each turn is one segment of which `most` bytes were captured.
fn feed(lines: &str, most: impl Fn(usize, End) -> usize) -> Payload {
    let mut payload = Payload::default();
    let mut sent = [0_u64; 2];
    for (turn, (from, bytes)) in captured(lines).iter().enumerate() {
        let sent = &mut sent[usize::from(*from == Server)];
        let len = u32::try_from(bytes.len()).unwrap_or(0);
        let head = &bytes[..bytes.len().min(most(turn, *from))];
        feed_head(&mut payload, turn as u64, *from, *sent, len, head);
        *sent += bytes.len() as u64;
    }
    payload
}

fn names(tls: &Tls, from: End) -> Vec<&'static str> {
    let steps = tls.steps.iter().filter(|step| step.from == from);
    steps.map(|step| step.name.name()).collect()
}

fn is_unknown_or<T: PartialEq>(found: &Option<T>, expected: &Option<T>) -> bool {
    found.is_none() || found == expected
}

#[test]
fn any_hole_only_leaves_out() {
    for lines in [
        include_str!("captured/tls12.hex"),
        include_str!("captured/tls12_resumed.hex"),
        include_str!("captured/tls13.hex"),
        include_str!("captured/tls13_resumed.hex"),
        include_str!("captured/tls13_retry.hex"),
        include_str!("captured/tls13_client_certificate.hex"),
    ] {
        let whole = feed(lines, |_, _| usize::MAX);
        let whole = whole.tls().cloned().unwrap_or_default();
        for (hole, (_, bytes)) in captured(lines).iter().enumerate() {
            for captured in 0..bytes.len().min(700) {
                let payload = feed(
                    lines,
                    |turn, _| if turn == hole { captured } else { usize::MAX },
                );
                assert_eq!(defects(&payload), Vec::<&str>::new(), "{hole} {captured}");
                let Some(tls) = payload.tls() else { continue };
                for step in &tls.steps {
                    let first_data = step.name == TlsMessage::ApplicationData;
                    assert!(
                        first_data || whole.steps.contains(step),
                        "{hole} {captured} {step:?}"
                    );
                }
                for record in &tls.records {
                    assert!(whole.records.contains(record), "{hole} {captured}");
                }
                assert!(is_unknown_or(&tls.server_name, &whole.server_name));
                assert!(is_unknown_or(&tls.version, &whole.version));
                assert!(is_unknown_or(&tls.cipher_suite, &whole.cipher_suite));
                assert!(
                    tls.versions_offered.is_empty()
                        || tls.versions_offered == whole.versions_offered
                );
                assert!(
                    tls.session_resumed.is_none() || tls.session_resumed == whole.session_resumed,
                    "{hole} {captured}"
                );
            }
        }
    }
}

#[test]
fn a_certificate_in_a_hole_still_has_its_length() {
    let lines = include_str!("captured/tls12.hex");
    let payload = feed(lines, |turn, _| if turn == 1 { 100 } else { usize::MAX });
    let tls = payload.tls().cloned().unwrap_or_default();
    assert_eq!(tls.certificate_bytes, Some(392));
    assert_eq!(tls.session_resumed, Some(false));
    assert_eq!(
        names(&tls, Server),
        [
            "ServerHello",
            "Certificate",
            "NewSessionTicket",
            "ChangeCipherSpec",
            "Finished",
            "ApplicationData",
            "Alert"
        ]
    );
}

#[test]
fn later_records_are_found_through_their_lengths() {
    let lines = include_str!("captured/tls12.hex");
    let payload = feed(lines, |turn, _| if turn > 4 { 5 } else { usize::MAX });
    let tls = payload.tls().cloned().unwrap_or_default();
    assert_eq!(names(&tls, Client).last(), Some(&"Alert"));
    assert_eq!(tls.records.len(), 15);
}

#[test]
fn a_truncated_hello_is_read_up_to_the_cut() {
    let payload = feed(include_str!("captured/tls13.hex"), |turn, _| {
        if turn == 0 { 130 } else { usize::MAX }
    });
    let tls = payload.tls().cloned().unwrap_or_default();
    assert_eq!(tls.server_name.as_deref(), Some("up.example"));
    assert_eq!(tls.cipher_suites_offered, 4);
    assert!(tls.versions_offered.is_empty());
    assert_eq!(tls.version, Some(TlsVersion::TLS_1_3));
    assert_eq!(defects(&payload), Vec::<&str>::new());
}
