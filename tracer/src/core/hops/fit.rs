//! Whether a request on one connection may be the one on the next, and what speaks for it.

use std::sync::Arc;

use upload_protocol::{
    End,
    timeline::{Certainty, HopEvidence, HopRole},
};

use super::{
    Found, Sizes,
    leg::{Leg, Request},
};

/// What a request's head may take, which a proxy writes anew.
const HEAD_BYTES: u64 = 4_096;

/// Bytes of a request's body.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bytes {
    /// As many arrived at least.
    least: u64,
    /// Whether these are all.
    is_all: bool,
}

impl Bytes {
    /// Of the upload, as its last connection shows them.
    pub(super) fn of(request: &Request) -> Self {
        let arrived = request.bytes.unwrap_or(0);
        // Of a form, the bytes of its files are known, and the length of all of it.
        let all = request.content_length.filter(|length| *length >= arrived);
        let is_answered_early = request.passing.response_ns < request.passing.end_ns;
        Self {
            least: match all {
                Some(length) if !is_answered_early && arrived > 0 => length,
                _ => arrived,
            },
            is_all: !is_answered_early && (all.is_some() || request.bytes.is_some()),
        }
    }

    pub(super) const fn least(&self) -> u64 {
        self.least
    }

    /// All of them, where that is known.
    fn all(&self) -> Option<u64> {
        self.is_all.then_some(self.least)
    }

    /// Whether so many bytes, with heads, frames and TLS records, may be these.
    pub(super) const fn allow(&self, hidden: u64) -> bool {
        let most = self.least.saturating_add(self.least / 64);
        let most = most.saturating_add(HEAD_BYTES);
        hidden >= self.least && (!self.is_all || hidden <= most)
    }
}

/// A request that may be the one on the connection behind.
#[derive(Clone, Debug)]
pub(super) struct Fit {
    pub(super) found: Found,
    /// How much speaks for it.
    weight: u32,
    /// From the response on the connection behind to its own; `None` where one of them was not seen.
    gap_ns: Option<u64>,
}

/// Those that fit best.
#[derive(Debug)]
pub(super) enum Fitting {
    None,
    One(Box<Fit>),
    /// On several connections.
    Several(Vec<Fit>),
}

impl Fitting {
    pub(super) fn into_fits(self) -> Vec<Fit> {
        match self {
            Self::None => Vec::new(),
            Self::One(fit) => vec![*fit],
            Self::Several(fits) => fits,
        }
    }

    pub(super) const fn count(&self) -> usize {
        match self {
            Self::None => 0,
            Self::One(_) => 1,
            Self::Several(fits) => fits.len(),
        }
    }
}

/// An identifier that no two connections share.
const IDENTITY: u32 = 1_000;
/// Clients choose them: many requests may have the same.
const SAME_ID: u32 = 40;
/// A thread was seen to pass on both ways, and nothing else in between.
const BOTH_WAYS: u32 = 20;
const SAME_TARGET: u32 = 20;
const SAME_LENGTH: u32 = 10;
/// A proxy may leave out where its own files begin.
const TARGET_ENDS_SO: u32 = 5;
/// A thread that reads from several connections first is credited with the last one.
const ONE_WAY: u32 = 3;
const SAME_HOST: u32 = 1;
/// Less is no difference.
const MARGIN: u32 = 8;

impl Fit {
    /// `upload`: the request as the last connection has it, in the clear or by its server's report.
    pub(super) fn new(
        leg: &Arc<Leg>,
        request: Request,
        behind: &Found,
        upload: &Request,
    ) -> Option<Self> {
        let (own, next) = (request.passing, behind.request.passing);
        let gap_ns = own.response_ns.zip(next.response_ns);
        let mut fit = Self {
            found: Found {
                leg: Arc::clone(leg),
                role: HopRole::Exchange,
                sender: End::Client,
                request,
                evidence: Vec::new(),
                certainty: Certainty::Inferred,
                process: 0,
                sizes: None,
            },
            weight: 0,
            gap_ns: gap_ns.map(|(own, next)| own.saturating_sub(next)),
        };
        fit.weigh_addresses(behind);
        fit.weigh_threads(behind);
        let is_possible =
            fit.weigh_heads(behind, upload) && fit.weigh_bytes(upload) && fit.weigh_times(behind);
        is_possible.then_some(fit)
    }

    /// Whether nothing but a number of bytes shows where its request began.
    pub(super) const fn is_doubtful(&self) -> bool {
        self.found.request.is_doubtful && !self.is_sure()
    }

    /// Whether more than bytes and times speak for it.
    pub(super) const fn is_sure(&self) -> bool {
        self.weight >= MARGIN
    }

    fn add(&mut self, evidence: HopEvidence, weight: u32) {
        self.found.evidence.push(evidence);
        self.weight += weight;
        if weight >= IDENTITY {
            self.found.certainty = Certainty::Observed;
        }
    }

    fn weigh_addresses(&mut self, behind: &Found) {
        let leg = Arc::clone(&self.found.leg);
        let client = leg.client_address();
        if let Some((named, _)) = behind.leg.proxied {
            // A proxy that was sent such a header may pass that one on.
            let before = leg.proxied.map(|(client, _)| client);
            if Some(named) == client || Some(named) == before {
                self.add(HopEvidence::ProxyProtocol, IDENTITY);
            }
        }
        if let Some((ip, port)) = behind.request.marks.forwarded_for
            && client.is_some_and(|client| client.ip() == ip)
        {
            match port {
                None => self.add(HopEvidence::Forwarded, SAME_HOST),
                Some(port) if client.is_some_and(|client| client.port() == port) => {
                    self.add(HopEvidence::Forwarded, IDENTITY);
                }
                Some(_) => {}
            }
        }
        if leg.hello.is_some() && leg.hello == behind.leg.hello {
            self.add(HopEvidence::ClientHello, IDENTITY);
        }
    }

    /// By the order of a thread's system calls.
    fn weigh_threads(&mut self, behind: &Found) {
        if behind.role == HopRole::Tunnel {
            return;
        }
        let (leg, request) = (Arc::clone(&self.found.leg), self.found.request.clone());
        let [_, server] = leg.sockets;
        let start_ns = request.passing.start_ns.unwrap_or(0);
        let origin = behind.leg.origin(&behind.request);
        let origin = origin
            .filter(|(at_ns, relay)| Some(relay.read) == server && *at_ns >= start_ns)
            .map(|(_, relay)| relay);
        let is_response = leg.is_response_from(&behind.leg, &request);
        let is_both = origin.is_some() && is_response && leg.passes_on_to(&behind.leg, &request);
        if let Some(relay) = origin {
            let evidence = if relay.connects {
                HopEvidence::Connect
            } else {
                HopEvidence::Request
            };
            self.add(evidence, ONE_WAY);
        }
        if is_response {
            self.add(HopEvidence::Response, ONE_WAY);
        }
        if is_both {
            self.weight += BOTH_WAYS;
            self.found.certainty = Certainty::Observed;
        }
    }

    fn weigh_heads(&mut self, behind: &Found, upload: &Request) -> bool {
        let (own, next) = (self.found.request.marks, behind.request.marks);
        let is_same = |own: Option<u64>, next: Option<u64>| own.is_some() && own == next;
        if is_same(own.request_id, next.request_id) || is_same(own.trace_id, next.trace_id) {
            self.add(HopEvidence::RequestId, SAME_ID);
        }
        let own = self.found.request.head.clone();
        let Some(((method, target), (expected, other))) = own.zip(upload.head.as_ref()) else {
            return true;
        };
        if target == *other {
            self.add(HopEvidence::Target, SAME_TARGET);
        } else if target.ends_with(other) || other.ends_with(&target) {
            self.weight += TARGET_ENDS_SO;
        }
        method == *expected
    }

    fn weigh_bytes(&mut self, upload: &Request) -> bool {
        let request = &self.found.request;
        let announced = request.content_length.zip(upload.content_length);
        match announced {
            Some((own, next)) if own == next => {
                self.add(HopEvidence::Bytes, SAME_LENGTH);
                true
            }
            Some(_) => false,
            None if request.head.is_some() => {
                let least = upload.bytes.unwrap_or(0);
                request.bytes.is_none_or(|bytes| bytes >= least)
            }
            // It was looked for by its bytes.
            None if request.bytes.is_some() => {
                let hidden = request.bytes;
                self.found.sizes = Bytes::of(upload).all().zip(hidden).map(Sizes::from);
                self.add(HopEvidence::Bytes, 0);
                true
            }
            None => false,
        }
    }

    /// A request is received before it is passed on, and its response likewise.
    fn weigh_times(&mut self, behind: &Found) -> bool {
        let (own, next) = (self.found.request.passing, behind.request.passing);
        let in_order = |first: Option<u64>, then: Option<u64>| {
            first.zip(then).is_none_or(|(first, then)| first <= then)
        };
        let is_whole = [
            own.start_ns,
            own.response_ns,
            next.start_ns,
            next.response_ns,
        ];
        if is_whole.iter().all(Option::is_some) {
            self.add(HopEvidence::Time, 0);
        }
        in_order(own.start_ns, next.start_ns) && in_order(next.response_ns, own.response_ns)
    }
}

/// The one for which the most speaks, or those that fit as well as it.
pub(super) fn choose(mut fits: Vec<Fit>) -> Fitting {
    fits.sort_by_key(|fit| {
        let gap_ns = fit.gap_ns.unwrap_or(u64::MAX);
        (std::cmp::Reverse(fit.weight), gap_ns)
    });
    let Some(most) = fits.first().map(|fit| fit.weight) else {
        return Fitting::None;
    };
    fits.retain(|fit| fit.weight + MARGIN > most);
    fits.sort_by_key(|fit| fit.gap_ns.unwrap_or(u64::MAX));
    // Of several requests on one connection, the one that was answered first.
    let mut known = Vec::new();
    fits.retain(|fit| {
        let id = fit.found.leg.timeline.connection;
        let is_new = !known.contains(&id);
        known.push(id);
        is_new
    });
    if fits.len() > 1 {
        return Fitting::Several(fits);
    }
    fits.pop()
        .map_or(Fitting::None, |fit| Fitting::One(Box::new(fit)))
}
