//! Both directions of HTTP/1.x: where each message begins, and which response belongs to which request.
//!
//! A head begins at the start of a stream, and after a body of known length (RFC 9112, section 6.3). If
//! that place lies in a hole, the next head is sought at the first segment after the peer's; a request
//! only once the previous one was answered. After `101` or a successful `CONNECT` nothing more is read.

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
use crate::core::payload::{Verdict, record_malformed, stream::NewBytes};

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
    malformed: Vec<Malformed>,
    confirmed: bool,
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
    /// Whether the response has no body.
    head: bool,
    connect: bool,
}

/// A response whose head is being read, as far as its body depends on the request.
#[derive(Clone, Copy, Debug, PartialEq)]
struct PendingResponse {
    status: u16,
    /// Whether it answers HEAD or CONNECT.
    head: bool,
    connect: bool,
}

impl Conversation {
    /// A conversation that begins with `new_bytes`.
    pub(in crate::core::payload) fn new(new_bytes: &NewBytes<'_>, peer_silent: bool) -> Self {
        let (client, server) = match new_bytes.from {
            End::Client => (new_bytes.is_start, peer_silent),
            End::Server => (peer_silent, new_bytes.is_start),
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
            malformed: Vec::new(),
            confirmed: false,
        }
    }

    /// Whether a start line was seen.
    pub(in crate::core::payload) const fn is_confirmed(&self) -> bool {
        self.confirmed
    }

    pub(in crate::core::payload) fn exchanges(&self) -> &[HttpExchange] {
        self.exchanges.kept()
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

    pub(in crate::core::payload) fn feed(&mut self, new_bytes: &NewBytes<'_>) -> Verdict {
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

    /// The client's or the server's body has ended.
    fn end_body(&mut self, from: End) {
        if from == End::Client
            && let Some(request) = self.request()
        {
            request.body_sent = true;
        }
        self.direction(from).next();
    }

    /// Resumes reading if a burst begins with a head.
    fn resume(&mut self, from: End, turned: bool, bytes: &[u8]) {
        let open = self.client.exchange;
        let answered = !self
            .waiting
            .iter()
            .any(|asked| Some(asked.exchange) == open);
        let direction = self.direction(from);
        let may = match (&direction.position, from) {
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
            let direction = self.direction(from);
            match &mut direction.position {
                ParsePosition::Lost | ParsePosition::Done => break,
                ParsePosition::Body(body) => {
                    let progress = body.take(&mut bytes);
                    self.body_passed(from, Some(mono_ns));
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
                    let found = head.take(mono_ns, &mut bytes);
                    if from == End::Server
                        && let Some(response) = self.response()
                    {
                        response.last_ns = mono_ns;
                    }
                    match found {
                        Found::More => {}
                        Found::StartLine => match self.begin(from, mono_ns) {
                            Verdict::Ours => {}
                            verdict => return verdict,
                        },
                        Found::End => {
                            let passed = (new_bytes.bytes.len() - bytes.len()) as u64;
                            self.end_head(from, mono_ns, new_bytes.offset.saturating_add(passed));
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

    /// Takes a hole, in a segment sent at `mono_ns` or in one that was not seen.
    fn skip(&mut self, from: End, mono_ns: Option<u64>, mut hole: u64) {
        while hole > 0 {
            match &mut self.direction(from).position {
                ParsePosition::Lost | ParsePosition::Done => return,
                ParsePosition::Head(_) => {
                    self.cut_head(from);
                    return;
                }
                ParsePosition::Body(body) => {
                    let progress = body.skip(&mut hole);
                    self.body_passed(from, mono_ns);
                    match progress {
                        Progress::Ended => self.end_body(from),
                        Progress::GoesOn | Progress::Malformed => return,
                    }
                }
            }
        }
    }

    /// Some of a body was sent.
    fn body_passed(&mut self, from: End, mono_ns: Option<u64>) {
        let begun = std::mem::replace(&mut self.direction(from).body_begun, true);
        let Some(mono_ns) = mono_ns else {
            return;
        };
        match from {
            End::Client => {
                if let Some(request) = self.request() {
                    if !begun {
                        request.body_first_ns = Some(mono_ns);
                    }
                    request.body_last_ns = Some(mono_ns);
                }
            }
            End::Server => {
                if let Some(response) = self.response() {
                    response.last_ns = mono_ns;
                }
            }
        }
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
