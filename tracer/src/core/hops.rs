//! Joins the connections that carried one upload. A proxy reads a request from one connection and sends it on
//! another; the programs see which socket a thread read from before it sent on another one. So each hop leads
//! to the one before it.
//!
//! A thread that reads from several connections before it sends is credited with the last one. So both ways
//! must agree, the request's and the response's, and nothing else may have been sent after the same reads;
//! otherwise no hop is named.

mod leg;
#[cfg(test)]
mod tests;

use upload_protocol::{
    End,
    timeline::{Certainty, HopEvidence, PassedOn, UploadHop},
};

pub use self::leg::{Leg, MAX_EXCHANGES};
use self::leg::{Passing, Request};
use crate::core::event::Relay;

/// More proxies are a loop, or a mistake.
const MAX_HOPS: usize = 8;

/// A hop and what was seen of the request on it.
struct Found {
    leg: Leg,
    request: Request,
    evidence: Vec<HopEvidence>,
}

/// The hops of an upload, the client's first, up to the connection `last`; empty where no other is known to
/// have carried it. `find` gives the connection whose server has the socket with this cookie; `accepts` whether a
/// process accepts connections.
pub fn hops(
    last: &Leg,
    upload: &str,
    find: impl Fn(u64) -> Option<Leg>,
    accepts: impl Fn(u32) -> bool,
) -> Vec<UploadHop> {
    let Some(request) = last.request_of(upload) else {
        return Vec::new();
    };
    let mut chain = vec![Found {
        leg: last.clone(),
        request,
        evidence: Vec::new(),
    }];
    while let Some(behind) = chain.last().filter(|_| chain.len() < MAX_HOPS) {
        let Some(front) = in_front(behind, &find) else {
            break;
        };
        let id = front.leg.timeline.connection;
        if chain
            .iter()
            .any(|found| found.leg.timeline.connection == id)
        {
            break;
        }
        chain.push(front);
    }
    // A way whose beginning is not known has no first hop.
    let is_whole = chain.last().is_some_and(|first| {
        let client = first.leg.timeline.client.owner.pid;
        !first.leg.is_relayed() && !client.is_some_and(&accepts)
    });
    if chain.len() == 1 || !is_whole {
        return Vec::new();
    }
    chain.reverse();
    as_hops(&chain)
}

/// The hop in front of another.
fn in_front(behind: &Found, find: impl Fn(u64) -> Option<Leg>) -> Option<Found> {
    let (at_ns, relay) = behind.leg.origin(&behind.request)?;
    let leg = find(relay.read)?;
    let response = leg.response_from(&behind.leg, &behind.request)?;
    let request = leg.request_at(at_ns, response)?;
    let mut evidence = vec![evidence_of(relay), HopEvidence::Response];
    let heads = request.head.as_ref().zip(behind.request.head.as_ref());
    if heads.is_some_and(|(one, other)| one == other) {
        evidence.push(HopEvidence::Target);
    }
    let is_possible = can_carry(&request, &behind.request);
    (is_possible && leg.passes_on_to(&behind.leg, &request)).then_some(Found {
        leg,
        request,
        evidence,
    })
}

const fn evidence_of(relay: Relay) -> HopEvidence {
    if relay.connects {
        HopEvidence::Connect
    } else {
        HopEvidence::Request
    }
}

/// Whether the request on one hop may be the one on the next: it began before, its response came after, and it
/// had as many bytes.
fn can_carry(front: &Request, behind: &Request) -> bool {
    let in_order = |first: Option<u64>, then: Option<u64>| {
        first.zip(then).is_none_or(|(first, then)| first <= then)
    };
    in_order(front.passing.start_ns, behind.passing.start_ns)
        && in_order(behind.passing.response_ns, front.passing.response_ns)
        && in_order(behind.bytes, front.bytes)
}

fn as_hops(chain: &[Found]) -> Vec<UploadHop> {
    let whole = chain
        .first()
        .and_then(|first| first.request.passing.until_response());
    let behind = chain.iter().skip(1).map(Some).chain([None]);
    chain
        .iter()
        .zip(behind)
        .map(|(found, behind)| {
            let Passing {
                start_ns,
                end_ns,
                response_ns,
            } = found.request.passing;
            let timeline = &found.leg.timeline;
            let next_ns = behind.and_then(|behind| behind.request.passing.start_ns);
            let since = |from: Option<u64>, to: Option<u64>| to?.checked_sub(from?);
            UploadHop {
                connection: timeline.connection,
                client: timeline.client.clone(),
                server: timeline.server.clone(),
                tls: found.leg.tls(),
                request_mono_ns: start_ns,
                request_ns: since(start_ns, end_ns),
                wait_ns: since(end_ns, response_ns),
                share: share(found.request.passing.until_response(), whole),
                bytes: found.request.bytes,
                passed_on: next_ns.zip(end_ns).map(|(next, end)| {
                    if next < end {
                        PassedOn::Streamed
                    } else {
                        PassedOn::Buffered
                    }
                }),
                held_ns: since(start_ns, next_ns),
                certainty: Certainty::Observed,
                evidence: found.evidence.clone(),
            }
        })
        .collect()
}

fn share(part: Option<u64>, whole: Option<u64>) -> Option<f64> {
    let (part, whole) = part.zip(whole)?;
    #[expect(clippy::cast_precision_loss, reason = "a share needs no nanoseconds")]
    let share = (whole > 0).then(|| part.min(whole) as f64 / whole as f64);
    share
}

/// The end of a connection at which a proxy acts as the client of the next hop.
const OUT: End = End::Client;
/// … and as the server of the one before.
const IN: End = End::Server;
