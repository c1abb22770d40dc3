//! A connection's timeline as spans: one of the connection for each end that is on this host, and below the
//! first one of each phase and of each request. Pure: what a collector gets follows from the timeline alone.

mod connection;
mod exchange;
mod phase;
#[cfg(test)]
mod tests;

use opentelemetry_proto::tonic::{
    resource::v1::Resource,
    trace::v1::{
        Span, Status,
        span::{Event, Link},
        status::StatusCode,
    },
};
use upload_protocol::timeline::{Phase, Timeline};

use super::{
    attributes::{Attributes, own},
    ids::{SpanId, TraceId, What},
    observer::Observer,
    resource::Common,
};

/// The flag `sampled` (W3C Trace Context, section 3.2.2.5).
const SAMPLED: u8 = 1;
/// OTLP's `SpanFlags`: the next bit is where the parent is …
const HAS_IS_REMOTE: u32 = 0x100;
/// … in another process.
const IS_REMOTE: u32 = 0x200;

/// The spans of a connection with the same resource.
pub(super) struct Group {
    pub(super) resource: Resource,
    pub(super) spans: Vec<Span>,
}

/// A connection, and who describes it.
#[derive(Clone, Copy)]
struct Described<'a> {
    timeline: &'a Timeline,
    trace: TraceId,
    observer: Observer,
}

/// All spans of a connection.
pub(super) fn of(timeline: &Timeline, common: &Common) -> Vec<Group> {
    let trace = TraceId::of(timeline, common.boot());
    let first = Described {
        timeline,
        trace,
        observer: Observer::of(timeline),
    };
    let mut spans = vec![connection::connection(first)];
    spans.extend(known_phases(timeline).map(|phase| phase::phase(first, phase)));
    for number in 0..timeline.exchanges().len() {
        spans.extend(exchange::exchange(first, number));
    }
    let group = |observer: Observer, spans| Group {
        resource: common.of(&observer.own(timeline).owner),
        spans,
    };
    let mut all = vec![group(first.observer, spans)];
    if let Some(observer) = Observer::beside(timeline) {
        let beside = connection::connection(Described { observer, ..first });
        all.push(group(observer, vec![beside]));
    }
    all
}

/// How many spans [`of`] makes.
pub(super) fn count(timeline: &Timeline) -> u64 {
    let exchanges = timeline.exchanges().iter();
    let exchanges = exchanges.filter(|one| one.window().is_some()).count();
    let connections = 1 + usize::from(Observer::beside(timeline).is_some());
    (connections + known_phases(timeline).count() + exchanges) as u64
}

/// The phases of which anything is known.
fn known_phases(timeline: &Timeline) -> impl Iterator<Item = &Phase> {
    timeline.phases.iter().filter(|phase| match phase {
        Phase::Initiation(phase) => phase.end_ns.is_some() || !phase.steps.is_empty(),
        Phase::Maintenance(_) => true,
        Phase::Termination(phase) => phase.start_ns.is_some() || !phase.steps.is_empty(),
    })
}

impl Described<'_> {
    fn id(self, what: What) -> SpanId {
        SpanId::of(self.trace, self.observer, what)
    }

    /// A span in the connection's trace, without attributes, events and links.
    fn span(
        self,
        what: What,
        name: &str,
        parent: Option<SpanId>,
        (start, end): (u64, u64),
    ) -> Span {
        Span {
            trace_id: self.trace.0.to_vec(),
            span_id: self.id(what).0.to_vec(),
            parent_span_id: parent.map_or_else(Vec::new, |id| id.0.to_vec()),
            flags: u32::from(SAMPLED) | HAS_IS_REMOTE,
            name: name.to_owned(),
            kind: self.observer.kind().into(),
            start_time_unix_nano: self.unix_ns(start),
            end_time_unix_nano: self.unix_ns(end.max(start)),
            ..Span::default()
        }
    }

    fn event(self, at_ns: u64, name: &str, attributes: Attributes) -> Event {
        Event {
            time_unix_nano: self.unix_ns(at_ns),
            name: name.to_owned(),
            attributes: attributes.0,
            ..Event::default()
        }
    }

    /// A link to a span in the connection's trace.
    fn link(self, to: SpanId, why: &str) -> Link {
        link(&self.trace.0, &to.0, SAMPLED, why)
    }

    /// A moment of the timeline on the wall clock.
    fn unix_ns(self, since_begin_ns: u64) -> u64 {
        let at = self.timeline.at.unix_ns + i128::from(since_begin_ns);
        u64::try_from(at).unwrap_or_default()
    }
}

fn link(trace: &[u8; 16], span: &[u8; 8], flags: u8, why: &str) -> Link {
    let mut attributes = Attributes::default();
    attributes.text(own::LINK, why);
    Link {
        trace_id: trace.to_vec(),
        span_id: span.to_vec(),
        flags: u32::from(flags),
        attributes: attributes.0,
        ..Link::default()
    }
}

fn error(message: String) -> Option<Status> {
    Some(Status {
        message,
        code: StatusCode::Error.into(),
    })
}
