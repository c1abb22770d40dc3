//! Both directions of HTTP/1.x: where each message begins, and which response belongs to which request.
//!
//! A head begins at the start of a stream, and after a body of known length (RFC 9112, section 6.3). If
//! that place lies in a hole, the next head is sought at the first segment after the peer's, or at any if the
//! stream is passed whole; a request after a body only once the previous one was answered. After `101` or a successful `CONNECT` nothing more is read.

mod bodies;
mod heads;
mod pairing;

use std::collections::VecDeque;

use upload_protocol::{
    End,
    timeline::{Defect, Malformed},
};

use super::{
    Finished, HttpExchange,
    body::{Body, Progress},
    exchanges::Exchanges,
    head::{Found, Head, looks_like_head},
};
use crate::core::payload::{Verdict, begun::Begun, record_malformed, stream::NewBytes};

#[derive(Clone, Debug, PartialEq)]
pub(in crate::core::payload) struct Conversation {
    client: Direction,
    server: Direction,
    exchanges: Exchanges,
    /// How many heads were not read to their end.
    heads_cut: u64,
    /// Where in the two streams bytes begin that are not read.
    unread_from: Option<(u64, u64)>,
    /// Whether requests were not read, because too many had no response yet.
    requests_unread: bool,
    /// The requests without a response.
    waiting: VecDeque<PendingRequest>,
    /// The response whose head is being read.
    answer: Option<PendingResponse>,
    last_from: Option<End>,
    /// When the client's last payload before the server's latest burst passed.
    client_last_ns: Option<u64>,
    malformed: Vec<Malformed>,
    confirmed: bool,
    /// Whether the stream is passed whole and in order, as far as it was captured.
    is_whole: bool,
    /// Whether some of the client's heads may be in a hole.
    requests_unseen: bool,
    /// Whether some of the server's heads may be in a hole, since its latest response.
    responses_unseen: bool,
    /// Whether the client sent a request before the response to another.
    pipelines: bool,
    /// Whether the request of the response that begins was not seen.
    is_of_unseen: bool,
    /// Which exchange goes on in HTTP/2, and from where in the server's stream.
    h2c_from: Option<(Option<usize>, u64)>,
    /// What the names in forms take in memory.
    names: usize,
    /// Lent while bytes are read.
    begun: Begun,
}

/// One direction.
#[derive(Clone, Debug, PartialEq)]
struct Direction {
    position: ParsePosition,
    /// The exchange that its current message belongs to, if any.
    exchange: Option<usize>,
    /// Whether some of the body has passed.
    body_begun: bool,
    /// Whether the client waits for `100 Continue`.
    expects: bool,
}

/// The position of a direction within its messages.
#[derive(Clone, Debug, PartialEq)]
enum ParsePosition {
    Head(Head),
    Body(Body),
    /// The start of the next message is unknown.
    Lost,
    /// No more messages are read.
    Done,
}

/// A request without a response yet, as far as its response depends on it.
#[derive(Clone, Copy, Debug, PartialEq)]
struct PendingRequest {
    exchange: usize,
    /// Where in the client's stream it begins.
    offset: u64,
    offers_h2c: bool,
    /// Whether the response has no body.
    head: bool,
    connect: bool,
}

/// A response whose head is being read, as far as its body depends on the request.
#[derive(Clone, Copy, Debug, PartialEq)]
struct PendingResponse {
    status: u16,
    offers_h2c: bool,
    /// Whether it answers HEAD or CONNECT.
    head: bool,
    connect: bool,
}

impl Conversation {
    /// A conversation that begins with `new_bytes`.
    pub(in crate::core::payload) fn new(
        new_bytes: &NewBytes<'_>,
        peer_silent: bool,
        is_whole: bool,
    ) -> Self {
        // The peer of a stream that is not seen from its start may have sent something before, too.
        let peer_starts = peer_silent && (new_bytes.is_start || !is_whole);
        let (client, server) = match new_bytes.from {
            End::Client => (new_bytes.is_start, peer_starts),
            End::Server => (peer_starts, new_bytes.is_start),
        };
        Self {
            client: Direction::new(client),
            server: Direction::new(server),
            exchanges: Exchanges::default(),
            heads_cut: 0,
            unread_from: None,
            requests_unread: false,
            waiting: VecDeque::new(),
            answer: None,
            last_from: None,
            client_last_ns: None,
            malformed: Vec::new(),
            confirmed: false,
            is_whole,
            requests_unseen: !client,
            responses_unseen: false,
            pipelines: false,
            is_of_unseen: false,
            h2c_from: None,
            names: 0,
            begun: None,
        }
    }

    /// Whether a start line was seen.
    pub(in crate::core::payload) const fn is_confirmed(&self) -> bool {
        self.confirmed
    }

    pub(in crate::core::payload) fn exchanges(&self) -> &[HttpExchange] {
        self.exchanges.kept()
    }

    pub(in crate::core::payload) fn latest(&self) -> Option<&HttpExchange> {
        self.exchanges.latest()
    }

    pub(in crate::core::payload) const fn left_out(&self) -> usize {
        self.exchanges.left_out()
    }

    pub(in crate::core::payload) const fn has_long_targets(&self) -> bool {
        self.exchanges.has_long_targets()
    }

    pub(in crate::core::payload) const fn heads_cut(&self) -> u64 {
        self.heads_cut
    }

    pub(in crate::core::payload) const fn requests_unread(&self) -> bool {
        self.requests_unread
    }

    pub(in crate::core::payload) const fn unread_from(&self) -> Option<(u64, u64)> {
        self.unread_from
    }

    pub(in crate::core::payload) fn has_finished(&self) -> bool {
        self.exchanges.has_finished()
    }

    pub(in crate::core::payload) fn take_finished(&mut self, all: bool) -> Vec<Finished> {
        self.exchanges.take_finished(all)
    }

    pub(in crate::core::payload) fn malformed(&self) -> &[Malformed] {
        &self.malformed
    }

    pub(in crate::core::payload) fn feed(
        &mut self,
        new_bytes: &NewBytes<'_>,
        begun: &mut Begun,
    ) -> Verdict {
        self.begun = begun.take();
        let verdict = self.read(new_bytes);
        *begun = self.begun.take();
        verdict
    }

    fn read(&mut self, new_bytes: &NewBytes<'_>) -> Verdict {
        let NewBytes { mono_ns, from, .. } = *new_bytes;
        let turned = self.last_from.replace(from) != Some(from);
        self.record_turn(new_bytes);
        self.skip(from, None, new_bytes.gap);
        self.resume(from, turned, new_bytes.bytes);
        let verdict = self.take(new_bytes);
        if verdict != Verdict::Ours {
            return verdict;
        }
        self.skip(from, Some(mono_ns), new_bytes.rest);
        if !self.confirmed && self.direction(from).position == ParsePosition::Lost {
            return Verdict::Undecided;
        }
        Verdict::Ours
    }

    const fn direction(&mut self, from: End) -> &mut Direction {
        match from {
            End::Client => &mut self.client,
            End::Server => &mut self.server,
        }
    }

    /// The other end sends: the burst before has ended.
    fn record_turn(&mut self, new_bytes: &NewBytes<'_>) {
        match new_bytes.from {
            End::Server => {
                self.client_last_ns = new_bytes.turned_ns.or(self.client_last_ns);
                if let Some(request) = self.request()
                    && request.body_first_ns.is_some()
                {
                    request.body_last_ns = request.body_last_ns.max(new_bytes.turned_ns);
                }
                if let Some(received) = new_bytes.received {
                    self.record_arrival(received);
                }
            }
            End::Client => {
                if let (Some(response), Some(turned_ns)) = (self.response(), new_bytes.turned_ns) {
                    response.last_ns = response.last_ns.max(turned_ns);
                }
            }
        }
    }

    /// Records how much of the client's stream the server has received.
    fn record_arrival(&mut self, received: u32) {
        let unanswered = self.waiting.iter().map(|asked| asked.exchange);
        for number in unanswered.chain(self.client.exchange) {
            let exchange = self.exchanges.get_mut(number);
            let Some(request) = exchange.and_then(|exchange| exchange.request.as_mut()) else {
                continue;
            };
            request.body_acknowledged = request.acknowledged_by(received);
            if let Some(beyond) = request.beyond(received) {
                request.body_arrived = true;
                if beyond > 0 && !request.body_sent {
                    request.body_last_ns = None;
                }
            }
        }
    }

    /// Resumes reading if a burst begins with a head.
    fn resume(&mut self, from: End, turned: bool, bytes: &[u8]) {
        let open = self.client.exchange;
        let answered = !self
            .waiting
            .iter()
            .any(|asked| Some(asked.exchange) == open);
        let is_whole = self.is_whole;
        let direction = self.direction(from);
        let may = match (&direction.position, from) {
            (ParsePosition::Lost, _) if is_whole => true,
            (ParsePosition::Lost, _) | (ParsePosition::Body(Body::Open), End::Server) => turned,
            (ParsePosition::Body(Body::Open), End::Client) => turned && answered,
            (ParsePosition::Body(_), End::Client) => {
                direction.expects && !direction.body_begun && answered
            }
            _ => false,
        };
        if may && looks_like_head(from, bytes) {
            direction.next();
        }
    }

    /// Takes captured bytes.
    fn take(&mut self, new_bytes: &NewBytes<'_>) -> Verdict {
        let NewBytes {
            mono_ns,
            from,
            mut bytes,
            ..
        } = *new_bytes;
        while !bytes.is_empty() {
            let passed = (new_bytes.bytes.len() - bytes.len()) as u64;
            let offset = new_bytes.offset.saturating_add(passed);
            let direction = self.direction(from);
            match &mut direction.position {
                ParsePosition::Lost | ParsePosition::Done => break,
                ParsePosition::Body(body) => {
                    let (progress, taken) = body.take(&mut bytes);
                    self.body_passed(from, Some(mono_ns));
                    let mut names = self.names;
                    if let Some(content) = self.content(from) {
                        content.take(taken, &mut names);
                        if progress == Progress::Malformed {
                            content.lose();
                        }
                    }
                    self.names = names;
                    match progress {
                        Progress::GoesOn => {}
                        Progress::Ended => self.end_body(from),
                        Progress::Malformed => {
                            record_malformed(
                                &mut self.malformed,
                                from,
                                Defect::HttpChunkWithoutSize,
                            );
                        }
                    }
                }
                ParsePosition::Head(head) => {
                    let found = head.take(mono_ns, offset, &mut bytes);
                    if from == End::Server
                        && let Some(response) = self.response()
                    {
                        response.last_ns = mono_ns;
                    }
                    match found {
                        Found::More => {}
                        Found::StartLine => match self.begin(new_bytes) {
                            Verdict::Ours => {}
                            verdict => return verdict,
                        },
                        Found::End => {
                            let passed = (new_bytes.bytes.len() - bytes.len()) as u64;
                            let offset = new_bytes.offset.saturating_add(passed);
                            if self.end_head(from, mono_ns, offset) == Verdict::H2c {
                                return Verdict::H2c;
                            }
                        }
                        Found::TooLong => self.cut_head(from),
                        Found::NoHead => {
                            if from == End::Client {
                                self.unread_from.get_or_insert((new_bytes.offset, 0));
                            }
                            return self.no_head(from);
                        }
                    }
                }
            }
        }
        Verdict::Ours
    }

    /// The offer to go on in HTTP/2 was taken up: gives the exchanges away, the one that goes on, and where in
    /// the server's stream HTTP/2 begins.
    pub(in crate::core::payload) fn into_h2c(self) -> Option<(Exchanges, usize, u64)> {
        let (exchange, offset) = self.h2c_from?;
        Some((self.exchanges, exchange?, offset))
    }
}

impl Direction {
    fn new(from_start: bool) -> Self {
        Self {
            position: if from_start {
                ParsePosition::Head(Head::default())
            } else {
                ParsePosition::Lost
            },
            exchange: None,
            body_begun: false,
            expects: false,
        }
    }

    /// The next message begins.
    fn next(&mut self) {
        *self = Self::new(true);
    }

    fn begin(&mut self, body: Body) {
        self.body_begun = false;
        match body {
            Body::Length(0) => self.next(),
            body => self.position = ParsePosition::Body(body),
        }
    }
}
