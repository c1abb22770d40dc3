//! The end of a head: its blank line, a hole, or a byte that no head has.

use upload_protocol::{End, timeline::Defect};

use super::{Conversation, ParsePosition};
use crate::core::payload::{
    Verdict,
    http::{Content, body::Body, head::Fields},
    record_malformed,
};

impl Conversation {
    /// A head ended.
    pub(super) fn end_head(&mut self, from: End, mono_ns: u64, offset: u64) -> Verdict {
        let Some(fields) = self.read_fields(from) else {
            self.direction(from).position = ParsePosition::Lost;
            return Verdict::Ours;
        };
        let announced = fields.body();
        let connects = self.waiting.back().is_some_and(|asked| asked.connect);
        match from {
            End::Client => {
                if let Some(request) = self.request() {
                    request.head_end_ns = Some(mono_ns);
                    request.body_offset = Some(offset);
                }
                if let Some(asked) = self.waiting.back_mut() {
                    asked.offers_h2c = fields.upgrades_to_h2c;
                }
                if connects {
                    self.client.position = ParsePosition::Lost;
                } else {
                    let body = announced.unwrap_or(Body::Length(0));
                    let boundary = fields.boundary.as_deref();
                    let has_content = self.is_whole && body != Body::Length(0);
                    let content = has_content.then(|| Box::new(Content::new(boundary)));
                    if let Some(request) = self.request() {
                        request.content = content;
                    }
                    self.client.begin(body);
                }
            }
            End::Server => {
                let answered = self.server.exchange;
                let takes_up = fields.upgrades_to_h2c && self.takes_up_h2c();
                let until_close = announced.as_ref().is_none_or(|body| *body == Body::Open);
                self.begin_response_body(announced.unwrap_or(Body::Open));
                self.begin_response_content(answered, until_close);
                if self.is_whole && takes_up {
                    self.h2c_from = Some((answered, offset));
                    return Verdict::H2c;
                }
                if self.server.position == ParsePosition::Done {
                    let exchange = answered.and_then(|number| self.exchanges.get_mut(number));
                    let request = exchange.and_then(|exchange| exchange.request.as_ref());
                    let client = request.and_then(|request| request.body_offset);
                    self.unread_from = Some((client.unwrap_or_default(), offset));
                }
            }
        }
        Verdict::Ours
    }

    /// The content of this exchange's response begins, or is none.
    fn begin_response_content(&mut self, exchange: Option<usize>, until_close: bool) {
        if !self.is_whole {
            return;
        }
        let content = if matches!(self.server.position, ParsePosition::Body(_)) {
            Content {
                until_close,
                ..Content::new(None)
            }
        } else {
            Content::none()
        };
        let exchange = exchange.and_then(|number| self.exchanges.get_mut(number));
        if let Some(response) = exchange.and_then(|exchange| exchange.response.as_mut()) {
            response.content = Some(Box::new(content));
        }
    }

    /// The rest of a head is not read, and neither is the start of its body: it lies in a hole, or the
    /// head is too long.
    pub(super) fn cut_head(&mut self, from: End) {
        let ParsePosition::Head(head) = &self.direction(from).position else {
            return;
        };
        let has_started = head.has_started();
        self.confirmed |= head.begins_like_http(from);
        self.heads_cut += u64::from(self.confirmed);
        let fields = has_started.then(|| self.read_fields(from)).flatten();
        self.direction(from).position = ParsePosition::Lost;
        let Some(fields) = fields else {
            return;
        };
        match from {
            End::Client => {
                if let Some(request) = self.request() {
                    request.head_cut = true;
                }
                self.lose_heads(from);
                // What was not read may announce a body.
                self.client.begin(Body::Open);
                self.client.body_begun = true;
                if matches!(fields.body(), Some(Body::Length(0))) {
                    self.client.position = ParsePosition::Lost;
                }
            }
            End::Server => {
                let answered = self.server.exchange;
                self.begin_response_body(Body::Open);
                self.begin_response_content(answered, false);
                if let Some(content) = self.content(from).filter(|content| !content.is_over) {
                    content.lose();
                }
                if matches!(self.server.position, ParsePosition::Head(_)) {
                    self.server.position = ParsePosition::Lost;
                }
            }
        }
    }

    /// Takes the fields of the current head, and records those of a request. `None` if they leave open
    /// where its body ends.
    fn read_fields(&mut self, from: End) -> Option<Fields> {
        let ParsePosition::Head(head) = &mut self.direction(from).position else {
            return None;
        };
        head.take_field();
        let fields = head.fields.clone();
        let defect = head.defect;
        if let Some(defect) = defect {
            record_malformed(&mut self.malformed, from, defect);
        }
        if fields.is_ambiguous {
            return None;
        }
        if from == End::Client {
            self.client.expects = fields.expect_continue;
            if let Some(request) = self.request() {
                request.content_length = fields.content_length;
                request.chunked = fields.chunked;
                request.expect_continue = fields.expect_continue;
                request.marks.clone_from(&fields.marks);
            }
        }
        Some(fields)
    }

    /// The bytes at the start of a message are no head.
    pub(super) fn no_head(&mut self, from: End) -> Verdict {
        let direction = self.direction(from);
        let ParsePosition::Head(head) = &direction.position else {
            return Verdict::Ours;
        };
        let start_line_is_one = head.has_started() && head.start_line(from).is_some();
        let defect = match (start_line_is_one, from) {
            (true, _) => Defect::HttpHeadNotText,
            (false, End::Client) => Defect::HttpRequestMissing,
            (false, End::Server) => Defect::HttpResponseMissing,
        };
        let begins_like_http = head.begins_like_http(from);
        direction.position = ParsePosition::Done;
        if !self.confirmed && !begins_like_http {
            return Verdict::NotOurs;
        }
        self.confirmed = true;
        record_malformed(&mut self.malformed, from, defect);
        Verdict::Ours
    }
}
