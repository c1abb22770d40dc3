//! Pairs requests with final responses, in order (RFC 9112, section 9.3.2).

use super::{Conversation, ParsePosition, PendingRequest, PendingResponse};
use crate::core::payload::{
    Verdict,
    begun::begin,
    http::{HttpExchange, HttpRequest, HttpResponse, body::Body, head::StartLine},
    nearest,
    stream::NewBytes,
};

const MAX_WAITING: usize = 1000;

impl Conversation {
    /// A start line ended.
    pub(super) fn begin(&mut self, new_bytes: &NewBytes<'_>) -> Verdict {
        let NewBytes { mono_ns, from, .. } = *new_bytes;
        let ParsePosition::Head(head) = &self.direction(from).position else {
            return Verdict::Ours;
        };
        let (start_ns, offset) = (head.start_ns, head.offset);
        let is_preface = head.is_preface();
        let (line, text) = (head.start_line(from), head.start_text());
        if line.is_some() {
            begin(&mut self.begun, || text);
        }
        match line {
            Some(StartLine::Request {
                method,
                target,
                version,
            }) => {
                if self.waiting.len() == MAX_WAITING {
                    self.client.position = ParsePosition::Done;
                    self.requests_unread = true;
                    return Verdict::Ours;
                }
                let exchange = self.exchanges.begun();
                self.pipelines |= !self.waiting.is_empty() && !self.responses_unseen;
                self.waiting.push_back(PendingRequest {
                    exchange,
                    offset,
                    offers_h2c: false,
                    head: method == "HEAD",
                    connect: method == "CONNECT",
                });
                self.client.exchange = Some(exchange);
                self.exchanges.open(HttpExchange {
                    request: Some(HttpRequest {
                        method,
                        target,
                        version,
                        start_ns,
                        ..HttpRequest::default()
                    }),
                    ..HttpExchange::default()
                });
            }
            Some(StartLine::Response { status }) => {
                self.settle_unseen(new_bytes.received);
                self.begin_response(HttpResponse {
                    status,
                    start_ns,
                    last_ns: mono_ns,
                    client_last_ns: self.client_last_ns,
                    content: None,
                });
            }
            None if is_preface && !self.confirmed => return Verdict::Http2,
            None => return self.no_head(from),
        }
        self.confirmed = true;
        Verdict::Ours
    }

    /// Before a response whose place among the others is unsure: finds out which request it answers. A
    /// client that sends no request before the last response gets the response to its last one. No request
    /// is answered before the server has received some of it.
    fn settle_unseen(&mut self, received: Option<u32>) {
        if !self.is_whole {
            return;
        }
        if std::mem::take(&mut self.responses_unseen) && !self.pipelines {
            let earlier = self.waiting.len().saturating_sub(1);
            self.waiting.drain(..earlier);
        }
        self.is_of_unseen = self.requests_unseen
            && self
                .waiting
                .front()
                .zip(received)
                .is_some_and(|(first, received)| nearest(first.offset, received) <= first.offset);
    }

    fn begin_response(&mut self, response: HttpResponse) {
        let status = response.status;
        let interim = is_interim(status);
        let asked = if std::mem::take(&mut self.is_of_unseen) {
            None
        } else if interim {
            self.waiting.front().copied()
        } else {
            self.waiting.pop_front()
        };
        self.answer = Some(PendingResponse {
            status,
            offers_h2c: asked.is_some_and(|asked| asked.offers_h2c),
            head: asked.is_some_and(|asked| asked.head),
            connect: asked.is_some_and(|asked| asked.connect),
        });
        let exchange = asked.map_or(self.exchanges.begun(), |asked| asked.exchange);
        if !interim {
            self.server.exchange = Some(exchange);
            if asked.is_none() {
                self.exchanges.open(HttpExchange::default());
            }
        }
        match self.exchanges.get_mut(exchange) {
            Some(exchange) if interim && status == 100 => {
                exchange.continue_ns.get_or_insert(response.start_ns);
            }
            Some(exchange) if !interim => exchange.response = Some(response),
            _ => {}
        }
    }

    /// Begins the body after a response's head, whose fields announce `body` (RFC 9112, section 6.3).
    pub(super) fn begin_response_body(&mut self, body: Body) {
        let Some(answer) = self.answer.take() else {
            return;
        };
        let tunnels = answer.connect && (200..300).contains(&answer.status);
        let refuses = answer.connect && !tunnels && !is_interim(answer.status);
        if refuses && self.is_whole && self.client.position == ParsePosition::Lost {
            // What the client has sent since was for the other end of the tunnel.
            self.client.next();
        }
        if answer.status == 101 || tunnels {
            self.client.position = ParsePosition::Done;
            self.server.position = ParsePosition::Done;
            // The bytes that follow belong to another protocol.
            self.server.exchange = None;
        } else if is_interim(answer.status) || answer.head || matches!(answer.status, 204 | 304) {
            self.server.next();
        } else {
            self.server.begin(body);
        }
    }

    /// Whether the response whose head is being read may change the protocol to HTTP/2.
    pub(super) fn takes_up_h2c(&self) -> bool {
        self.answer
            .is_some_and(|answer| answer.status == 101 && answer.offers_h2c)
    }

    /// The request that the client is sending.
    pub(super) fn request(&mut self) -> Option<&mut HttpRequest> {
        let exchange = self.exchanges.get_mut(self.client.exchange?)?;
        exchange.request.as_mut()
    }

    /// The response that the server is sending.
    pub(super) fn response(&mut self) -> Option<&mut HttpResponse> {
        let exchange = self.exchanges.get_mut(self.server.exchange?)?;
        exchange.response.as_mut()
    }
}

/// Whether another response follows to the same request (RFC 9110, section 15.2); after 101 none
/// does.
const fn is_interim(status: u16) -> bool {
    status >= 100 && status < 200 && status != 101
}
