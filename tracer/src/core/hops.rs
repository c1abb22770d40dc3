//! Joins the connections that carried one upload. A proxy receives a request on one connection and passes it on
//! another one. So each connection leads to the one in front of it, by the process that holds both.
//!
//! Of the connections that this process has, those remain whose request came before, whose response came after,
//! and that have as many bytes. Among them, identifiers decide, then what a thread of the process was seen to
//! pass on, then requests in the clear. Where several are left, no hop is named.

mod excess;
mod fit;
mod hidden;
mod leg;
#[cfg(test)]
mod tests;
mod tunnel;

use std::sync::Arc;

use upload_protocol::{
    ConnectionId, End,
    timeline::{Certainty, HopEvidence, HopRole, PassedOn, UploadHop},
};

pub use self::{
    excess::{Excess, Sizes},
    leg::{Leg, MAX_EXCHANGES, Sought, requests_of},
};
use self::{
    fit::{Bytes, Fit, Fitting, choose},
    leg::{Passing, Request, processes},
};

/// More proxies are a loop, or a mistake.
const MAX_HOPS: usize = 8;

/// The connections in which an upload's way is looked for.
pub trait Legs {
    /// Whether a process may pass on what it receives: it accepts connections and opens others, or it opens
    /// connections to several servers.
    fn is_intermediary(&self, process: u32) -> bool;

    /// Whether a process accepts connections.
    fn accepts(&self, process: u32) -> bool;

    /// The connections of such a process that may have carried the request, each with the end that it holds.
    fn of_process(&self, process: u32, sought: &Sought) -> Vec<(Arc<Leg>, End)>;

    /// Whether a request was found to be in front of another one before.
    fn is_taken(&self, front: RequestName, behind: RequestName) -> bool;

    /// What the latest joins of a process have in common.
    fn usual_excess(&self, process: u32) -> Option<Excess>;

    /// The requests in the clear that a process sent and that began between two moments, CLOCK_MONOTONIC.
    fn sent_by(&self, process: u32, from_ns: u64, to_ns: u64) -> Vec<Sent>;
}

/// A request, and the one behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Join {
    /// The process that passed it on.
    pub process: u32,
    pub front: RequestName,
    pub behind: RequestName,
    /// Where the request in front is encrypted.
    pub sizes: Option<Sizes>,
}

/// A request of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    pub connection: ConnectionId,
    /// When it began, CLOCK_MONOTONIC.
    pub start_ns: u64,
    /// Bytes of its body.
    pub bytes: u64,
}

/// Names a request: its connection, and its number there; an encrypted one has the time when it began instead,
/// CLOCK_MONOTONIC.
pub type RequestName = (ConnectionId, u64);

/// What is known of an upload's way.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Way {
    /// The client's connection first; empty where no other than the last one is known.
    pub hops: Vec<UploadHop>,
    /// How many connections may be in front, where it is not known which.
    pub ambiguous: Option<u32>,
    pub joins: Vec<Join>,
    /// Whether a process is on it whose other connection does not show the request, or not yet.
    pub is_open: bool,
}

impl Way {
    /// A way whose beginning is not known has no first hop.
    fn open(ambiguous: Option<u32>) -> Self {
        Self {
            ambiguous,
            is_open: true,
            ..Self::default()
        }
    }
}

/// A hop and what was seen of the request on it.
#[derive(Clone, Debug)]
struct Found {
    leg: Arc<Leg>,
    role: HopRole,
    sender: End,
    request: Request,
    evidence: Vec<HopEvidence>,
    certainty: Certainty,
    /// The process that passed the request on to the next hop.
    process: u32,
    /// Where it is encrypted, and that did not decide.
    sizes: Option<Sizes>,
}

impl Found {
    fn name(&self) -> RequestName {
        let start_ns = self.request.passing.start_ns.unwrap_or_default();
        let number = self.request.number.map(u64::from);
        (self.leg.timeline.connection, number.unwrap_or(start_ns))
    }
}

/// What is known of the connection in front of another.
#[derive(Debug)]
enum Choice {
    None,
    One(Box<Found>),
    /// So many connections fit, and none better than the others.
    Several(u32),
}

/// The way of an upload to the connection `last`.
pub fn way(last: &Arc<Leg>, upload: &str, legs: &impl Legs) -> Way {
    let Some(request) = last.request_of(upload) else {
        return Way::default();
    };
    let upload = request.clone();
    let mut chain = vec![Found {
        leg: Arc::clone(last),
        role: HopRole::Exchange,
        sender: End::Client,
        request,
        evidence: Vec::new(),
        certainty: Certainty::Observed,
        process: 0,
        sizes: None,
    }];
    while let Some(behind) = chain.last().filter(|_| chain.len() < MAX_HOPS) {
        let sender = behind.leg.endpoint(behind.sender);
        let process = processes(sender).find(|process| legs.is_intermediary(*process));
        let Some(process) = process else {
            // It had read elsewhere before it sent: it is not the client, and what it read was not seen.
            if behind.leg.is_relayed() {
                return Way::open(None);
            }
            break;
        };
        match in_front(&chain, process, &upload, legs) {
            Choice::One(found) => chain.push(*found),
            // It opened connections to several servers, and accepts none: it is the client, or the agent of a tunnel
            // whose bytes are not known yet.
            Choice::None if !legs.accepts(process) && chain.len() > 1 => break,
            Choice::None => return Way::open(None),
            Choice::Several(count) => return Way::open(Some(count)),
        }
    }
    if chain.len() == 1 {
        return Way::default();
    }
    if chain
        .last()
        .is_some_and(|first| first.role == HopRole::Tunnel)
    {
        return Way::open(None);
    }
    let exchanges = chain.iter().filter(|found| found.role == HopRole::Exchange);
    let joins = exchanges.clone().skip(1).zip(exchanges);
    let joins = joins.map(|(front, behind)| Join {
        process: front.process,
        front: front.name(),
        behind: behind.name(),
        sizes: front.sizes,
    });
    let joins = joins.collect();
    chain.reverse();
    Way {
        hops: as_hops(&chain),
        ambiguous: None,
        joins,
        is_open: false,
    }
}

/// The hop in front of the last one of the chain.
fn in_front(chain: &[Found], process: u32, upload: &Request, legs: &impl Legs) -> Choice {
    let Some((exchange, role)) = latest_exchange(chain) else {
        return Choice::None;
    };
    let bytes = Bytes::of(upload);
    let Some(sought) = Sought::of(exchange, &bytes) else {
        return Choice::None;
    };
    let is_new = |leg: &Leg| {
        let mut known = chain.iter();
        known.all(|found| found.leg.timeline.connection != leg.timeline.connection)
    };
    let mut all = legs.of_process(process, &sought);
    all.retain(|(leg, _)| is_new(leg));
    let behind = Found {
        role,
        ..exchange.clone()
    };
    let accepted = || all.iter().filter(|(_, end)| *end == IN);
    let fits = accepted().flat_map(|(leg, _)| {
        let requests = leg.requests(&behind.request.passing, &bytes);
        let fits = requests.into_iter();
        fits.filter_map(|request| Fit::new(leg, request, &behind, upload))
    });
    let fits = fits.filter(|fit| !legs.is_taken(fit.found.name(), behind.name()));
    let fits = fits.map(|mut fit| {
        fit.found.process = process;
        fit
    });
    let (doubtful, clear): (Vec<Fit>, Vec<Fit>) = fits.partition(Fit::is_doubtful);
    match (choose(clear), choose(doubtful)) {
        (Fitting::None, Fitting::None) => tunnel::find(&all, &behind, &bytes),
        (Fitting::One(fit), others) if fit.is_sure() || others.count() == 0 => {
            excess::confirm(*fit, process, legs)
        }
        // All that the process received then came over this connection.
        (Fitting::None, Fitting::One(mut fit)) if accepted().count() == 1 => {
            fit.found.sizes = None;
            Choice::One(Box::new(fit.found))
        }
        (clear, doubtful) => excess::choose(clear.into_fits(), doubtful.count(), process, legs),
    }
}

/// The last connection of a chain that carried a request, and the role of the last one: a tunnel has no times of
/// its own.
fn latest_exchange(chain: &[Found]) -> Option<(&Found, HopRole)> {
    let mut latest = chain.iter().rev();
    let exchange = latest.find(|found| found.role == HopRole::Exchange)?;
    Some((exchange, chain.last()?.role))
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
                role: found.role,
                client: timeline.client.clone(),
                server: timeline.server.clone(),
                sender: found.sender,
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
                certainty: found.certainty,
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
