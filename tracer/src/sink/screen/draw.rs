//! Draws the view into a buffer of cells.

use std::fmt::Write as _;

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::{Color, Modifier, Style},
};

use super::{
    ended::Ended,
    frame::{Align, put, row, rows},
    keys::HELP,
    state::{Page, Place, State},
    table::{self, Column},
    words,
};

/// Styles of the view: without colours where nobody wants them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Palette {
    pub(super) heading: Style,
    pub(super) selected: Style,
    pub(super) upload: Style,
    pub(super) bad: Style,
    pub(super) dim: Style,
}

impl Palette {
    pub(super) const fn new(coloured: bool) -> Self {
        let plain = Style::new();
        Self {
            heading: plain.add_modifier(Modifier::BOLD),
            selected: plain.add_modifier(Modifier::REVERSED),
            upload: if coloured {
                plain.fg(Color::Green)
            } else {
                plain
            },
            bad: if coloured {
                plain.fg(Color::Red).add_modifier(Modifier::BOLD)
            } else {
                plain.add_modifier(Modifier::BOLD)
            },
            dim: plain.add_modifier(Modifier::DIM),
        }
    }
}

/// Draws the state; `message` is what waits for stderr. Takes down how much room lists have.
pub(super) fn draw(
    state: &mut State,
    message: Option<&str>,
    palette: Palette,
    buffer: &mut Buffer,
    area: Rect,
) {
    if area.height < 3 || area.width < 20 {
        put(buffer, row(area, 0), "too small", palette.bad, Align::Left);
        return;
    }
    draw_totals(state, palette, buffer, row(area, 0));
    let body = rows(area, 1, area.height - 2);
    let foot = row(area, area.height - 1);
    let mut page = std::mem::take(&mut state.page);
    let keys = match &mut page {
        Page::Lists => {
            draw_lists(state, palette, buffer, body);
            "↑↓ select  Enter open  Tab list  s order  r reverse  / filter  ? help  q quit"
        }
        Page::Timeline(opened) => {
            let what = if opened.is_under_way() {
                "under way: its timeline so far"
            } else {
                "ended"
            };
            put(buffer, row(body, 0), what, palette.heading, Align::Left);
            let text = rows(body, 1, body.height);
            opened.room = usize::from(text.height);
            let last = opened.lines.len().saturating_sub(opened.room);
            opened.top = opened.top.min(last);
            let lines = opened.lines.iter().skip(opened.top);
            for (number, line) in (0..text.height).zip(lines) {
                let shifted: String = line.chars().skip(opened.left).collect();
                put(
                    buffer,
                    row(text, number),
                    &shifted,
                    Style::new(),
                    Align::Left,
                );
            }
            "↑↓ ←→ scroll  Esc back  q quit"
        }
        Page::Help => {
            put(buffer, row(body, 0), "Keys", palette.heading, Align::Left);
            let text = rows(body, 1, body.height);
            for (number, (keys, what)) in (0..text.height).zip(HELP) {
                let line = format!("{keys:<14} {what}");
                put(buffer, row(text, number), &line, Style::new(), Align::Left);
            }
            "Esc back  q quit"
        }
    };
    state.page = page;
    match message {
        Some(message) => put(buffer, foot, message, palette.bad, Align::Left),
        None => put(buffer, foot, keys, palette.dim, Align::Left),
    }
}

/// What a run has under way, had, and lost.
fn draw_totals(state: &State, palette: Palette, buffer: &mut Buffer, area: Rect) {
    let overview = &state.overview;
    let totals = &overview.totals;
    let mut line = format!(
        "{} under way, {} uploading · ended {}, uploads {}",
        overview.open, overview.uploads, totals.connections, totals.uploads
    );
    if state.is_frozen {
        line.push_str(" · frozen");
    }
    let mut lost = String::new();
    if totals.lost > 0 {
        let most = if totals.lost_at_most { "up to " } else { "" };
        // Writing to a string does not fail.
        let _ = write!(lost, "{most}{} records lost", totals.lost);
    } else {
        lost.push_str("nothing lost");
    }
    let style = if totals.lost > 0 {
        palette.bad
    } else {
        palette.dim
    };
    let width = u16::try_from(lost.chars().count()).unwrap_or(0);
    let left = area.width.saturating_sub(width + 1);
    let before = Rect {
        width: left,
        ..area
    };
    put(buffer, before, &line, palette.heading, Align::Left);
    put(buffer, area, &lost, style, Align::Right);
}

fn draw_lists(state: &mut State, palette: Palette, buffer: &mut Buffer, area: Rect) {
    // A third for those that have ended, if that leaves room for the others.
    let lately = (area.height / 3).max(3);
    let upper = rows(area, 0, area.height.saturating_sub(lately));
    let lower = rows(area, upper.height, lately);
    state.under_way.room = usize::from(upper.height.saturating_sub(2));
    state.lately.room = usize::from(lower.height.saturating_sub(2));
    state.clamp();
    draw_under_way(state, palette, buffer, upper);
    draw_ended(state, palette, buffer, lower);
}

fn draw_under_way(state: &State, palette: Palette, buffer: &mut Buffer, area: Rect) {
    let overview = &state.overview;
    let columns = table::under_way(area.width);
    let shown = overview.rows.len().saturating_sub(state.under_way.top);
    let shown = shown.min(state.under_way.room);
    let not_shown = overview.chosen - shown.min(overview.chosen);
    let direction = if state.is_reversed { "least" } else { "most" };
    let mut title = format!(
        "Under way, by {}, {direction} first · {shown} shown, {not_shown} more",
        words::order(state.order)
    );
    if !state.filter.is_empty() || state.is_typing {
        let cursor = if state.is_typing { "_" } else { "" };
        let filter = &state.filter;
        // Writing to a string does not fail.
        let _ = write!(title, " · filter: {filter}{cursor}");
    }
    put(buffer, row(area, 0), &title, palette.heading, Align::Left);
    let list = rows(area, 1, area.height);
    let style = |row: &crate::core::overview::Row| {
        if row.is_upload {
            palette.upload
        } else {
            Style::new()
        }
    };
    let selected = (!state.in_ended).then_some(palette.selected);
    let items = overview.rows.iter();
    draw_list(
        buffer,
        list,
        &columns,
        items,
        state.under_way,
        (style, selected, palette),
    );
}

fn draw_ended(state: &State, palette: Palette, buffer: &mut Buffer, area: Rect) {
    let columns = table::lately(area.width);
    let count = state.chosen_ended().count();
    let mut title = format!("Ended lately, uploads first · {count} kept");
    if state.ended.left_out > 0 {
        // Writing to a string does not fail.
        let _ = write!(title, ", {} more not listed", state.ended.left_out);
    }
    put(buffer, row(area, 0), &title, palette.heading, Align::Left);
    let list = rows(area, 1, area.height);
    let style = |ended: &Ended| {
        if ended.is_bad {
            palette.bad
        } else {
            Style::new()
        }
    };
    let selected = state.in_ended.then_some(palette.selected);
    let items = state.chosen_ended();
    draw_list(
        buffer,
        list,
        &columns,
        items,
        state.lately,
        (style, selected, palette),
    );
}

/// A heading, and rows from the first that is shown.
fn draw_list<'a, T: 'a>(
    buffer: &mut Buffer,
    area: Rect,
    columns: &[Column<T>],
    items: impl Iterator<Item = &'a T>,
    place: Place,
    (style, selected, palette): (impl Fn(&T) -> Style, Option<Style>, Palette),
) {
    let places = table::places(columns, row(area, 0));
    for (column, place) in columns.iter().zip(&places) {
        put(buffer, *place, column.heading, palette.dim, column.align);
    }
    let numbered = items.enumerate().skip(place.top);
    for (line, (number, item)) in (1..area.height).zip(numbered) {
        let line = row(area, line);
        for (column, place) in columns.iter().zip(&places) {
            let place = Rect {
                y: line.y,
                height: line.height,
                ..*place
            };
            put(
                buffer,
                place,
                &(column.text)(item),
                style(item),
                column.align,
            );
        }
        if number == place.row
            && let Some(selected) = selected
        {
            buffer.set_style(line, selected);
        }
    }
}

#[cfg(test)]
mod tests;
