//! What is known of one connection of an upload's way.

use std::borrow::Cow;

use upload_protocol::{
    End,
    timeline::{Exchange, Timeline, TlsVersion},
};

use super::{IN, OUT};
use crate::core::{
    connection::{Connection, Incidents, Relays},
    event::Relay,
    payload::Turns,
};

/// What a thread sends within this time may be of the same turn of its loop.
const SAME_TURN_NS: u64 = 1_000_000;

/// A connection may carry a thousand requests, with long targets; an upload is joined soon after its response.
pub const MAX_EXCHANGES: usize = 64;

/// A connection that may be a part of an upload's way.
#[derive(Clone, Debug)]
pub struct Leg {
    pub timeline: Timeline,
    /// Where its payload changes its direction, as far as that was kept.
    pub(super) turns: Turns,
    /// From which sockets a thread had read before it acted on the client's socket, and on the server's.
    pub(super) relays: [Relays; 2],
    /// On which sockets a thread acted after it had read from the client's socket, and from the server's.
    pub(super) relayed: [Relays; 2],
    /// The cookies of the client's socket and of the server's.
    pub(super) sockets: [Option<u64>; 2],
    /// How many bytes the client has sent at least.
    pub(super) sent: u64,
}

/// A request and its response on a connection.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) passing: Passing,
    /// Bytes of its body where that is in the clear, else all that the client sent for it.
    pub(super) bytes: Option<u64>,
    /// Its method and target, in the clear.
    pub(super) head: Option<(Cow<'static, str>, String)>,
    /// When the response before it was passed on; 0 before the first.
    after_ns: u64,
    /// Whether it is the first one on its connection.
    is_first: bool,
}

/// When a request passed, CLOCK_MONOTONIC.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Passing {
    /// Its first byte.
    pub(super) start_ns: Option<u64>,
    /// Its last byte.
    pub(super) end_ns: Option<u64>,
    /// The first byte of the response.
    pub(super) response_ns: Option<u64>,
}

impl Passing {
    pub(super) fn until_response(self) -> Option<u64> {
        self.response_ns?.checked_sub(self.start_ns?)
    }
}

impl Leg {
    /// A connection, with its timeline so far, of which the latest exchanges are kept.
    #[must_use]
    pub fn new(connection: &Connection, mut timeline: Timeline) -> Self {
        if let Some(phase) = timeline.maintenance_mut() {
            let older = phase.exchanges.len().saturating_sub(MAX_EXCHANGES);
            phase.exchanges.drain(..older);
        }
        let of = |end, which: fn(&Incidents) -> &Relays| {
            let view = connection.view(end);
            view.map(|view| which(view.incidents()).clone())
                .unwrap_or_default()
        };
        let payload = &connection.dialogue.payload;
        Self {
            timeline,
            turns: payload.turns().cloned().unwrap_or_default(),
            relays: [OUT, IN].map(|end| of(end, |incidents| &incidents.relays)),
            relayed: [OUT, IN].map(|end| of(end, |incidents| &incidents.relayed)),
            sockets: [OUT, IN].map(|end| connection.view(end).map(|view| view.cookie)),
            sent: payload.lengths().0,
        }
    }

    /// About how many bytes it takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let exchanges = self.timeline.exchanges().iter();
        let exchanges = exchanges.map(|one| size_of::<Exchange>() + one.request.target.len());
        let relays = self.relays.iter().chain(&self.relayed).map(Relays::bytes);
        size_of::<Self>() + self.turns.bytes() + exchanges.chain(relays).sum::<usize>()
    }

    /// Whether its client acts on what it reads elsewhere.
    pub(super) fn is_relayed(&self) -> bool {
        let [relays, _] = &self.relays;
        !relays.is_empty()
    }

    pub(super) fn tls(&self) -> Option<TlsVersion> {
        self.timeline.maintenance()?.tls.as_ref()?.version
    }

    fn moment(&self, since_ns: Option<u64>) -> Option<u64> {
        Some(self.timeline.at.mono_ns.saturating_add(since_ns?))
    }

    fn passing(&self, exchange: &Exchange) -> Passing {
        let body = exchange.body.span.end_ns;
        Passing {
            start_ns: self.moment(exchange.request.span.start_ns),
            end_ns: self.moment(body.or(exchange.request.span.end_ns)),
            response_ns: self.moment(exchange.response.span.start_ns),
        }
    }

    fn request(&self, place: usize) -> Option<Request> {
        let exchanges = self.timeline.exchanges();
        let exchange = exchanges.get(place)?;
        let before = place
            .checked_sub(1)
            .and_then(|before| exchanges.get(before));
        let request = &exchange.request;
        Some(Request {
            passing: self.passing(exchange),
            bytes: exchange.body.bytes,
            head: Some((request.method.clone(), request.target.clone())),
            after_ns: before
                .and_then(|before| self.passing(before).response_ns)
                .unwrap_or(0),
            is_first: exchange.sequence == 1,
        })
    }

    /// The request that carried the upload.
    pub(super) fn request_of(&self, upload: &str) -> Option<Request> {
        let place = self.timeline.exchanges().iter().position(|exchange| {
            let mut ids = exchange.upload.iter().chain(&exchange.uploads);
            ids.any(|id| id == upload)
        })?;
        self.request(place)
    }

    /// What the thread had read before it connected, or, for a later request, before it sent that; and when.
    pub(super) fn origin(&self, request: &Request) -> Option<(u64, Relay)> {
        let [relays, _] = &self.relays;
        let until_ns = request.passing.response_ns.or(request.passing.end_ns)?;
        let sent = relays.between(request.after_ns, until_ns);
        let sent = sent.filter(|(_, relay)| !relay.connects).last();
        let connected = relays.connecting().filter(|_| request.is_first);
        connected.or(sent)
    }

    /// When a thread, having read from the hop behind, sent the response on this one. `None` where that was not
    /// seen, or where it sent on others, too: it had read from several before.
    pub(super) fn response_from(&self, behind: &Self, request: &Request) -> Option<u64> {
        let [Some(client), _] = behind.sockets else {
            return None;
        };
        let [_, relays] = &self.relays;
        let from_ns = request.passing.response_ns?;
        let mut sent = relays.between(from_ns, u64::MAX);
        let (at_ns, _) = sent.find(|(_, relay)| relay.read == client)?;
        let ([relayed, _], [requests, _]) = (&behind.relayed, &behind.relays);
        let [_, server] = self.sockets;
        let next = requests.between(at_ns, u64::MAX).next();
        let same_turn = at_ns.saturating_add(SAME_TURN_NS);
        let until_ns = next.map_or(same_turn, |(next_ns, _)| same_turn.min(next_ns));
        let mut others = relayed.between(from_ns, until_ns);
        others
            .all(|(_, to)| Some(to.read) == server)
            .then_some(at_ns)
    }

    /// Whether what a thread read from this connection, while the request passed, was sent on the hop behind
    /// alone.
    pub(super) fn passes_on_to(&self, behind: &Self, request: &Request) -> bool {
        let [client, _] = behind.sockets;
        let [_, relayed] = &self.relayed;
        let from_ns = request.passing.start_ns.unwrap_or(0);
        let until_ns = request.passing.response_ns.unwrap_or(u64::MAX);
        let mut all = relayed.between(from_ns, until_ns);
        all.all(|(_, to)| Some(to.read) == client)
    }

    /// The request that was read before `at_ns`, and whose response was sent until `response_ns`.
    pub(super) fn request_at(&self, at_ns: u64, response_ns: u64) -> Option<Request> {
        if self.timeline.exchanges().is_empty() {
            return self.hidden_request(at_ns, response_ns);
        }
        let began = |exchange: &Exchange| {
            let start_ns = self.passing(exchange).start_ns;
            start_ns.is_some_and(|start_ns| start_ns <= at_ns)
        };
        let place = self.timeline.exchanges().iter().rposition(began)?;
        self.request(place)
    }

    /// The same where the payload is encrypted.
    fn hidden_request(&self, at_ns: u64, response_ns: u64) -> Option<Request> {
        let [_, relays] = &self.relays;
        let before = relays.between(0, at_ns).last().map(|(at, _)| at);
        let mut of_client = self.turns.of(End::Client);
        let mut of_server = self.turns.of(End::Server);
        let response = of_server.rfind(|turn| turn.mono_ns <= response_ns)?;
        let start = before.and_then(|before| of_client.find(|turn| turn.mono_ns > before));
        let next = of_client.find(|turn| turn.mono_ns > response.mono_ns);
        let tls = self
            .timeline
            .maintenance()
            .and_then(|phase| phase.tls.as_ref());
        let start_ns = match before {
            Some(_) => start.map(|start| start.mono_ns),
            None => self.moment(tls.and_then(|tls| tls.end_ns)),
        };
        let from = start.map_or(0, |start| start.offset);
        let is_known = before.is_none() || start.is_some();
        let sent = next.map_or(self.sent, |next| next.offset);
        Some(Request {
            passing: Passing {
                start_ns,
                end_ns: response.before_ns,
                response_ns: Some(response.mono_ns),
            },
            bytes: is_known.then(|| sent.saturating_sub(from)),
            head: None,
            after_ns: before.unwrap_or(0),
            is_first: before.is_none(),
        })
    }
}
