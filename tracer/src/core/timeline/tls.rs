//! The TLS handshake as a part of the maintenance phase.

use serde::Serialize;

use super::{Certainty, Origin};
use crate::core::{end::End, payload::Tls};

/// What is said of TLS in the clear, and what follows from it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct TlsHandshake {
    /// When the first record was sent.
    pub start_ns: Option<u64>,
    /// When the last Finished was sent.
    pub end_ns: Option<u64>,
    /// The messages.
    pub steps: Vec<TlsStep>,
    /// The host that the client asked for.
    pub server_name: Option<String>,
    /// The version chosen.
    pub version: Option<String>,
    /// The versions offered.
    pub versions_offered: Vec<String>,
    /// The cipher suite chosen.
    pub cipher_suite: Option<String>,
    /// How many were offered.
    pub cipher_suites_offered: usize,
    /// The application protocols offered.
    pub alpn_offered: Vec<String>,
    /// The one chosen, where it is in the clear: before TLS 1.3.
    pub alpn: Option<String>,
    /// Whether an earlier session went on; `null` where that cannot be told.
    pub session_resumed: Option<bool>,
    /// Length of the server's Certificate message, where it is in the clear: before TLS 1.3.
    pub certificate_bytes: Option<u64>,
    /// The types of the records whose headers were seen, in order, at most 64 of each end.
    pub records: Vec<TlsRecord>,
    /// Alerts.
    pub alerts: Vec<TlsAlert>,
}

/// A handshake message, ChangeCipherSpec, or the first application data of an end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TlsStep {
    /// Its name in RFC 8446 or RFC 5246.
    pub name: &'static str,
    /// When.
    pub at_ns: u64,
    /// Who sent it.
    pub from: End,
    /// Observed in the clear, or inferred from an encrypted record's place and length.
    pub certainty: Certainty,
    /// What it means, in a sentence; where explanations were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub explain: Option<String>,
}

/// A record's type and length.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TlsRecord {
    /// The name of its type.
    pub name: &'static str,
    /// Who sent it.
    pub from: End,
    /// Bytes after its header.
    pub length: u16,
}

/// An alert.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TlsAlert {
    /// When.
    pub at_ns: u64,
    /// Who sent it.
    pub from: End,
    /// `warning` or `fatal`, where it is in the clear.
    pub level: Option<&'static str>,
    /// Its name, or `encrypted`.
    pub description: String,
}

impl TlsHandshake {
    pub(super) fn of(tls: &Tls, origin: Origin) -> Self {
        let finished = tls.steps.iter().rfind(|step| step.name == "Finished");
        Self {
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
                    explain: None,
                })
                .collect(),
            server_name: tls.server_name.clone(),
            version: tls.version.clone(),
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
}
