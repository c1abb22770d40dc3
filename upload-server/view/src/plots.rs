//! How the payload of a connection went, as plots: time against sequence number, as in Stevens' "TCP/IP Illustrated" and
//! in Wireshark; the bytes in flight against the windows; throughput; and round-trip times.

mod figure;
mod line;
mod rate;

use std::sync::Arc;

use maud::{Markup, html};
use upload_protocol::{
    End,
    timeline::{Samples, TakenAt},
    units::{bytes, duration},
};

use self::{
    figure::{Figure, figure},
    line::{Line, Stroke},
    rate::rates,
};
use crate::shown::Shown;

/// With fewer samples, there is no course to see.
const FEWEST: usize = 8;
/// So much higher than what was in flight a plot is at most: a window may be a hundred times as large.
const TALLEST: u64 = 4;

/// The plots of each direction that was sampled; nothing where none was.
pub(super) fn plots(timeline: &Shown) -> Markup {
    let directions = [End::Client, End::Server].map(|from| Direction::of(&timeline.samples, from));
    let is_one_of_two = directions.iter().flatten().count() > 1;
    html! {
        @for direction in directions.iter().flatten() {
            h3 {
                "Over time"
                @if is_one_of_two { ", from the " (direction.from.name()) }
            }
            p.note { (direction.how_it_is_known()) }
            div.plots {
                @for drawn in direction.figures() { (figure(&drawn, direction.span)) }
            }
        }
    }
}

/// What was sampled of the payload of one end.
struct Direction<'a> {
    from: End,
    sender: Option<&'a Samples>,
    receiver: Option<&'a Samples>,
    segments: Option<&'a Samples>,
    /// From the first sample to the last that has news.
    span: (u64, u64),
}

impl<'a> Direction<'a> {
    fn of(all: &'a [Arc<Samples>], from: End) -> Option<Self> {
        let taken = |at| {
            let mut own = all.iter().map(Arc::as_ref);
            own.find(|samples| samples.from == from && samples.taken_at == at && has_news(samples))
        };
        let places = [TakenAt::Sender, TakenAt::Receiver, TakenAt::Segments];
        let [sender, receiver, segments] = places.map(taken);
        let spans = [sender, receiver, segments].into_iter().flatten();
        let span = spans
            .map(span)
            .reduce(|(start, end), (first, last)| (start.min(first), end.max(last)))?;
        Some(Self {
            from,
            sender,
            receiver,
            segments,
            span,
        })
    }

    fn how_it_is_known(&self) -> String {
        let (from, to) = (self.from.name(), self.from.other().name());
        let sockets = [(self.sender, from), (self.receiver, to)];
        let sockets = sockets.into_iter().filter_map(|(samples, end)| {
            Some(format!("{} of the {end}'s socket", count(samples?)))
        });
        let sockets: Vec<String> = sockets.collect();
        let kernel = format!("The kernel sampled it: {}.", sockets.join(", "));
        let between = "Between samples, lines are straight.";
        match self.segments {
            Some(segments) => format!("Every segment was seen: {}. {between}", count(segments)),
            None => format!("{kernel} {between}"),
        }
    }

    fn figures(&self) -> Vec<Figure> {
        let all = [
            self.sequence_numbers(),
            self.in_flight(),
            self.throughput(),
            self.round_trips(),
        ];
        let all = all.into_iter();
        all.filter(|figure| !figure.lines.is_empty()).collect()
    }

    fn sequence_numbers(&self) -> Figure {
        let sender = self.segments.or(self.sender);
        let lines = [
            sender.map(|all| Line::new("sent", Stroke::Sent, &all.at_ns, known(&all.sent))),
            sender
                .map(|all| Line::new("acknowledged", Stroke::Acked, &all.at_ns, known(&all.acked))),
            self.receiver
                .map(|all| Line::new("received", Stroke::Received, &all.at_ns, known(&all.acked))),
        ];
        Figure::new(
            "Sequence numbers (Stevens)",
            lines,
            |number| bytes(number).to_string(),
            None,
        )
    }

    fn in_flight(&self) -> Figure {
        let flight = self.segments.or(self.sender);
        let most = flight.and_then(|all| all.in_flight.iter().copied().max());
        let window = self.sender.or(self.segments).or(self.receiver);
        let lines = [
            flight.map(|all| {
                let flight = all.in_flight.iter().map(|count| Some(u64::from(*count)));
                Line::new("in flight", Stroke::Sent, &all.at_ns, flight)
            }),
            window.map(|all| {
                let window = all.window.iter().map(|bytes| bytes.map(u64::from));
                Line::new("receive window", Stroke::Window, &all.at_ns, window)
            }),
            self.sender.map(|all| {
                Line::new(
                    "congestion window",
                    Stroke::Congestion,
                    &all.at_ns,
                    known(&all.cwnd),
                )
            }),
        ];
        let tallest = most.map(|most| TALLEST * u64::from(most));
        Figure::new(
            "Bytes in flight and windows",
            lines,
            |count| bytes(count).to_string(),
            tallest.filter(|most| *most > 0),
        )
    }

    fn throughput(&self) -> Figure {
        let acked = self.segments.or(self.sender);
        let rated = |all: &Samples, name, stroke| {
            let rates = rates(&all.at_ns, &all.acked, self.span);
            Line::of_points(name, stroke, rates)
        };
        let lines = [
            acked.map(|all| rated(all, "acknowledged", Stroke::Acked)),
            self.receiver
                .map(|all| rated(all, "received", Stroke::Received)),
            None,
        ];
        let shown = |rate| format!("{}/s", bytes(rate));
        Figure::new("Throughput", lines, shown, None)
    }

    fn round_trips(&self) -> Figure {
        let line = |all: &Samples, name, stroke| {
            Line::new(name, stroke, &all.at_ns, all.rtt_ns.iter().copied())
        };
        let lines = [
            self.segments
                .map(|all| line(all, "from a segment to its acknowledgment", Stroke::Sent)),
            self.sender
                .map(|all| line(all, "smoothed, at the sender", Stroke::Acked)),
            None,
        ];
        Figure::new(
            "Round-trip time",
            lines,
            |ns| duration(ns).to_string(),
            None,
        )
    }
}

/// Whether there is a course to see.
fn has_news(samples: &Samples) -> bool {
    let (start, end) = span(samples);
    end > start && samples.at_ns.len() >= FEWEST
}

/// From the first sample to the last before which something was sent or acknowledged.
fn span(samples: &Samples) -> (u64, u64) {
    let start = samples.at_ns.first().copied().unwrap_or_default();
    let last = |numbers: &[u64]| {
        let mut pairs = numbers.windows(2);
        let changed = pairs.rposition(|pair| pair.first() != pair.last());
        changed.map_or(0, |at| at + 1)
    };
    let last = last(&samples.sent).max(last(&samples.acked));
    let end = samples.at_ns.get(last).copied().unwrap_or(start);
    (start, end.max(start))
}

fn known(numbers: &[u64]) -> impl Iterator<Item = Option<u64>> {
    numbers.iter().copied().map(Some)
}

fn count(samples: &Samples) -> String {
    let (kept, taken) = (samples.at_ns.len() as u64, samples.taken);
    if taken > kept {
        format!("{kept} of {taken} samples")
    } else {
        format!("{kept} samples")
    }
}

#[cfg(test)]
mod tests;
