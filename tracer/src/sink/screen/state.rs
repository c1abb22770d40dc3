//! What the view shows: which list and row, in which order, and which timeline. Keys change it, answers fill it.

use upload_protocol::ConnectionId;

use super::{Answer, ended::EndedList, frame::lines_of, keys::Action};
use crate::core::{
    connection_table::Key,
    output::Output,
    overview::{Asked, OrderBy, Overview},
};

/// Rows of connections under way that are asked for at most: nobody scrolls further.
const MAX_ROWS: usize = 1_000;
/// The longest filter, in characters.
const MAX_FILTER: usize = 100;
/// Of the text of a timeline.
const MAX_BYTES: usize = 1 << 20;

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) overview: Overview,
    pub(super) ended: EndedList,
    pub(super) page: Page,
    /// Whether the ended connections are selected from, and not those under way.
    pub(super) in_ended: bool,
    /// The selected row of either list.
    pub(super) under_way: Place,
    pub(super) lately: Place,
    pub(super) order: OrderBy,
    pub(super) is_reversed: bool,
    pub(super) filter: String,
    pub(super) is_typing: bool,
    pub(super) is_frozen: bool,
    explain: bool,
    /// The selected connection, which keeps its selection where rows move.
    selected: Option<Key>,
}

/// A row of a list, and the first that is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) row: usize,
    pub(super) top: usize,
    /// How many rows there is room for, since it was drawn last.
    pub(super) room: usize,
}

#[derive(Debug, Default)]
pub(super) enum Page {
    #[default]
    Lists,
    Timeline(Opened),
    Help,
}

/// A timeline that is shown.
#[derive(Debug)]
pub(super) struct Opened {
    connection: ConnectionId,
    /// `None` once it has ended.
    key: Option<Key>,
    pub(super) lines: Vec<String>,
    pub(super) top: usize,
    pub(super) left: usize,
    /// How many rows there is room for.
    pub(super) room: usize,
}

/// What the thread does after a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    Nothing,
    Draw,
    /// Ask anew, since the answer would be another one.
    Ask,
    /// Draw everything again.
    Redraw,
    Stop,
    Quit,
}

impl State {
    pub(super) fn new(explain: bool) -> Self {
        Self {
            explain,
            ..Self::default()
        }
    }

    /// What to ask the core for.
    pub(super) fn asked(&self) -> Asked {
        let opened = match &self.page {
            Page::Timeline(opened) => opened.key.map(|key| (key, opened.connection)),
            Page::Lists | Page::Help => None,
        };
        Asked {
            rows: (self.under_way.top + self.under_way.room.max(1)).min(MAX_ROWS),
            order: self.order,
            is_reversed: self.is_reversed,
            filter: self.filter.clone(),
            opened,
        }
    }

    pub(super) fn take(&mut self, answer: Answer) {
        let Answer {
            mut overview,
            uploads,
            others,
            left_out,
        } = answer;
        for timeline in others.into_iter().chain(uploads) {
            self.ended.add(timeline, self.explain);
        }
        self.ended.left_out = self.ended.left_out.saturating_add(left_out);
        if let Page::Timeline(opened) = &mut self.page {
            if let Some(so_far) = overview.opened.take() {
                opened.lines = lines_of(&Output::Progress(so_far), self.explain, MAX_BYTES);
            } else if opened.key.is_some()
                && let Some(ended) = self.ended.find(opened.connection)
            {
                opened.key = None;
                opened.lines = ended.text.clone();
            }
        }
        self.overview = overview;
        let moved = self.selected.and_then(|key| {
            let mut rows = self.overview.rows.iter();
            rows.position(|row| row.key == key)
        });
        if let Some(row) = moved.filter(|_| self.under_way.row > 0) {
            self.under_way.row = row;
        }
        self.clamp();
    }

    pub(super) fn act(&mut self, action: Action) -> Then {
        match action {
            Action::Quit => Then::Quit,
            Action::Stop => Then::Stop,
            Action::Redraw => Then::Redraw,
            Action::Freeze => {
                self.is_frozen = !self.is_frozen;
                Then::Ask
            }
            Action::Help => {
                self.page = match self.page {
                    Page::Help => Page::Lists,
                    Page::Lists | Page::Timeline(_) => Page::Help,
                };
                Then::Draw
            }
            Action::Back => self.go_back(),
            Action::Open => self.open(),
            Action::Type(character) => {
                if self.filter.chars().count() < MAX_FILTER && !character.is_control() {
                    self.filter.push(character);
                }
                Then::Ask
            }
            Action::Erase => {
                self.filter.pop();
                Then::Ask
            }
            Action::EraseAll => {
                self.filter.clear();
                Then::Ask
            }
            Action::Shift(columns) => {
                if let Page::Timeline(opened) = &mut self.page {
                    let widest = opened.lines.iter().map(|line| line.chars().count()).max();
                    opened.left = moved(opened.left, columns).min(widest.unwrap_or(0));
                }
                Then::Draw
            }
            Action::Move(rows) => self.go(|place, _| moved(place, rows)),
            Action::Page(screens) => {
                let room = i32::try_from(self.room()).unwrap_or(i32::MAX);
                self.go(|place, _| moved(place, screens.saturating_mul(room)))
            }
            Action::First => self.go(|_, _| 0),
            Action::Last => self.go(|_, last| last),
            Action::Switch | Action::NextOrder | Action::Reverse | Action::Filter => {
                self.act_on_lists(action)
            }
        }
    }

    fn act_on_lists(&mut self, action: Action) -> Then {
        if !matches!(self.page, Page::Lists) {
            return Then::Nothing;
        }
        match action {
            Action::Switch => {
                self.in_ended = !self.in_ended;
                return Then::Draw;
            }
            Action::NextOrder => self.order = self.order.next(),
            Action::Reverse => self.is_reversed = !self.is_reversed,
            Action::Filter => self.is_typing = true,
            _ => return Then::Nothing,
        }
        Then::Ask
    }

    fn go_back(&mut self) -> Then {
        if !matches!(self.page, Page::Lists) {
            self.page = Page::Lists;
            return Then::Ask;
        }
        self.is_typing = false;
        self.filter.clear();
        Then::Ask
    }

    fn open(&mut self) -> Then {
        if std::mem::take(&mut self.is_typing) {
            return Then::Draw;
        }
        if !matches!(self.page, Page::Lists) {
            return Then::Nothing;
        }
        let opened = if self.in_ended {
            let mut ended = self.chosen_ended();
            let found = ended.nth(self.lately.row);
            found.map(|ended| Opened::of(ended.connection, None, ended.text.clone()))
        } else {
            let row = self.overview.rows.get(self.under_way.row);
            row.map(|row| Opened::of(row.connection, Some(row.key), Vec::new()))
        };
        let Some(opened) = opened else {
            return Then::Nothing;
        };
        self.page = Page::Timeline(opened);
        // What is frozen has no timeline of it.
        self.is_frozen = false;
        Then::Ask
    }

    /// The ended connections that the filter leaves.
    pub(super) fn chosen_ended(&self) -> impl Iterator<Item = &super::ended::Ended> {
        let needle = self.filter.to_ascii_lowercase();
        let ended = self.ended.iter();
        ended.filter(move |ended| ended.has(&needle))
    }

    fn room(&self) -> usize {
        match &self.page {
            Page::Timeline(opened) => opened.room,
            _ if self.in_ended => self.lately.room,
            _ => self.under_way.room,
        }
    }

    /// Goes to a row; `to` gets the present one and the last.
    fn go(&mut self, to: impl Fn(usize, usize) -> usize) -> Then {
        if let Page::Timeline(opened) = &mut self.page {
            let last = opened.lines.len().saturating_sub(opened.room);
            opened.top = to(opened.top, last).min(last);
            return Then::Draw;
        }
        if self.in_ended {
            let last = self.chosen_ended().count().saturating_sub(1);
            self.lately.row = to(self.lately.row, last).min(last);
        } else {
            let last = self.overview.chosen.min(MAX_ROWS).saturating_sub(1);
            self.under_way.row = to(self.under_way.row, last).min(last);
            let row = self.overview.rows.get(self.under_way.row);
            self.selected = row.map(|row| row.key);
        }
        self.clamp();
        Then::Ask
    }

    /// Keeps selected rows within their lists, and in sight.
    pub(super) fn clamp(&mut self) {
        let under_way = self.overview.chosen.min(MAX_ROWS);
        self.under_way.clamp(under_way);
        let ended = self.chosen_ended().count();
        self.lately.clamp(ended);
    }
}

impl Place {
    fn clamp(&mut self, rows: usize) {
        self.row = self.row.min(rows.saturating_sub(1));
        let room = self.room.max(1);
        self.top = self.top.min(self.row);
        if self.row >= self.top + room {
            self.top = self.row + 1 - room;
        }
    }
}

impl Opened {
    const fn of(connection: ConnectionId, key: Option<Key>, lines: Vec<String>) -> Self {
        Self {
            connection,
            key,
            lines,
            top: 0,
            left: 0,
            room: 0,
        }
    }

    /// Whether the connection is under way.
    pub(super) const fn is_under_way(&self) -> bool {
        self.key.is_some()
    }
}

fn moved(from: usize, by: i32) -> usize {
    let distance = usize::try_from(by.unsigned_abs()).unwrap_or(usize::MAX);
    if by < 0 {
        from.saturating_sub(distance)
    } else {
        from.saturating_add(distance)
    }
}

#[cfg(test)]
mod tests;
