//! Pairs requests with final responses, in order (RFC 9112, section 9.3.2).

use upload_protocol::End;

use super::{Conversation, ParsePosition, PendingRequest, PendingResponse};
use crate::core::payload::{
    Verdict,
    http::{HttpExchange, HttpRequest, HttpResponse, body::Body, head::StartLine},
};

const MAX_WAITING: usize = 1000;

impl Conversation {
    /// A start line ended.
    pub(super) fn begin(&mut self, from: End, mono_ns: u64) -> Verdict {
        let ParsePosition::Head(head) = &self.direction(from).position else {
            return Verdict::Ours;
        };
        let start_ns = head.start_ns;
        let is_preface = head.is_preface();
        match head.start_line(from) {
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
                self.waiting.push_back(PendingRequest {
                    exchange,
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
            Some(StartLine::Response { status }) => self.begin_response(HttpResponse {
                status,
                start_ns,
                last_ns: mono_ns,
            }),
            None if is_preface && !self.confirmed => return Verdict::Http2,
            None => return self.no_head(from),
        }
        self.confirmed = true;
        Verdict::Ours
    }

    fn begin_response(&mut self, response: HttpResponse) {
        let status = response.status;
        let interim = is_interim(status);
        let asked = if interim {
            self.waiting.front().copied()
        } else {
            self.waiting.pop_front()
        };
        self.answer = Some(PendingResponse {
            status,
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
