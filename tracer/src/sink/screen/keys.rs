//! What keys mean.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Quit,
    /// Stop the process, as Ctrl-Z does elsewhere.
    Stop,
    Redraw,
    Help,
    Back,
    Open,
    /// The other list.
    Switch,
    NextOrder,
    Reverse,
    Freeze,
    /// Begin to type a filter.
    Filter,
    /// So many rows down; up where it is negative.
    Move(i32),
    /// So many screens down.
    Page(i32),
    First,
    Last,
    /// So many columns to the right.
    Shift(i32),
    /// A character of the filter.
    Type(char),
    /// Remove the filter's last character.
    Erase,
    /// Remove all of it.
    EraseAll,
}

/// The keys that the help lists, with what they do.
pub(super) const HELP: [(&str, &str); 14] = [
    ("q, Ctrl-C", "quit"),
    ("↑ ↓, k j", "select a row, or scroll a timeline"),
    ("PgUp PgDn", "the same by a screen"),
    ("Home End, g G", "the first row, the last row"),
    ("Enter", "open the timeline of the selected connection"),
    ("← →, h l", "move a timeline that is wider than the screen"),
    ("Esc", "go back; remove the filter"),
    ("Tab", "switch between the lists under way and ended"),
    ("s", "order by the next column"),
    ("r", "reverse the order"),
    ("/", "show only rows that have a text: type it, then Enter"),
    ("Space", "freeze the screen, and go on"),
    ("Ctrl-L", "draw everything again"),
    (
        "Ctrl-Z",
        "stop the tracer; it loses what happens until it goes on",
    ),
];

/// `is_typing`: the keys are text for a filter.
pub(super) fn action(key: KeyEvent, is_typing: bool) -> Option<Action> {
    if key.kind == KeyEventKind::Release {
        return None;
    }
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        return match key.code {
            KeyCode::Char('c' | 'd') => Some(Action::Quit),
            KeyCode::Char('z') => Some(Action::Stop),
            KeyCode::Char('l') => Some(Action::Redraw),
            KeyCode::Char('u') if is_typing => Some(Action::EraseAll),
            KeyCode::Char('h') if is_typing => Some(Action::Erase),
            _ => None,
        };
    }
    if is_typing {
        return match key.code {
            KeyCode::Char(character) => Some(Action::Type(character)),
            KeyCode::Backspace => Some(Action::Erase),
            KeyCode::Enter => Some(Action::Open),
            KeyCode::Esc => Some(Action::Back),
            _ => None,
        };
    }
    match key.code {
        KeyCode::Char('q') => Some(Action::Quit),
        KeyCode::Char('?') | KeyCode::F(1) => Some(Action::Help),
        KeyCode::Esc | KeyCode::Backspace => Some(Action::Back),
        KeyCode::Enter => Some(Action::Open),
        KeyCode::Tab | KeyCode::BackTab => Some(Action::Switch),
        KeyCode::Char('s') => Some(Action::NextOrder),
        KeyCode::Char('r') => Some(Action::Reverse),
        KeyCode::Char(' ') => Some(Action::Freeze),
        KeyCode::Char('/') => Some(Action::Filter),
        KeyCode::Up | KeyCode::Char('k') => Some(Action::Move(-1)),
        KeyCode::Down | KeyCode::Char('j') => Some(Action::Move(1)),
        KeyCode::PageUp => Some(Action::Page(-1)),
        KeyCode::PageDown => Some(Action::Page(1)),
        KeyCode::Home | KeyCode::Char('g') => Some(Action::First),
        KeyCode::End | KeyCode::Char('G') => Some(Action::Last),
        KeyCode::Left | KeyCode::Char('h') => Some(Action::Shift(-8)),
        KeyCode::Right | KeyCode::Char('l') => Some(Action::Shift(8)),
        _ => None,
    }
}
