//! The TLS handshake as a part of the maintenance phase.

use upload_protocol::timeline::{
    Certainty, TlsAlert, TlsHandshake, TlsMessage, TlsRecord, TlsStep,
};

use super::Origin;
use crate::core::payload::Tls;

pub(super) fn handshake(tls: &Tls, origin: Origin) -> TlsHandshake {
    let finished = tls
        .steps
        .iter()
        .rfind(|step| step.name == TlsMessage::Finished);
    TlsHandshake {
        start_ns: tls
            .records
            .first()
            .map(|record| origin.since(record.mono_ns)),
        end_ns: finished.map(|step| origin.since(step.mono_ns)),
        steps: tls
            .steps
            .iter()
            .map(|step| TlsStep {
                name: step.name,
                at_ns: origin.since(step.mono_ns),
                from: step.from,
                certainty: if step.inferred {
                    Certainty::Inferred
                } else {
                    Certainty::Observed
                },
            })
            .collect(),
        server_name: tls.server_name.clone(),
        version: tls.version,
        versions_offered: tls.versions_offered.clone(),
        cipher_suite: tls.cipher_suite.clone(),
        cipher_suites_offered: tls.cipher_suites_offered,
        alpn_offered: tls.alpn_offered.clone(),
        alpn: tls.alpn.clone(),
        session_resumed: tls.session_resumed,
        certificate_bytes: tls.certificate_bytes,
        records: tls
            .records
            .iter()
            .map(|record| TlsRecord {
                name: record.name,
                from: record.from,
                length: record.length,
            })
            .collect(),
        alerts: tls
            .alerts
            .iter()
            .map(|alert| TlsAlert {
                at_ns: origin.since(alert.mono_ns),
                from: alert.from,
                level: alert.level,
                description: alert.description.clone(),
            })
            .collect(),
    }
}
