//! The way of the upload through proxies: its hops on one axis, and between them the time for which a proxy held it.

use maud::{Markup, html};
use upload_protocol::{
    explain,
    timeline::{Certainty, PassedOn, UploadHop},
    units::duration,
};

use super::{axis::percent, chart::hatch, connection::endpoint, shown::Shown};

/// The ways on which the upload with this id came; none where its connections are the only ones known. `name`
/// distinguishes its identifiers from those of others on the page.
#[must_use]
pub fn way(timelines: &[Shown], upload: &str, name: &str) -> Markup {
    let numbered = timelines.iter().enumerate();
    let ways: Vec<(usize, &[UploadHop])> = numbered
        .filter_map(|(number, timeline)| Some((number, timeline.hops_of(upload)?)))
        .collect();
    if ways.is_empty() {
        return Markup::default();
    }
    let several = timelines.len() > 1;
    html! {
        section.way {
            h2 { "The way of this upload" }
            @for (number, hops) in ways {
                @if several { h3 { "To connection " (number + 1) " of " (timelines.len()) } }
                (lanes(hops, &format!("{name}-{number}")))
                @for sentence in explain::hops(hops) { p.note { (sentence) } }
            }
        }
    }
}

/// A stretch of the axis, in nanoseconds since its beginning.
type Stretch = (u64, u64);

/// One axis for all hops.
struct Axis {
    begins_mono_ns: u64,
    length_ns: u64,
}

impl Axis {
    fn of(hops: &[UploadHop]) -> Self {
        let starts = hops.iter().filter_map(|hop| hop.request_mono_ns);
        let mut axis = Self {
            begins_mono_ns: starts.min().unwrap_or_default(),
            length_ns: 0,
        };
        let stretches = hops.iter().flat_map(|hop| {
            let parts = [axis.request(hop), axis.wait(hop), axis.held(hop)];
            parts.into_iter().flatten()
        });
        axis.length_ns = stretches.map(|(_, end)| end).max().unwrap_or_default();
        axis
    }

    fn starting_with(&self, hop: &UploadHop, length_ns: Option<u64>) -> Option<Stretch> {
        let start = hop.request_mono_ns?.saturating_sub(self.begins_mono_ns);
        Some((start, start.saturating_add(length_ns?)))
    }

    /// From the request's first byte to its last.
    fn request(&self, hop: &UploadHop) -> Option<Stretch> {
        self.starting_with(hop, hop.request_ns)
    }

    /// From the request's last byte to the response's first.
    fn wait(&self, hop: &UploadHop) -> Option<Stretch> {
        let (_, start) = self.request(hop)?;
        Some((start, start.saturating_add(hop.wait_ns?)))
    }

    /// From the request's first byte to its first byte on the next hop.
    fn held(&self, hop: &UploadHop) -> Option<Stretch> {
        self.starting_with(hop, hop.held_ns)
    }

    /// Left and width of a stretch as attributes; what is short can still be seen.
    fn place(&self, (start, end): Stretch) -> (String, String) {
        let part = |at: u64| at as f64 * 100.0 / self.length_ns.max(1) as f64;
        let left = part(start).min(99.6);
        let width = (part(end) - left).max(0.4);
        (percent(left), percent(width))
    }
}

/// A lane for each hop, and one between for what a proxy held.
fn lanes(hops: &[UploadHop], name: &str) -> Markup {
    let axis = Axis::of(hops);
    let paint = format!("{name}-hatch");
    html! {
        svg.patterns aria-hidden="true" width="0" height="0" {
            (hatch(&paint))
        }
        p.note {
            "One axis"
            @if axis.length_ns > 0 { " of " (duration(axis.length_ns)) }
            ": on each hop the request, then the wait for the response; hatched between them is the time from the "
            "request's first byte on one hop to its first byte on the next."
        }
        ol.bars aria-label="The hops on one axis" {
            @for (number, hop) in (1..).zip(hops) {
                @let is_inferred = is_inferred(hops.get(number - 1..).unwrap_or_default());
                (lane(hop, (number, number == hops.len()), is_inferred, &axis))
                @if let Some(held) = axis.held(hop) { (held_lane(hop, held, &axis, &paint)) }
            }
        }
    }
}

/// Whether it is inferred that these hops, up to the last one, carried the same upload.
fn is_inferred(hops: &[UploadHop]) -> bool {
    let mut hops = hops.iter();
    hops.any(|hop| hop.certainty == Certainty::Inferred)
}

fn lane(
    hop: &UploadHop,
    (number, is_last): (usize, bool),
    is_inferred: bool,
    axis: &Axis,
) -> Markup {
    let took = hop.until_response_ns().map(|ns| duration(ns).to_string());
    let stretches = [
        ("body", "request", axis.request(hop)),
        ("wait", "wait for the response", axis.wait(hop)),
    ];
    html! {
        li.hop {
            span {
                b { "hop " (number) } ": "
                (endpoint(hop.sending())) span aria-hidden="true" { " → " } i { " to " }
                (endpoint(hop.receiving()))
            }
            i { ": " }
            span {
                (took.as_deref().unwrap_or("unknown"))
                @if is_inferred { " (inferred)" }
            }
            (track(&html! {
                @for (class, what, stretch) in stretches {
                    @if let Some((start, end)) = stretch {
                        @let (left, width) = axis.place((start, end));
                        g {
                            title { (what) ": " (duration(end - start)) }
                            rect.(class) .inferred[is_inferred]
                                x=(left) width=(width) {}
                        }
                    }
                }
            }))
            @let remarks = explain::hop_remarks(hop, is_last);
            @if !remarks.is_empty() { p { (remarks.join(", ")) } }
        }
    }
}

fn held_lane(hop: &UploadHop, (start, end): Stretch, axis: &Axis, paint: &str) -> Markup {
    let proxy = hop.receiving().owner.comm.as_deref();
    let (left, width) = axis.place((start, end));
    html! {
        li.held {
            span {
                "held by " (proxy.unwrap_or("the process between"))
                @match hop.passed_on {
                    Some(PassedOn::Buffered) => ", which received all of it first",
                    Some(PassedOn::Streamed) => ", which passed it on as it came",
                    None => "",
                }
            }
            i { ": " }
            span { (duration(end - start)) }
            (track(&html! {
                rect x=(left) width=(width) fill=(format!("url(#{paint})")) {}
            }))
        }
    }
}

fn track(drawn: &Markup) -> Markup {
    html! {
        svg.whole aria-hidden="true" {
            (drawn)
        }
    }
}
