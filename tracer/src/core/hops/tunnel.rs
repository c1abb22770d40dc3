//! A connection within which others go: the agent of a tunnel opened it long before, and it may carry several at
//! the same time. Bytes and time are all that shows it.

use std::sync::Arc;

use upload_protocol::{
    End,
    timeline::{Certainty, HopEvidence, HopRole, Protocol},
};

use super::{
    Choice, Found, OUT,
    fit::Bytes,
    leg::{Leg, Passing, Request},
};

/// An agent may have received so much earlier what it sends on once its connection is open: as much as its
/// channel's window takes (RFC 4254, section 5.2).
const AHEAD_NS: u64 = 2_000_000_000;

/// The one connection of a process that was open before the request, and on which at least as many bytes came to
/// the process until it was answered.
pub(super) fn find(all: &[(Arc<Leg>, End)], exchange: &Found, bytes: &Bytes) -> Choice {
    let Passing {
        start_ns: Some(start_ns),
        end_ns,
        response_ns,
    } = exchange.request.passing
    else {
        return Choice::None;
    };
    let from_ns = start_ns.saturating_sub(AHEAD_NS);
    let end_ns = response_ns.or(end_ns).unwrap_or(u64::MAX);
    let carries = |leg: &Leg, end: End| {
        let sender = end.other();
        let is_open = leg.timeline.at.mono_ns < start_ns;
        let is_opaque = match leg.protocol() {
            // In the clear, it would show the request itself.
            Protocol::Http1 => false,
            // A client's own connection looks the same. The agent of a tunnel receives as a client.
            Protocol::Tls | Protocol::Http2 | Protocol::Unknown => end == OUT,
            Protocol::Other => true,
        };
        is_open && is_opaque && leg.bytes_between(sender, from_ns, end_ns) >= bytes.least().max(1)
    };
    let mut fits = all.iter().filter(|(leg, end)| carries(leg, *end));
    let Some((leg, end)) = fits.next() else {
        return Choice::None;
    };
    let others = fits.count();
    if others > 0 {
        return Choice::Several(u32::try_from(others + 1).unwrap_or(u32::MAX));
    }
    Choice::One(Box::new(Found {
        leg: Arc::clone(leg),
        role: HopRole::Tunnel,
        sender: end.other(),
        request: Request {
            passing: Passing::default(),
            bytes: None,
            ..exchange.request.clone()
        },
        evidence: vec![HopEvidence::Bytes, HopEvidence::Time],
        certainty: Certainty::Inferred,
        process: 0,
        sizes: None,
    }))
}
