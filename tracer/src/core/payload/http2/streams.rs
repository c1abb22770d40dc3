//! The requests and responses of HTTP/2 (RFC 9113, section 8): which stream carries which, the fields that matter,
//! and how long the bodies are. Pushed responses are left out.

mod head;
mod sender;

use std::collections::BTreeMap;

use upload_protocol::{
    End,
    timeline::{Defect, Malformed},
};

use self::{
    head::Head,
    sender::{Block, Sender},
};
use super::{
    fields::Unreadable,
    frames::{self, Event, Frame},
};
use crate::core::payload::{
    http::{Content, Exchanges, Finished, HttpExchange, HttpRequest, HttpResponse},
    record_malformed,
};

#[derive(Clone, Debug, PartialEq)]
pub(in crate::core::payload) struct Streams {
    exchanges: Exchanges,
    /// The streams whose exchanges are not over.
    open: BTreeMap<u32, Stream>,
    /// The client's last stream.
    last: u32,
    client: Sender,
    server: Sender,
    /// How many heads were not read.
    heads_unread: u64,
    /// Whether requests were not read, because too many had no response yet.
    requests_unread: bool,
    /// What the names in forms take in memory.
    names: usize,
    malformed: Vec<Malformed>,
}

/// A stream whose exchange is not over.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Stream {
    exchange: usize,
    request_over: bool,
}

/// As many as of HTTP/1.1 wait for a response.
const MAX_OPEN: usize = 1000;
/// RFC 7540, section 3.2: the request that asked for the upgrade.
const UPGRADED: u32 = 1;

impl Default for Streams {
    fn default() -> Self {
        let mut exchanges = Exchanges::default();
        exchanges.multiplex();
        Self {
            exchanges,
            open: BTreeMap::new(),
            last: 0,
            client: Sender::default(),
            server: Sender::default(),
            heads_unread: 0,
            requests_unread: false,
            names: 0,
            malformed: Vec::new(),
        }
    }
}

impl Streams {
    /// The first stream goes on with an exchange that began in HTTP/1.1.
    pub(super) fn upgraded(mut exchanges: Exchanges, first: usize) -> Self {
        exchanges.multiplex();
        if let Some(exchange) = exchanges.get_mut(first) {
            // `101` was not the last word.
            exchange.response = None;
        }
        let stream = Stream {
            exchange: first,
            request_over: true,
        };
        Self {
            exchanges,
            open: BTreeMap::from([(UPGRADED, stream)]),
            last: UPGRADED,
            ..Self::default()
        }
    }

    pub(super) const fn exchanges(&self) -> &Exchanges {
        &self.exchanges
    }

    pub(super) fn take_finished(&mut self, all: bool) -> Vec<Finished> {
        self.exchanges.take_finished(all)
    }

    pub(super) fn malformed(&self) -> &[Malformed] {
        &self.malformed
    }

    /// How many heads of requests and responses were not read.
    pub(in crate::core::payload) const fn heads_unread(&self) -> u64 {
        self.heads_unread
    }

    pub(in crate::core::payload) const fn requests_unread(&self) -> bool {
        self.requests_unread
    }

    pub(in crate::core::payload) const fn has_long_targets(&self) -> bool {
        self.exchanges.has_long_targets()
    }

    pub(super) fn observe(&mut self, from: End, mono_ns: Option<u64>, event: Event<'_>) {
        let sender = match from {
            End::Client => &mut self.client,
            End::Server => &mut self.server,
        };
        match event {
            Event::Lost => {
                sender.lose_fields();
                self.lose_contents(from);
            }
            Event::Begin(frame) if frame.kind == frames::RST_STREAM => self.abort(frame.stream),
            _ if event
                .frame()
                .is_some_and(|frame| frame.kind == frames::DATA) =>
            {
                let content = sender.content(event);
                self.data(from, mono_ns, event, content);
            }
            _ => {
                if let Some(block) = sender.block(mono_ns, event) {
                    self.head(from, mono_ns, &block);
                }
            }
        }
    }

    /// A field block ended.
    fn head(&mut self, from: End, mono_ns: Option<u64>, block: &Block) {
        let (sender, is_request) = match from {
            End::Client => (&mut self.client, true),
            End::Server => (&mut self.server, false),
        };
        let mut head = Head::default();
        let read = sender.read(block, |name, value| head.take(name, value));
        let is_news = !block.is_promise;
        if let Err(why) = read {
            self.heads_unread += u64::from(is_news);
            if why == Some(Unreadable::Malformed) {
                record_malformed(&mut self.malformed, from, Defect::Http2FieldsMalformed);
            }
        }
        if !is_news {
            return;
        }
        let head = read.is_ok().then_some(head);
        let end_ns = mono_ns.unwrap_or(block.start_ns);
        if is_request {
            if block.stream > self.last {
                self.last = block.stream;
                self.begin(block, head, end_ns);
            }
        } else {
            self.answer(block, head, end_ns);
        }
        if block.ends_stream {
            self.end(from, block.stream);
        }
    }

    fn begin(&mut self, block: &Block, head: Option<Head>, end_ns: u64) {
        let Some(head) = head else { return };
        let Some((method, target)) = head.request() else {
            record_malformed(&mut self.malformed, End::Client, Defect::HttpRequestMissing);
            return;
        };
        if self.open.len() == MAX_OPEN || self.exchanges.waiting() >= MAX_OPEN {
            self.requests_unread = true;
            return;
        }
        let content = Content::new(head.boundary.as_deref());
        let stream = Stream {
            exchange: self.exchanges.begun(),
            request_over: false,
        };
        self.exchanges.open(HttpExchange {
            request: Some(HttpRequest {
                method,
                target,
                version: "HTTP/2.0",
                content_length: head.content_length,
                expect_continue: head.expect_continue,
                start_ns: block.start_ns,
                head_end_ns: Some(end_ns),
                content: (!block.ends_stream).then(|| Box::new(content)),
                ..HttpRequest::default()
            }),
            ..HttpExchange::default()
        });
        self.open.insert(block.stream, stream);
    }

    /// A response's head, or its trailers.
    fn answer(&mut self, block: &Block, head: Option<Head>, end_ns: u64) {
        let Some(exchange) = self.exchange(block.stream) else {
            return;
        };
        let status = head.and_then(|head| head.status);
        match (&mut exchange.response, status) {
            (Some(response), _) => response.last_ns = response.last_ns.max(end_ns),
            (None, Some(100)) => {
                exchange.continue_ns.get_or_insert(block.start_ns);
            }
            (None, Some(101..200) | None) => {}
            (None, Some(status)) => {
                exchange.response = Some(HttpResponse {
                    status,
                    start_ns: block.start_ns,
                    last_ns: end_ns,
                    client_last_ns: None,
                    content: Some(Box::default()),
                });
            }
        }
    }

    /// Bytes of DATA: those of the content, or so many of them in a hole.
    fn data(&mut self, from: End, mono_ns: Option<u64>, event: Event<'_>, content: (&[u8], u64)) {
        let Some(frame) = event.frame() else { return };
        let (bytes, hole) = content;
        let has_passed = !bytes.is_empty() || hole > 0;
        let mut names = self.names;
        if let Some(exchange) = self.exchange(frame.stream) {
            let read = match from {
                End::Client => exchange.request.as_mut().and_then(|request| {
                    if let (true, Some(mono_ns)) = (has_passed, mono_ns) {
                        request.body_first_ns.get_or_insert(mono_ns);
                        request.body_last_ns = Some(mono_ns);
                    }
                    request.content.as_deref_mut()
                }),
                End::Server => exchange.response.as_mut().and_then(|response| {
                    response.last_ns = response.last_ns.max(mono_ns.unwrap_or_default());
                    response.content.as_deref_mut()
                }),
            };
            if let Some(read) = read {
                read.take(bytes, &mut names);
                if hole > 0 {
                    read.skip(hole);
                }
            }
        }
        self.names = names;
        if matches!(event, Event::End(frame) if frame.has(frames::END_STREAM)) {
            self.end(from, frame.stream);
        }
    }

    /// An end has sent all that it sends on a stream.
    fn end(&mut self, from: End, number: u32) {
        let Some(exchange) = self.exchange(number) else {
            return;
        };
        match from {
            End::Client => {
                if let Some(request) = &mut exchange.request {
                    request.body_sent = true;
                    if let Some(content) = &mut request.content {
                        content.end();
                    }
                }
                if let Some(stream) = self.open.get_mut(&number) {
                    stream.request_over = true;
                }
            }
            End::Server => {
                let response = exchange.response.as_mut();
                if let Some(content) = response.and_then(|response| response.content.as_mut()) {
                    content.end();
                }
                // The rest of a request may follow its answer.
                if self
                    .open
                    .get(&number)
                    .is_some_and(|stream| stream.request_over)
                {
                    self.open.remove(&number);
                }
            }
        }
    }

    /// An end gives a stream up.
    fn abort(&mut self, number: u32) {
        if let Some(exchange) = self.exchange(number) {
            for content in contents(exchange).into_iter().flatten() {
                content.is_aborted = !content.is_over;
            }
        }
        self.open.remove(&number);
    }

    /// Nothing more is known of what an end sends.
    fn lose_contents(&mut self, from: End) {
        for stream in self.open.values() {
            let Some(exchange) = self.exchanges.get_mut(stream.exchange) else {
                continue;
            };
            let [request, response] = contents(exchange);
            let content = match from {
                End::Client => request,
                End::Server => response,
            };
            if let Some(content) = content.filter(|content| !content.is_over) {
                content.lose();
            }
        }
    }

    fn exchange(&mut self, number: u32) -> Option<&mut HttpExchange> {
        let stream = self.open.get(&number)?;
        self.exchanges.get_mut(stream.exchange)
    }
}

/// Of the request and of the response.
fn contents(exchange: &mut HttpExchange) -> [Option<&mut Content>; 2] {
    let request = exchange.request.as_mut();
    let response = exchange.response.as_mut();
    [
        request.and_then(|request| request.content.as_deref_mut()),
        response.and_then(|response| response.content.as_deref_mut()),
    ]
}

impl Event<'_> {
    const fn frame(&self) -> Option<Frame> {
        match self {
            Self::Begin(frame)
            | Self::Bytes(frame, _)
            | Self::Hole(frame, _)
            | Self::End(frame) => Some(*frame),
            Self::Lost => None,
        }
    }
}
