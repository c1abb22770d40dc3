//! One row of the chart: a label, a bar on the timeline's axis, a duration, a remark.

use std::io::{self, Write as _};

use anstyle::Style;
use upload_protocol::units::duration;

/// Cells of the axis.
const WIDTH: usize = 36;
/// A bar that is as wide as the axis.
const BAR: &str = "████████████████████████████████████";
/// For spans shorter than a cell.
const SLIVER: &str = "▏";
/// Columns of the label, and of the duration.
const LABEL: usize = 14;
const DURATION: usize = 9;

pub(super) struct Row {
    indent: &'static str,
    label: &'static str,
    style: Style,
    span: Option<(u64, u64)>,
}

impl Row {
    pub(super) const fn phase(label: &'static str, style: Style) -> Self {
        Self {
            indent: "  ",
            label,
            style,
            span: None,
        }
    }

    /// A part of a phase.
    pub(super) const fn part(label: &'static str) -> Self {
        Self {
            indent: "    ",
            label,
            style: Style::new(),
            span: None,
        }
    }

    /// Start and end, if both are known.
    pub(super) const fn span(mut self, span: Option<(u64, u64)>) -> Self {
        self.span = span;
        self
    }

    /// Writes the row on an axis of `whole` nanoseconds; `remark` writes the rest of the line.
    pub(super) fn write(
        &self,
        out: &mut Vec<u8>,
        whole: u64,
        remark: impl FnOnce(&mut Vec<u8>) -> io::Result<()>,
    ) -> io::Result<()> {
        let style = self.style;
        put(out, self.indent);
        put(out, self.label);
        blank(out, LABEL - self.indent.len() - self.label.len() + 1);
        if !style.is_plain() {
            write!(out, "{style}")?;
        }
        match self.span {
            Some(span) => bar(out, span, whole),
            None => blank(out, WIDTH),
        }
        if !style.is_plain() {
            write!(out, "{style:#}")?;
        }
        put(out, " ");
        let at = out.len();
        match self.span.map(|(start, end)| end.saturating_sub(start)) {
            None => put(out, "?"),
            // One segment, sent at once.
            Some(0) => put(out, "·"),
            Some(took) => write!(out, "{}", duration(took))?,
        }
        align_right(out, at, DURATION);
        put(out, "   ");
        remark(out)?;
        out.truncate(out.trim_ascii_end().len());
        out.push(b'\n');
        Ok(())
    }
}

pub(super) fn put(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
}

fn blank(out: &mut Vec<u8>, count: usize) {
    out.resize(out.len() + count, b' ');
}

/// Right-aligns the text written since `at` in `columns` columns.
fn align_right(out: &mut Vec<u8>, at: usize, columns: usize) {
    let is_character = |byte: &&u8| **byte & 0b1100_0000 != 0b1000_0000;
    let taken = out[at..].iter().filter(is_character).count();
    let missing = columns.saturating_sub(taken);
    blank(out, missing);
    out[at..].rotate_right(missing);
}

/// The bar, at least a sliver wide, and blanks up to the axis' end.
fn bar(out: &mut Vec<u8>, span: (u64, u64), whole: u64) {
    let (first, cells) = cells(span, whole);
    blank(out, first);
    if cells == 0 {
        put(out, SLIVER);
    } else {
        put(out, &BAR[..cells * SLIVER.len()]);
    }
    blank(out, WIDTH - first - cells.max(1));
}

/// The number of cells before the bar, and in it.
fn cells((start, end): (u64, u64), whole: u64) -> (usize, usize) {
    let cell = |at: u64| {
        let scaled = u128::from(at) * WIDTH as u128 / u128::from(whole.max(1));
        usize::try_from(scaled).map_or(WIDTH, |cell| cell.min(WIDTH))
    };
    let first = cell(start).min(WIDTH - 1);
    (first, cell(end).saturating_sub(first))
}

#[cfg(test)]
mod tests {
    use super::{WIDTH, bar};

    fn check(span: (u64, u64), whole: u64, start: usize, length: usize) {
        let mut drawn = Vec::new();
        bar(&mut drawn, span, whole);
        let drawn = String::from_utf8(drawn).unwrap();
        assert_eq!(drawn.chars().count(), WIDTH, "{drawn:?}");
        let blank = drawn.chars().take_while(|cell| *cell == ' ').count();
        let cells = drawn.trim().chars().count();
        assert_eq!((blank, cells), (start, length), "{drawn:?}");
    }

    #[test]
    fn bars_stay_on_the_axis() {
        check((0, 36), 36, 0, 36);
        check((18, 36), 36, 18, 18);
        check((0, 0), 36, 0, 1);
        check((36, 36), 36, 35, 1);
        check((0, 0), 0, 0, 1);
        check((0, u64::MAX), u64::MAX, 0, WIDTH);
    }
}
