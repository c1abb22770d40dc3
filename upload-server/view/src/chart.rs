//! The three phases and their parts as bars on one axis. The words are text, for narrow screens and for
//! people who cannot see the bars.

mod rows;

use maud::{Markup, html};

use upload_protocol::{timeline::Certainty, units::duration};

use self::rows::{Drawn, Row, rows};
pub(super) use self::rows::{why_no_initiation, why_no_termination};
use super::{
    axis::{Axis, ZONES, percent},
    causes::textures,
    ribbon::ribbon,
    shown::Shown,
};

/// The chart of one connection; `paints` is the name that distinguishes the [paints](self::paints) of the page.
#[must_use]
pub fn chart(timeline: &Shown, paints: &str) -> Markup {
    let axis = Axis::of(timeline);
    html! {
        div.chart {
            (scale(&axis))
            ol.bars aria-label="Phases on one axis, each with its own scale" {
                @for row in rows(timeline, &axis) {
                    li class=(row.class) {
                        span { (row.label) }
                        i { ": " }
                        span {
                            (row.took)
                            @if row.certainty == Certainty::Inferred { " (inferred)" }
                        }
                        (bar(&row, &axis, paints))
                    }
                }
            }
            @for sentence in left_out(timeline, &axis) {
                p.note { (sentence) }
            }
        }
    }
}

/// What charts are painted with beside plain colours; `name` distinguishes it from others on the page.
#[must_use]
pub fn paints(name: &str) -> Markup {
    html! {
        svg.patterns aria-hidden="true" width="0" height="0" {
            (hatch(&format!("{name}-hatch")))
            (textures(name))
        }
    }
}

/// The pattern with this id: for what is unknown, and for what a proxy held.
pub(super) fn hatch(id: &str) -> Markup {
    html! {
        pattern id=(id) width="8" height="8" patternUnits="userSpaceOnUse"
            patternTransform="rotate(45)" {
            rect.hatch width="3" height="8" {}
        }
    }
}

/// The zones' lengths. The style sheet marks where the scale breaks between them.
fn scale(axis: &Axis) -> Markup {
    html! {
        p.scale aria-hidden="true" {
            @for number in 0..ZONES.len() {
                span {
                    @match axis.length_ns(number) {
                        Some(length) => (duration(length)),
                        None => "?",
                    }
                }
            }
        }
    }
}

fn bar(row: &Row<'_>, axis: &Axis, paints: &str) -> Markup {
    html! {
        svg aria-hidden="true" {
            @match row.drawn {
                Drawn::Span(start, end) => {
                    @let (left, right) = axis.place(start, end);
                    rect class=[(row.certainty == Certainty::Inferred).then_some("inferred")]
                        x=(percent(left.min(99.6)))
                        width=(percent((right - left).max(0.4))) {}
                }
                Drawn::Unknown(zone) => {
                    @let (left, right) = ZONES.get(zone).copied().unwrap_or((0.0, 100.0));
                    rect.unknown x=(percent(left)) width=(percent(right - left))
                        fill=(format!("url(#{paints}-hatch)")) {}
                }
                Drawn::Course(diagnosis) => (ribbon(diagnosis, axis, paints)),
            }
        }
    }
}

/// The times that the axis leaves out, in sentences.
fn left_out(timeline: &Shown, axis: &Axis) -> Vec<String> {
    let mut sentences = Vec::new();
    let earlier = timeline.own().map(|exchange| exchange.sequence).min();
    let earlier = earlier.unwrap_or_default().saturating_sub(1);
    let (before, after) = axis.left_out_ns;
    let carried = match earlier {
        0 => "when the connection was idle".to_owned(),
        1 => "with another request, which the connection was opened for".to_owned(),
        count => {
            format!("with {count} other requests, for the first of which the connection was opened")
        }
    };
    if before > 0 {
        let before = duration(before);
        sentences.push(format!(
            "The axis leaves out {before} before this upload, {carried}."
        ));
    } else if earlier > 0 {
        sentences.push(format!("This upload came {carried}."));
    }
    if after > 0 {
        let after = duration(after);
        sentences.push(format!(
            "The axis leaves out {after} after this upload, up to the last that is known."
        ));
    }
    sentences
}
