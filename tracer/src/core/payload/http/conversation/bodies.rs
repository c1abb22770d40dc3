//! What passes of the bodies, and what lies in holes.

use upload_protocol::End;

use super::{Conversation, ParsePosition};
use crate::core::payload::http::{
    Content,
    body::{Body, Progress},
};

impl Conversation {
    /// Takes a hole, in a segment sent at `mono_ns` or in one that was not seen.
    pub(super) fn skip(&mut self, from: End, mono_ns: Option<u64>, mut hole: u64) {
        while hole > 0 {
            match &mut self.direction(from).position {
                ParsePosition::Lost | ParsePosition::Done => {
                    self.lose_heads(from);
                    return;
                }
                ParsePosition::Head(_) => {
                    self.lose_heads(from);
                    self.cut_head(from);
                    return;
                }
                ParsePosition::Body(body) => {
                    let (progress, skipped) = body.skip(&mut hole);
                    let is_lost = *body == Body::Open;
                    self.body_passed(from, mono_ns);
                    if let Some(content) = self.content(from) {
                        content.skip(skipped);
                        if is_lost {
                            content.lose();
                        }
                    }
                    if is_lost {
                        self.lose_heads(from);
                    }
                    match progress {
                        Progress::Ended => self.end_body(from),
                        Progress::GoesOn | Progress::Malformed => return,
                    }
                }
            }
        }
    }

    /// Heads may lie in a hole.
    pub(super) const fn lose_heads(&mut self, from: End) {
        match from {
            End::Client => self.requests_unseen = true,
            End::Server => self.responses_unseen = true,
        }
    }

    /// The content of the message that an end is sending.
    pub(super) fn content(&mut self, from: End) -> Option<&mut Content> {
        match from {
            End::Client => self.request()?.content.as_deref_mut(),
            End::Server => self.response()?.content.as_deref_mut(),
        }
    }

    /// Some of a body was sent.
    pub(super) fn body_passed(&mut self, from: End, mono_ns: Option<u64>) {
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

    /// The client's or the server's body has ended.
    pub(super) fn end_body(&mut self, from: End) {
        if let Some(content) = self.content(from) {
            content.end();
        }
        if from == End::Client
            && let Some(request) = self.request()
        {
            request.body_sent = true;
        }
        self.direction(from).next();
    }
}
