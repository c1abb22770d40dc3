//! One row of the chart: a label, a bar on the timeline's axis, a duration, a remark.

use std::io::{self, Write};

use anstyle::Style;

use crate::sink::units::duration;

/// Cells of the axis.
const WIDTH: u64 = 36;

/// See the module.
pub(super) struct Row {
    label: String,
    style: Style,
    span: Option<(u64, u64)>,
}

impl Row {
    /// A phase.
    pub(super) fn phase(label: &str, style: Style) -> Self {
        Self {
            label: format!("  {label}"),
            style,
            span: None,
        }
    }

    /// A part of a phase.
    pub(super) fn part(label: &str) -> Self {
        Self {
            label: format!("    {label}"),
            style: Style::new(),
            span: None,
        }
    }

    /// From when to when, if that is known.
    pub(super) const fn span(mut self, span: Option<(u64, u64)>) -> Self {
        self.span = span;
        self
    }

    /// Writes the row on an axis that is `whole` nanoseconds long.
    pub(super) fn write(&self, out: &mut impl Write, whole: u64, remark: &str) -> io::Result<()> {
        let (style, label) = (self.style, &self.label);
        let bar = self.span.map_or_else(String::new, |span| bar(span, whole));
        let took = self.span.map_or_else(
            || "?".to_owned(),
            |(start, end)| match end.saturating_sub(start) {
                // One segment, sent at once.
                0 => "·".to_owned(),
                took => duration(took),
            },
        );
        let width = usize::try_from(WIDTH).unwrap_or_default();
        let line = format!("{label:<14} {style}{bar:<width$}{style:#} {took:>9}   {remark}");
        writeln!(out, "{}", line.trim_end())
    }
}

/// The bar, at least a sliver wide.
fn bar((start, end): (u64, u64), whole: u64) -> String {
    let cell = |at: u64| {
        let scaled = u128::from(at) * u128::from(WIDTH) * 8 / u128::from(whole.max(1));
        u64::try_from(scaled).map_or(WIDTH * 8, |eighths| eighths.min(WIDTH * 8))
    };
    let (from, to) = (cell(start), cell(end));
    let first = (from / 8).min(WIDTH - 1);
    let cells = (to / 8).saturating_sub(first);
    let mut bar = " ".repeat(usize::try_from(first).unwrap_or_default());
    if cells == 0 {
        bar.push('▏');
    } else {
        bar.push_str(&"█".repeat(usize::try_from(cells).unwrap_or_default()));
    }
    bar
}

#[cfg(test)]
mod tests {
    use super::{WIDTH, bar};

    fn check(span: (u64, u64), whole: u64, start: usize, length: usize) {
        let drawn = bar(span, whole);
        let blank = drawn.chars().take_while(|cell| *cell == ' ').count();
        assert_eq!((blank, drawn.chars().count() - blank), (start, length));
    }

    #[test]
    fn bars_stay_on_the_axis() {
        check((0, 36), 36, 0, 36);
        check((18, 36), 36, 18, 18);
        check((0, 0), 36, 0, 1);
        check((36, 36), 36, 35, 1);
        check((0, 0), 0, 0, 1);
        check((0, u64::MAX), u64::MAX, 0, usize::try_from(WIDTH).unwrap());
    }
}
