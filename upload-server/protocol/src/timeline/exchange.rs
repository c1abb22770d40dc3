//! A request and its response.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::{Certainty, TraceParent};
use crate::{names::names, tcp::is_false};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Exchange {
    pub request: Request,
    pub body: Body,
    /// From the last byte of the body to the response: the server works.
    pub wait: Span,
    pub response: Response,
    /// Whose clock the times are from: that of the segments, where they show the whole exchange in the
    /// clear, or else the server's own readings.
    pub known_by: KnownBy,
    /// The upload it carried; the first of several; `null` for none, or none that a server reported.
    pub upload: Option<String>,
    /// All of them, where a form carried several files.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub uploads: Vec<String>,
    /// Which request on the connection, counted from 1. From 2 on, the handshake was paid by an
    /// earlier one.
    pub sequence: u32,
}

/// A stretch of time; an end that was not seen is `null`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Span {
    pub start_ns: Option<u64>,
    pub end_ns: Option<u64>,
    /// How the two are known.
    pub certainty: Certainty,
}

/// A request head: from its first segment to its last, or, by the server's clock, from the first byte
/// read to the last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Request {
    #[serde(flatten)]
    pub span: Span,
    pub method: Cow<'static, str>,
    pub target: String,
    /// The protocol version, such as `HTTP/1.1`.
    pub version: Cow<'static, str>,
    /// The field Content-Length.
    pub content_length: Option<u64>,
    /// Whether the client waits for `100 Continue` (RFC 9110, section 10.1.1).
    #[serde(skip_serializing_if = "is_false")]
    pub expect_continue: bool,
    /// When the server sent `100 Continue`, which the client waited for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub continue_ns: Option<u64>,
    /// The span that it belongs to, as its client names it (W3C Trace Context); absent where it names none, or
    /// its head is not in the clear.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<TraceParent>,
}

/// Whose clock the times of an exchange are from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KnownBy {
    Server,
    #[default]
    Segments,
}

impl KnownBy {
    /// As in every output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Segments => "segments",
        }
    }
}

/// A request body: from its first segment to its last, or, by the server's clock, from the first byte
/// passed to the handler to the last. The last segment's time is that of its arrival where the
/// server's socket is on this machine, and that of its leaving where only the client's is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Body {
    #[serde(flatten)]
    pub span: Span,
    /// Bytes of the files in it that arrived, by the server's count; without a server's report, bytes
    /// of the body that arrived.
    pub bytes: Option<u64>,
    /// Bytes of TCP payload of the body that the server's end had acknowledged when it answered;
    /// `null` where the request is not in the clear, comes in chunks, or has more behind it.
    pub acknowledged: Option<u64>,
    /// The same as `bytes` per second; `null` for a body that took no time.
    pub bytes_per_second: Option<u64>,
    /// Why its end is not there; absent where it is, and where a capture does not show it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing_end: Option<MissingEnd>,
}

names! {
    /// Why the end of a request's or a response's body is not there, in a capture.
    pub enum MissingEnd {
        /// Its sender closed its direction before.
        Closed = "closed",
        Reset = "reset",
        /// One of the ends gave up the stream of HTTP/2 (RFC 9113, section 6.4).
        StreamReset = "stream reset",
        CaptureEnded = "capture ended",
        /// A part of it, and perhaps its end, was not captured.
        Hole = "hole in the capture",
    }
}

/// A response: from its first segment to its last, or, by the server's clock, from ready to handed to
/// the kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Response {
    #[serde(flatten)]
    pub span: Span,
    /// `null` where none was sent.
    pub status: Option<u16>,
    /// Bytes of its body, without the chunks around it; absent where they were not counted: only a capture
    /// shows them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// As in [`Body`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing_end: Option<MissingEnd>,
}

impl Exchange {
    /// Whether it carried this upload.
    #[must_use]
    pub fn is_of(&self, upload: &str) -> bool {
        self.upload.as_deref() == Some(upload) || self.uploads.iter().any(|id| id == upload)
    }

    /// From the first moment that is known of it to the last.
    #[must_use]
    pub fn window(&self) -> Option<(u64, u64)> {
        let spans = [
            self.request.span,
            self.body.span,
            self.wait,
            self.response.span,
        ];
        let moments = spans.iter().flat_map(|span| [span.start_ns, span.end_ns]);
        let moments = moments.flatten();
        Some((moments.clone().min()?, moments.max()?))
    }
}

impl Request {
    /// Whether the protocol carries several requests on one connection at the same time.
    #[must_use]
    pub fn is_multiplexed(&self) -> bool {
        self.version.starts_with("HTTP/2")
    }
}

impl Span {
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        self.start_ns.is_some() && self.end_ns.is_some()
    }

    /// Both ends, where both are known.
    #[must_use]
    pub fn ends(&self) -> Option<(u64, u64)> {
        self.start_ns.zip(self.end_ns)
    }
}
