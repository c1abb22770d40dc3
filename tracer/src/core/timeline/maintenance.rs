//! What the open connection was used for.

use upload_protocol::{
    End,
    timeline::{Bytes, Certainty, Maintenance, PerEnd},
    upload::Upload,
};

use super::{Origin, exchange::exchanges, tls};
use crate::core::connection::{Connection, View};

/// From the end of the initiation to the beginning of the termination.
pub(super) fn maintenance(
    connection: &Connection,
    uploads: &[Upload],
    bytes: Bytes,
    (start_ns, end_ns): (Option<u64>, Option<u64>),
    origin: Origin,
) -> Maintenance {
    let payload = &connection.dialogue.payload;
    let mut changed = connection.views().filter(|(_, view)| view.last().is_some());
    let counted = changed.next().map(|(_, view)| view.counted);
    Maintenance {
        start_ns,
        end_ns,
        certainty: if start_ns.is_some() && end_ns.is_some() {
            Certainty::Observed
        } else {
            Certainty::Unknown
        },
        protocol: payload.protocol(),
        tls: payload.tls().map(|tls| tls::handshake(tls, origin)),
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
        congestion_window: per_end(connection, |view| {
            Some(view.counted.snd_cwnd.into()).filter(|window| *window > 0)
        }),
        retransmitted_bytes: per_end(connection, |view| {
            Some(view.incidents().retransmitted_bytes)
        }),
    }
}

/// A count of each socket that is closed: the counters are those of the last change of state, and so
/// unknown while a socket is open.
fn per_end(connection: &Connection, count: impl Fn(&View) -> Option<u64>) -> PerEnd {
    let of = |end| {
        let closed = connection.view(end).filter(|view| view.is_closed());
        closed.and_then(&count)
    };
    PerEnd {
        client: of(End::Client),
        server: of(End::Server),
    }
}

#[cfg(test)]
mod tests;
