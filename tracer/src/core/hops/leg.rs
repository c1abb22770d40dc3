//! What is known of one connection of an upload's way.

use std::{borrow::Cow, net::SocketAddr};

use upload_protocol::{
    End,
    timeline::{Endpoint, Exchange, Protocol, Timeline, TlsVersion},
};

use super::{Bytes, Found, IN, OUT, Sent};
use crate::core::{
    connection::{Connection, Incidents, Relays},
    event::Relay,
    payload::{HttpExchange, HttpRequest, Marks, Turns},
};

/// What a thread sends within this time may be of the same turn of its loop.
const SAME_TURN_NS: u64 = 1_000_000;

/// A connection may carry a thousand requests, with long targets; an upload is joined soon after its response.
pub const MAX_EXCHANGES: usize = 64;

/// What the phases of a timeline take without its exchanges: their steps, the endpoints, TLS.
const PHASES_BYTES: usize = 6 << 10;

/// A connection that may be a part of an upload's way.
#[derive(Clone, Debug)]
pub struct Leg {
    pub timeline: Timeline,
    /// When it was last seen at work, CLOCK_MONOTONIC.
    pub(super) last_ns: u64,
    /// Where its payload changes its direction, as far as that was kept.
    pub(super) turns: Turns,
    /// From which sockets a thread had read before it acted on the client's socket, and on the server's.
    pub(super) relays: [Relays; 2],
    /// On which sockets a thread acted after it had read from the client's socket, and from the server's.
    pub(super) relayed: [Relays; 2],
    /// The cookies of the client's socket and of the server's.
    pub(super) sockets: [Option<u64>; 2],
    /// How many bytes the client has sent at least, and the server.
    pub(super) sent: [u64; 2],
    /// What tells its requests apart from others, by their numbers.
    pub(super) marks: Vec<(u32, Marks)>,
    /// The connection in front of it, by the header of the PROXY protocol: its client's address and its server's.
    pub(super) proxied: Option<(SocketAddr, SocketAddr)>,
    /// The first bytes of the ClientHello's random.
    pub(super) hello: Option<u64>,
}

/// A request and its response on a connection.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) passing: Passing,
    /// Bytes of its body where that is in the clear, else all that the client sent for it.
    pub(super) bytes: Option<u64>,
    /// The length of its body, as its head has it, in the clear.
    pub(super) content_length: Option<u64>,
    /// Its method and target, in the clear.
    pub(super) head: Option<(Cow<'static, str>, String)>,
    pub(super) marks: Marks,
    /// When the response before it was passed on; 0 before the first.
    pub(super) after_ns: u64,
    /// Which one it is on its connection, counted from 1; unknown where it is encrypted.
    pub(super) number: Option<u32>,
    /// Whether it is the first one on its connection.
    pub(super) is_first: bool,
    /// Whether it may have begun elsewhere: in HTTP/2, a body goes on after each update of its window.
    pub(super) is_doubtful: bool,
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
    /// A connection, with its timeline so far, of which the latest exchanges are kept that may be uploads.
    #[must_use]
    pub fn new(connection: &Connection, mut timeline: Timeline) -> Self {
        timeline.samples.clear();
        if let Some(phase) = timeline.maintenance_mut() {
            phase.exchanges.retain(may_be_upload);
            let older = phase.exchanges.len().saturating_sub(MAX_EXCHANGES);
            phase.exchanges.drain(..older);
        }
        let of = |end, which: fn(&Incidents) -> &Relays| {
            let view = connection.view(end);
            view.map(|view| which(view.incidents()).clone())
                .unwrap_or_default()
        };
        let payload = &connection.dialogue.payload;
        let requests = payload.exchanges().iter();
        let requests = requests.filter_map(|exchange| exchange.request.as_ref());
        let marks = (1..).zip(requests).filter_map(|(number, request)| {
            let marks = request.marks.as_deref()?;
            Some((number, *marks))
        });
        let marks: Vec<_> = marks.collect();
        let older = marks.len().saturating_sub(MAX_EXCHANGES);
        let (client, server) = payload.lengths();
        Self {
            timeline,
            last_ns: connection.last_ns,
            turns: payload.turns().cloned().unwrap_or_default(),
            relays: [OUT, IN].map(|end| of(end, |incidents| &incidents.relays)),
            relayed: [OUT, IN].map(|end| of(end, |incidents| &incidents.relayed)),
            sockets: [OUT, IN].map(|end| connection.view(end).map(|view| view.cookie)),
            sent: [client, server],
            marks: marks.get(older..).unwrap_or_default().to_vec(),
            proxied: payload.proxied(),
            hello: payload.tls().and_then(|tls| tls.random),
        }
    }

    /// About how many bytes it takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let exchanges = self.timeline.exchanges().iter();
        let exchanges = exchanges.map(|one| size_of::<Exchange>() + one.request.target.len());
        let relays = self.relays.iter().chain(&self.relayed).map(Relays::bytes);
        let marks = self.marks.capacity() * size_of::<(u32, Marks)>();
        size_of::<Self>()
            + PHASES_BYTES
            + self.turns.bytes()
            + marks
            + exchanges.chain(relays).sum::<usize>()
    }

    /// Whether it may have brought a request to the process at this end: it was open when the process passed that
    /// on, for its response came later; and the other end has sent as many bytes.
    #[must_use]
    pub fn may_carry(&self, sought: &Sought, end: End) -> bool {
        let [client, server] = self.sent;
        let sent = if end == IN { client } else { server };
        (self.timeline.at.mono_ns..=self.last_ns).contains(&sought.start_ns) && sent >= sought.bytes
    }

    /// Its requests in the clear.
    pub fn sent(&self) -> impl Iterator<Item = Sent> {
        self.timeline.exchanges().iter().filter_map(|exchange| {
            Some(Sent {
                connection: self.timeline.connection,
                start_ns: self.moment(exchange.request.span.start_ns)?,
                bytes: exchange.request.content_length.or(exchange.body.bytes)?,
            })
        })
    }

    /// Whether a process holds the socket at this end.
    #[must_use]
    pub fn is_held_by(&self, end: End, process: u32) -> bool {
        processes(self.endpoint(end)).any(|pid| pid == process)
    }

    /// Whether a thread had read from an accepted connection before it acted on this one's client.
    pub(super) fn is_relayed(&self) -> bool {
        let [relays, _] = &self.relays;
        relays.between(0, u64::MAX).next().is_some()
    }

    pub(super) const fn endpoint(&self, end: End) -> &Endpoint {
        match end {
            End::Client => &self.timeline.client,
            End::Server => &self.timeline.server,
        }
    }

    /// Its client's address, as its server has it.
    pub(super) fn client_address(&self) -> Option<SocketAddr> {
        let client = &self.timeline.client;
        let own = (client.port != 0).then(|| SocketAddr::new(client.addr, client.port));
        client.seen_as.or(own)
    }

    pub(super) fn tls(&self) -> Option<TlsVersion> {
        self.timeline.maintenance()?.tls.as_ref()?.version
    }

    pub(super) fn protocol(&self) -> Protocol {
        let phase = self.timeline.maintenance();
        phase.map_or(Protocol::Unknown, |phase| phase.protocol)
    }

    pub(super) fn moment(&self, since_ns: Option<u64>) -> Option<u64> {
        Some(self.timeline.at.mono_ns.saturating_add(since_ns?))
    }

    fn passing(&self, exchange: &Exchange) -> Passing {
        let body = exchange.body.span.end_ns;
        let head = exchange.request.span;
        Passing {
            // A server of HTTP/2 knows when the head had arrived.
            start_ns: self.moment(head.start_ns.or(head.end_ns)),
            end_ns: self.moment(body.or(head.end_ns)),
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
        let mut marks = self.marks.iter();
        let marks = marks.find(|(number, _)| *number == exchange.sequence);
        Some(Request {
            passing: self.passing(exchange),
            bytes: exchange.body.bytes,
            content_length: request.content_length,
            head: Some((request.method.clone(), request.target.clone())),
            marks: marks.map(|(_, marks)| *marks).unwrap_or_default(),
            after_ns: before
                .and_then(|before| self.passing(before).response_ns)
                .unwrap_or(0),
            number: Some(exchange.sequence),
            is_first: exchange.sequence == 1,
            is_doubtful: false,
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

    /// Its requests that may be another connection's, with that one's times.
    pub(super) fn requests(&self, behind: &Passing, bytes: &Bytes) -> Vec<Request> {
        let count = self.timeline.exchanges().len();
        if count == 0 && self.protocol() == Protocol::Other {
            return Vec::new();
        }
        if count == 0 {
            return self.hidden_request(behind, bytes).into_iter().collect();
        }
        (0..count).filter_map(|place| self.request(place)).collect()
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

    /// Whether a thread, having read from the hop behind, sent the response on this one, and on no other: else
    /// it had read from several before.
    pub(super) fn is_response_from(&self, behind: &Self, request: &Request) -> bool {
        let [Some(client), _] = behind.sockets else {
            return false;
        };
        let [_, relays] = &self.relays;
        let from_ns = request.passing.response_ns.unwrap_or(u64::MAX);
        let mut sent = relays.between(from_ns, u64::MAX);
        let Some((at_ns, _)) = sent.find(|(_, relay)| relay.read == client) else {
            return false;
        };
        let ([relayed, _], [requests, _]) = (&behind.relayed, &behind.relays);
        let [_, server] = self.sockets;
        let next = requests.between(at_ns, u64::MAX).next();
        let same_turn = at_ns.saturating_add(SAME_TURN_NS);
        let until_ns = next.map_or(same_turn, |(next_ns, _)| same_turn.min(next_ns));
        let mut others = relayed.between(from_ns, until_ns);
        others.all(|(_, to)| Some(to.read) == server)
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
}

/// Whether a request may have brought an upload: it has a body, or what it has is not known.
fn may_be_upload(exchange: &Exchange) -> bool {
    let request = &exchange.request;
    let is_question = matches!(&*request.method, "GET" | "HEAD" | "OPTIONS");
    exchange.upload.is_some()
        || !is_question
        || request.content_length.is_some_and(|length| length > 0)
}

/// The requests in the clear of an open connection.
pub fn requests_of(connection: &Connection) -> impl Iterator<Item = Sent> {
    let requests = connection.dialogue.payload.exchanges().iter();
    let requests = requests.filter_map(|exchange| exchange.request.as_ref());
    requests.filter_map(|request| {
        Some(Sent {
            connection: connection.id,
            start_ns: request.start_ns,
            bytes: request.content_length?,
        })
    })
}

/// The processes at an end.
pub(super) fn processes(endpoint: &Endpoint) -> impl Iterator<Item = u32> {
    let others = endpoint.also.iter().filter_map(|other| other.pid);
    endpoint.owner.pid.into_iter().chain(others)
}

/// The least that a connection in front must have.
#[derive(Clone, Copy, Debug)]
pub struct Sought {
    /// When the request began on the connection behind, CLOCK_MONOTONIC.
    pub start_ns: u64,
    /// Bytes of its body.
    pub bytes: u64,
}

impl Sought {
    pub(super) fn of(found: &Found, bytes: &Bytes) -> Option<Self> {
        Some(Self {
            start_ns: found.request.passing.start_ns?,
            bytes: bytes.least(),
        })
    }

    /// The same as [`Leg::may_carry`] for an open connection.
    #[must_use]
    pub fn may_be_on(&self, connection: &Connection, end: End) -> bool {
        let first_ns = connection.first_ns().unwrap_or(0);
        let (client, server) = connection.dialogue.payload.lengths();
        let sent = if end == IN { client } else { server };
        let was_open = (first_ns..=connection.last_ns).contains(&self.start_ns);
        let may_have = was_open && sent >= self.bytes;
        may_have && (end == OUT || self.may_be_among(connection.dialogue.payload.exchanges()))
    }

    /// Whether it may be one of these requests; of none in the clear, there may be others.
    fn may_be_among(&self, exchanges: &[HttpExchange]) -> bool {
        let mut requests = exchanges.iter().filter_map(|one| one.request.as_ref());
        let has_bytes = |request: &HttpRequest| match request.content_length {
            Some(length) => length >= self.bytes,
            None => request.chunked || request.head_cut || self.bytes == 0,
        };
        exchanges.is_empty() || requests.any(has_bytes)
    }
}
