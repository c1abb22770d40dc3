//! HTTP/1.x in clear text: the heads of requests and responses, and when their bodies passed.

mod body;
mod content;
mod conversation;
mod exchanges;
mod form;
mod head;

use std::borrow::Cow;

pub use self::{content::Content, exchanges::Finished, form::FormFile};
pub(super) use self::{
    conversation::Conversation,
    exchanges::Exchanges,
    form::boundary,
    head::{PREFACE, decimal, escape, looks_like_head, method},
};

use super::Marks;

/// A request and its response. They are paired in order (RFC 9112, section 9.3.2); one is missing
/// where it lay in a hole or was never sent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HttpExchange {
    pub request: Option<HttpRequest>,
    /// When the server sent `100 Continue` (RFC 9110, section 15.2.1).
    pub continue_ns: Option<u64>,
    /// The final response.
    pub response: Option<HttpResponse>,
}

/// A request, known once its first line was seen.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HttpRequest {
    /// The method (RFC 9110, section 9).
    pub method: Cow<'static, str>,
    /// The target (RFC 9112, section 3.2).
    pub target: String,
    /// `HTTP/1.1` or `HTTP/1.0`.
    pub version: &'static str,
    /// The field Content-Length (RFC 9110, section 8.6).
    pub content_length: Option<u64>,
    /// Whether the body comes in chunks (RFC 9112, section 7.1).
    pub chunked: bool,
    /// Whether the client waits for `100 Continue` (RFC 9110, section 10.1.1).
    pub expect_continue: bool,
    /// When the segment with its first byte was sent.
    pub start_ns: u64,
    /// When the segment with the blank line was sent.
    pub head_end_ns: Option<u64>,
    /// When the segment with the first byte of the body was sent.
    pub body_first_ns: Option<u64>,
    /// When the last seen segment of the body was sent. Once the server sends again, when the last
    /// payload before that passed the socket. Unknown if that was more than the body, and the body's end
    /// was not captured.
    pub body_last_ns: Option<u64>,
    /// Whether the end of the head was not read: it lay in a hole, or the head was too long.
    pub head_cut: bool,
    /// Where in the client's stream the body begins.
    pub body_offset: Option<u64>,
    /// Whether the client was seen to send all of the body.
    pub body_sent: bool,
    /// Whether the server had received the whole body of known length when it last sent.
    pub body_arrived: bool,
    /// How many bytes of a body of known length were acknowledged when the server last sent; absent if
    /// the acknowledgment number is ambiguous.
    pub body_acknowledged: Option<u64>,
    /// The body's content, where the stream is passed whole and there is a body.
    pub content: Option<Box<Content>>,
    /// What tells it apart from others.
    pub marks: Option<Box<Marks>>,
}

/// A response, known once its first line was seen.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HttpResponse {
    /// The status (RFC 9110, section 15).
    pub status: u16,
    /// When the segment with its first byte was sent.
    pub start_ns: u64,
    /// When the client's last payload before it passed the socket.
    pub client_last_ns: Option<u64>,
    /// When the last seen segment of it was sent. Once the client sends again, when the last payload
    /// before that passed the socket.
    pub last_ns: u64,
    /// The content, where the stream is passed whole.
    pub content: Option<Box<Content>>,
}

/// 65,535 bytes at the largest shift (RFC 7323, section 2.3), rounded up.
const LARGEST_WINDOW: u64 = 1 << 30;

impl HttpRequest {
    /// How many bytes after the end of the body the server has received, where `received` is the length
    /// of the client's stream modulo 2^32. `None` if the body has not arrived in full.
    ///
    /// At most a window of 2^30 bytes is in flight (RFC 7323, section 2.3). So if the body was sent, or is
    /// shorter than that, fewer than 2^31 bytes are missing, and the difference modulo 2^32 is unambiguous.
    fn beyond(&self, received: u32) -> Option<u64> {
        let (length, offset) = self.content_length.zip(self.body_offset)?;
        let end = offset.wrapping_add(length);
        let beyond = u64::from(received).wrapping_sub(end) & u64::from(u32::MAX);
        let is_near = self.body_sent || length < LARGEST_WINDOW;
        (beyond == 0 || is_near && beyond < 1 << 31).then_some(beyond)
    }

    /// How much of a body of known length this number of the client's stream acknowledges. `None` if more
    /// follows the body, or if the body is unfinished and longer than 2^31: the number is ambiguous.
    fn acknowledged_by(&self, received: u32) -> Option<u64> {
        let (length, offset) = self.content_length.zip(self.body_offset)?;
        let end = offset.wrapping_add(length);
        let short = end.wrapping_sub(u64::from(received)) & u64::from(u32::MAX);
        match short {
            _ if self.chunked => None,
            0 => Some(length),
            _ if length < 1 << 31 => length.checked_sub(short),
            _ => None,
        }
    }
}
