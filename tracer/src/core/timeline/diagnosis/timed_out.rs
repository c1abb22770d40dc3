//! The time-out that ended an upload: a status says so, or the length of the silence before the end.

use upload_protocol::{
    End,
    timeline::{Ending, Exchange, TimedOut, Timeline, WaitedFor},
};

use super::Origin;
use crate::core::connection::Connection;

const REQUEST_TIMEOUT: u16 = 408;
const BAD_GATEWAY: u16 = 502;
const GATEWAY_TIMEOUT: u16 = 504;

const SECOND_NS: u64 = 1_000_000_000;
/// A silence of a whole number of seconds is one that somebody chose; from this one on, a multiple of five.
const LONG_NS: u64 = 10 * SECOND_NS;
/// A timer is late by this part of its time, and by the first of the two at least: its process must run. It is
/// late by the second at most.
const LATE_SHARE: u64 = 100;
const LEAST_LATE_NS: u64 = 100_000_000;
const MOST_LATE_NS: u64 = 500_000_000;
/// No time-out is shorter.
const LEAST_SILENCE_NS: u64 = 100_000_000;
/// What was sent may have been on its way for longer than what ends the silence.
const EARLY_NS: u64 = 20_000_000;

/// Of an upload that this request carried; times count from the connection's beginning.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    pub(super) exchange: &'a Exchange,
    /// The client's last payload before the response.
    pub(super) client_last_ns: Option<u64>,
    /// When the response before it ended, on a connection that is kept alive.
    pub(super) answered_ns: Option<u64>,
    /// The last payload of either end.
    pub(super) last_payload_ns: Option<u64>,
    /// How long a segment and its acknowledgment take.
    pub(super) rtt_ns: u64,
}

impl<'a> Asked<'a> {
    pub(super) fn of(
        timeline: &Timeline,
        connection: &Connection,
        exchange: &'a Exchange,
        origin: Origin,
    ) -> Self {
        let before = timeline
            .exchanges()
            .iter()
            .filter(|other| other.sequence < exchange.sequence)
            .filter_map(|other| other.response.span.end_ns);
        let payloads = connection
            .views()
            .filter_map(|(_, view)| view.passed.as_deref())
            .flatten();
        let rtts = [
            timeline.initiation().and_then(|phase| phase.rtt_ns),
            timeline.maintenance().and_then(|phase| phase.rtt_ns),
        ];
        Self {
            exchange,
            client_last_ns: client_last_ns(connection, exchange, origin),
            answered_ns: before.max(),
            last_payload_ns: payloads.map(|passed| origin.since(passed.last_ns)).max(),
            rtt_ns: rtts.into_iter().flatten().max().unwrap_or(0),
        }
    }
}

/// When the client's last payload before the response passed, where segments show it.
fn client_last_ns(connection: &Connection, exchange: &Exchange, origin: Origin) -> Option<u64> {
    let begun = exchange.response.span.start_ns?;
    let seen = connection.dialogue.payload.exchanges().iter();
    let mut responses = seen.filter_map(|http| http.response.as_ref());
    let response = responses.find(|response| origin.since(response.start_ns) == begun)?;
    Some(origin.since(response.client_last_ns?))
}

/// The time-out that ended it, where one did.
pub(super) fn find(timeline: &Timeline, asked: Asked<'_>) -> Option<TimedOut> {
    match asked.exchange.response.status {
        Some(status) => by_status(asked, status),
        None => by_closing(timeline, asked),
    }
}

fn by_status(asked: Asked<'_>, status: u16) -> Option<TimedOut> {
    let exchange = asked.exchange;
    let sent = exchange.request.span.end_ns.max(exchange.body.span.end_ns);
    // What is sent after the response tells nothing of the time before.
    let silence_ns = exchange.response.span.start_ns.and_then(|start| {
        let last = asked.client_last_ns.or(sent)?;
        start.checked_sub(last)
    });
    // A server that wants a rate does not wait for silence.
    let silence_ns = silence_ns.filter(|silence| *silence >= LEAST_SILENCE_NS);
    let waited_for = match status {
        REQUEST_TIMEOUT => WaitedFor::Request,
        GATEWAY_TIMEOUT => WaitedFor::Response,
        // Says only that the server behind it gave no valid response.
        BAD_GATEWAY if silence_ns.is_some_and(is_chosen) => WaitedFor::Response,
        _ => return None,
    };
    Some(TimedOut {
        end: End::Server,
        waited_for,
        status: Some(status),
        silence_ns,
    })
}

/// Closed by a process, without a response.
fn by_closing(timeline: &Timeline, asked: Asked<'_>) -> Option<TimedOut> {
    let termination = timeline.termination()?;
    if termination.ending == Some(Ending::Error) || termination.cause.timer.is_some() {
        return None;
    }
    let (end, at) = (termination.closed_first?, termination.start_ns?);
    let exchange = asked.exchange;
    let begun = exchange.request.span.start_ns?;
    // A FIN that left before the request could reach it.
    let crossed = end == End::Server && at <= begun.saturating_add(asked.rtt_ns);
    let (waited_for, since) = match asked.answered_ns {
        Some(answered) if crossed => (WaitedFor::NextRequest, answered),
        _ if is_sent(exchange)? => (WaitedFor::Response, asked.last_payload_ns?),
        _ if end == End::Server => (WaitedFor::Request, asked.last_payload_ns?),
        _ => return None,
    };
    let silence_ns = at.saturating_sub(since);
    is_chosen(silence_ns).then_some(TimedOut {
        end,
        waited_for,
        status: None,
        silence_ns: Some(silence_ns),
    })
}

/// Whether the whole body was sent; `None` for one of unknown length.
fn is_sent(exchange: &Exchange) -> Option<bool> {
    let announced = exchange.request.content_length?;
    Some(exchange.body.bytes.unwrap_or(0) >= announced)
}

/// Whether a silence is as long as a time-out that somebody set.
fn is_chosen(silence_ns: u64) -> bool {
    let unit = if silence_ns < LONG_NS {
        SECOND_NS
    } else {
        5 * SECOND_NS
    };
    let late = (silence_ns / LATE_SHARE).clamp(LEAST_LATE_NS, MOST_LATE_NS);
    let beyond = silence_ns.saturating_add(EARLY_NS) % unit;
    silence_ns.saturating_add(EARLY_NS) >= SECOND_NS && beyond <= EARLY_NS + late
}

#[cfg(test)]
mod tests;
