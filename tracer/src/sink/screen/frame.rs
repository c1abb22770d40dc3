//! Text in a buffer of cells. Whatever is put there is escaped first.

use ratatui::{buffer::Buffer, layout::Rect, style::Style, text::Span};
use upload_protocol::units::plain;

use crate::{
    core::{output::Output, scope::Scope},
    sink::{Render as _, Styles, Text},
};

/// How an output looks as text, without colours. Beyond so many bytes, lines are left out.
pub(super) fn lines_of(output: &Output, explain: bool, most_bytes: usize) -> Vec<String> {
    let mut text = Text::new(Styles::default(), Scope::default(), explain);
    let mut bytes = Vec::new();
    if text.render(output, &mut bytes).is_err() {
        return vec!["this timeline cannot be shown".to_owned()];
    }
    let rendered = String::from_utf8_lossy(&bytes);
    let mut lines = Vec::new();
    let mut used = 0;
    let mut all = rendered.trim_end().lines();
    for line in all.by_ref() {
        used += line.len();
        if used > most_bytes {
            lines.push(format!(
                "… {} more lines are left out here",
                all.count() + 1
            ));
            break;
        }
        lines.push(line.to_owned());
    }
    lines
}

/// Where text begins in its column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Align {
    Left,
    Right,
}

/// Puts escaped text into a row, cut to the columns from `x` on.
pub(super) fn put(buffer: &mut Buffer, area: Rect, text: &str, style: Style, align: Align) {
    if area.width == 0 || area.height == 0 {
        return;
    }
    let text = plain(text);
    let width = u16::try_from(Span::raw(&*text).width()).unwrap_or(u16::MAX);
    if width > area.width {
        let room = usize::from(area.width - 1);
        let (end, _) = buffer.set_stringn(area.x, area.y, &*text, room, style);
        buffer.set_stringn(end, area.y, "…", 1, style);
        return;
    }
    let x = match align {
        Align::Left => area.x,
        Align::Right => area.x + (area.width - width),
    };
    buffer.set_stringn(x, area.y, &*text, usize::from(area.width), style);
}

/// One row of an area.
pub(super) const fn row(area: Rect, number: u16) -> Rect {
    let height = if number < area.height { 1 } else { 0 };
    Rect {
        x: area.x,
        y: area.y + number,
        width: area.width,
        height,
    }
}

/// The rows of an area from one on, so many at most.
pub(super) fn rows(area: Rect, from: u16, count: u16) -> Rect {
    let from = from.min(area.height);
    Rect {
        x: area.x,
        y: area.y + from,
        width: area.width,
        height: count.min(area.height - from),
    }
}
