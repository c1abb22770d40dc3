//! What the open connection was used for.

use serde::Serialize;
use upload_server::record::Upload;

use super::{
    Bytes, Certainty, Origin,
    exchange::{Exchange, exchanges},
    tls::TlsHandshake,
};
use crate::core::{
    connection::Connection,
    event::State,
    payload::{Http2Frames, Malformed, Protocol},
};

/// The phase from ESTABLISHED to the first FIN or RST.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Maintenance {
    /// When the last end that was seen was ESTABLISHED; `null` where that was before the tracer.
    pub start_ns: Option<u64>,
    /// When the first end left it, and not before the last entered it; `null` where none has left.
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
    /// What the payload's bytes lie about.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub malformed: Vec<Malformed>,
    /// Smoothed round-trip time at the end, of the client's socket, or else of the server's.
    pub rtt_ns: Option<u64>,
    /// The smallest, likewise.
    pub min_rtt_ns: Option<u64>,
    /// What it means, in a sentence; where explanations were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub explain: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands it over so")]
const fn is_zero(count: &usize) -> bool {
    *count == 0
}

impl Maintenance {
    pub(super) fn of(
        connection: &Connection,
        uploads: &[Upload],
        bytes: Bytes,
        origin: Origin,
    ) -> Self {
        let established = connection
            .views()
            .filter_map(|(_, view)| view.entered(State::Established))
            .map(|seen| seen.mono_ns)
            .max();
        let left = connection
            .views()
            .flat_map(|(_, view)| &view.transitions)
            .filter(|seen| seen.old == State::Established)
            .map(|seen| seen.mono_ns)
            .min()
            .map(|left| left.max(established.unwrap_or(left)));
        let payload = &connection.dialogue.payload;
        let mut changed = connection.views().filter(|(_, view)| view.last().is_some());
        let counted = changed.next().map(|(_, view)| view.counted);
        Self {
            start_ns: established.map(|at| origin.since(at)),
            end_ns: left.map(|at| origin.since(at)),
            certainty: if established.is_some() && left.is_some() {
                Certainty::Observed
            } else {
                Certainty::Unknown
            },
            protocol: payload.protocol(),
            tls: payload.tls().map(|tls| TlsHandshake::of(tls, origin)),
            http2: payload.http2_frames().cloned(),
            exchanges: exchanges(connection, uploads, bytes, origin),
            exchanges_left_out: payload.exchanges_left_out(),
            malformed: payload.malformed().to_vec(),
            rtt_ns: counted
                .map(|counted| u64::from(counted.srtt_us_8) * 1000 / 8)
                .filter(|rtt| *rtt > 0),
            min_rtt_ns: counted
                .map(|counted| counted.min_rtt_us)
                .filter(|rtt| *rtt > 0 && *rtt < u32::MAX)
                .map(|rtt| u64::from(rtt) * 1000),
            explain: None,
        }
    }
}

#[cfg(test)]
mod tests;
