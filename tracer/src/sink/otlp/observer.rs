//! Who describes a connection: the end whose socket was seen, or a capture.

use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use upload_protocol::{
    End,
    timeline::{Endpoint, Timeline},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Observer {
    End(End),
    /// A capture shows what is between the ends, and no socket.
    Capture,
}

impl Observer {
    /// The end that describes the phases and the requests: the client's, if its socket is on this host.
    pub(super) fn of(timeline: &Timeline) -> Self {
        if timeline.client.cookie.is_some() {
            Self::End(End::Client)
        } else if timeline.server.cookie.is_some() {
            Self::End(End::Server)
        } else {
            Self::Capture
        }
    }

    /// The other end, if it is on this host, too.
    pub(super) fn beside(timeline: &Timeline) -> Option<Self> {
        let both = timeline.client.cookie.is_some() && timeline.server.cookie.is_some();
        both.then_some(Self::End(End::Server))
    }

    /// The end on another host, whose tracer describes the rest.
    pub(super) fn elsewhere(self, timeline: &Timeline) -> Option<Self> {
        match self {
            Self::End(end) if Self::beside(timeline).is_none() => Some(Self::End(end.other())),
            Self::End(_) | Self::Capture => None,
        }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::End(end) => end.name(),
            Self::Capture => "capture",
        }
    }

    pub(super) const fn kind(self) -> SpanKind {
        match self {
            Self::End(End::Client) => SpanKind::Client,
            Self::End(End::Server) => SpanKind::Server,
            Self::Capture => SpanKind::Internal,
        }
    }

    /// The end that it is nearer to.
    pub(super) const fn end(self) -> End {
        match self {
            Self::End(end) => end,
            Self::Capture => End::Client,
        }
    }

    pub(super) const fn own(self, timeline: &Timeline) -> &Endpoint {
        endpoint(timeline, self.end())
    }

    pub(super) const fn peer(self, timeline: &Timeline) -> &Endpoint {
        endpoint(timeline, self.end().other())
    }
}

const fn endpoint(timeline: &Timeline, end: End) -> &Endpoint {
    match end {
        End::Client => &timeline.client,
        End::Server => &timeline.server,
    }
}
