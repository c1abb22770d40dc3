//! The phases of one upload, one after the other.

use tracer_ebpf::record::{EGRESS, INGRESS};
use upload_protocol::{
    End,
    timeline::{Exchange, HeldBackBy, Timeline},
};

use super::{Origin, body::Body};
use crate::core::connection::Connection;

/// Causes with how long each held the upload back, in nanoseconds, in the order of time.
pub(super) type Causes = Vec<(HeldBackBy, u64)>;

/// When one phase of an upload ended and the next began, in nanoseconds since the beginning of its
/// connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Spans {
    pub(super) start: u64,
    end: u64,
    /// Phases before the body: each lasts from the end of the one before to this moment.
    before: Vec<(HeldBackBy, u64)>,
    pub(super) body: Option<(u64, u64)>,
    /// When the response began.
    response: Option<u64>,
}

impl Spans {
    /// `None` for an upload that this timeline says nothing of.
    pub(super) fn of(
        timeline: &Timeline,
        upload: &str,
        connection: &Connection,
        sender: End,
        origin: Origin,
    ) -> Option<Self> {
        let maintenance = timeline.maintenance()?;
        let exchange = maintenance
            .exchanges
            .iter()
            .find(|exchange| exchange.is_of(upload));
        match exchange {
            Some(exchange) => Self::of_exchange(timeline, exchange, connection, origin),
            None => Self::of_bytes(timeline, connection, sender, origin),
        }
    }

    fn of_exchange(
        timeline: &Timeline,
        exchange: &Exchange,
        connection: &Connection,
        origin: Origin,
    ) -> Option<Self> {
        let (first, last) = exchange.window()?;
        let is_first = exchange.sequence == 1;
        let mut spans = Self {
            start: if is_first { 0 } else { first },
            end: last,
            ..Self::default()
        };
        if is_first {
            spans.open(timeline, connection, origin);
            if let Some(start) = exchange.request.span.start_ns {
                spans.before.push((HeldBackBy::ClientApplication, start));
            }
        }
        if let Some(head_end) = exchange.request.span.end_ns {
            spans.before.push((HeldBackBy::Request, head_end));
        }
        let body_start = exchange.body.span.start_ns;
        if exchange.request.expect_continue
            && let Some(answered) = exchange.request.continue_ns.or(body_start)
        {
            spans.before.push((HeldBackBy::ServerSilent, answered));
        }
        spans.response = exchange.response.span.start_ns;
        // Without a response, the body lasted to the end: the rest of it never came.
        let body_end = match spans.response {
            Some(_) => exchange.body.span.end_ns,
            None => {
                let closing = timeline.maintenance().and_then(|phase| phase.end_ns);
                let end = exchange.body.span.end_ns.max(closing);
                spans.end = spans.end.max(end.unwrap_or(0));
                end
            }
        };
        // A body whose beginning waits behind the head has begun for its sender.
        let begun = spans.before_end();
        spans.body = body_end
            .map(|end| (begun, end))
            .filter(|(start, end)| start < end);
        Some(spans)
    }

    /// Of bytes that are not read as HTTP: the body is all that its sender sent after the handshakes.
    fn of_bytes(
        timeline: &Timeline,
        connection: &Connection,
        sender: End,
        origin: Origin,
    ) -> Option<Self> {
        let last_by = |end: End| {
            let (view, direction) = match (connection.view(end), connection.view(end.other())) {
                (Some(view), _) => (view, EGRESS),
                (None, other) => (other?, INGRESS),
            };
            let passed = view.passed.as_ref()?.get(usize::from(direction)).copied()?;
            (passed.last_ns > 0).then(|| origin.since(passed.last_ns))
        };
        let sent_last = last_by(sender)?;
        let answered_last = last_by(sender.other()).filter(|last| *last > sent_last);
        let mut spans = Self {
            end: answered_last.unwrap_or(sent_last),
            response: answered_last,
            ..Self::default()
        };
        spans.open(timeline, connection, origin);
        let begun = spans.before_end();
        spans.body = Some((begun, sent_last)).filter(|(start, end)| start < end);
        Some(spans)
    }

    /// The handshakes and the accept queue.
    fn open(&mut self, timeline: &Timeline, connection: &Connection, origin: Origin) {
        let initiation = timeline.initiation();
        let handshake = initiation.and_then(|phase| phase.end_ns);
        let accepted = initiation
            .and_then(|phase| phase.accepted_ns)
            .or_else(|| Some(origin.since(seen_accepted(connection)?)));
        let tls = timeline
            .maintenance()
            .and_then(|phase| phase.tls.as_ref()?.end_ns);
        let moments = [
            (HeldBackBy::Connect, handshake),
            (HeldBackBy::Accept, accepted),
            (HeldBackBy::Tls, tls),
        ];
        let known = moments
            .into_iter()
            .filter_map(|(cause, end)| Some((cause, end?)));
        self.before.extend(known);
    }

    /// When the response began.
    pub(super) const fn response(&self) -> Option<u64> {
        self.response
    }

    pub(super) const fn wall_ns(&self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    /// How long the body took, from the end of the phases before it.
    pub(super) fn body_ns(&self) -> u64 {
        self.body.map_or(0, |(start, end)| end - start)
    }

    fn before_end(&self) -> u64 {
        let ends = self.before.iter().map(|(_, end)| *end);
        ends.max().unwrap_or(0).max(self.start)
    }

    /// The phases before the body, and those after it.
    pub(super) fn phases(&self, body: &Body, origin: Origin) -> (Causes, Causes) {
        let (mut causes, mut afterwards) = (Causes::new(), Causes::new());
        let mut now = self.start;
        for (cause, end) in &self.before {
            if *end > now {
                causes.push((*cause, end - now));
                now = *end;
            }
        }
        if let Some((_, end)) = self.body {
            now = now.max(end);
        }
        let Some(response) = self.response else {
            return (causes, afterwards);
        };
        let on_the_way = body.on_the_way();
        let after = [
            on_the_way.map(|(cause, ns)| (cause, now.saturating_add(ns))),
            body.read_ns
                .map(|read| (HeldBackBy::ServerNotReading, origin.since(read))),
            Some((HeldBackBy::ServerThinks, response)),
        ];
        for (cause, until) in after.into_iter().flatten() {
            let until = until.min(response);
            if until > now {
                afterwards.push((cause, until - now));
                now = until;
            }
        }
        if self.end > now {
            afterwards.push((HeldBackBy::Response, self.end - now));
        }
        (causes, afterwards)
    }
}

/// When the server's kernel saw the connection accepted, where it had seen it wait.
pub(super) fn seen_accepted(connection: &Connection) -> Option<u64> {
    let server = connection.view(End::Server)?;
    server.limits.as_deref()?.accepted_ns()
}
