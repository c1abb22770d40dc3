//! One plot: its lines in an area that is as wide as the page, and everything in words beside it.

use maud::{Markup, html};
use upload_protocol::units::moment;

use super::line::{HEIGHT, Line, Scale, WIDTH};

/// A plot.
pub(super) struct Figure {
    name: &'static str,
    pub(super) lines: Vec<Line>,
    /// A value in words.
    shown: fn(u64) -> String,
    /// The value beyond which lines are cut off.
    tallest: Option<u64>,
}

impl Figure {
    /// With the lines that have a value.
    pub(super) fn new(
        name: &'static str,
        lines: [Option<Line>; 3],
        shown: fn(u64) -> String,
        tallest: Option<u64>,
    ) -> Self {
        let lines = lines.into_iter().flatten();
        Self {
            name,
            lines: lines.filter(|line| line.most().is_some()).collect(),
            shown,
            tallest,
        }
    }

    /// The value at the upper edge.
    fn top(&self) -> u64 {
        let most = self.lines.iter().filter_map(Line::most);
        let most = most.map(|(_, most)| most).max().unwrap_or_default();
        self.tallest
            .map_or(most, |tallest| most.min(tallest))
            .max(1)
    }
}

/// The plot of this span of time.
pub(super) fn figure(figure: &Figure, (start_ns, end_ns): (u64, u64)) -> Markup {
    let top = figure.top();
    let scale = Scale {
        start_ns,
        end_ns,
        top,
    };
    html! {
        figure {
            figcaption { (figure.name) }
            div {
                span { ((figure.shown)(top)) }
                svg aria-hidden="true" viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) preserveAspectRatio="none" {
                    @for line in &figure.lines {
                        path class=(line.stroke.class()) d=(line.path(scale)) {}
                    }
                }
                span { (moment(start_ns)) }
                span { (moment(end_ns)) }
            }
            ul {
                @for line in &figure.lines {
                    li class=(line.stroke.class()) { (describe(line, figure, top)) }
                }
            }
        }
    }
}

/// A line in words.
fn describe(line: &Line, figure: &Figure, top: u64) -> String {
    let Some(((at, most), last)) = line.most().zip(line.last()) else {
        return line.name.to_owned();
    };
    let shown = figure.shown;
    let beyond = if most > top { ", beyond the plot" } else { "" };
    if most == last {
        format!("{}: up to {}{beyond}", line.name, shown(most))
    } else {
        format!(
            "{}: up to {} at {}{beyond}, {} at the end",
            line.name,
            shown(most),
            moment(at),
            shown(last)
        )
    }
}
