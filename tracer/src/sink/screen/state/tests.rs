//! Keys and answers, without a terminal.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use upload_protocol::{
    ConnectionId, Timeline,
    timeline::{Endpoint, UploadSummary},
};

use super::{Page, State, Then};
use crate::{
    core::{
        connection_table::Key,
        overview::{OrderBy, Overview, Row},
    },
    sink::screen::{
        Answer,
        keys::{Action, action},
    },
};

fn key(code: KeyCode) -> KeyEvent {
    KeyEvent::new(code, KeyModifiers::NONE)
}

fn press(state: &mut State, code: KeyCode) -> Then {
    let action = action(key(code), state.is_typing);
    action.map_or(Then::Nothing, |action| state.act(action))
}

fn row(number: u64) -> Row {
    Row {
        key: Key::new(number),
        connection: ConnectionId::new(number, None),
        client: Endpoint::default(),
        server: Endpoint::default(),
        state: None,
        is_upload: false,
        what: None,
        announced: None,
        age_ns: 0,
        began_before: false,
        sent: None,
        received: None,
        rate: None,
        rtt_ns: None,
        retransmits: 0,
        limit: None,
    }
}

fn answer(numbers: &[u64]) -> Answer {
    Answer {
        overview: Overview {
            rows: numbers.iter().map(|number| row(*number)).collect(),
            chosen: numbers.len(),
            open: numbers.len(),
            ..Overview::default()
        },
        ..Answer::default()
    }
}

fn ended(number: u64) -> Timeline {
    let upload = UploadSummary {
        id: number.to_string(),
        ..UploadSummary::default()
    };
    Timeline {
        connection: ConnectionId::new(number, None),
        uploads: vec![upload],
        ..Timeline::default()
    }
}

#[test]
fn a_filter_is_typed() {
    let mut state = State::new(false);
    assert_eq!(press(&mut state, KeyCode::Char('/')), Then::Ask);
    for character in "qurl\u{1b}".chars() {
        assert_eq!(press(&mut state, KeyCode::Char(character)), Then::Ask);
    }
    press(&mut state, KeyCode::Backspace);
    assert_eq!(state.asked().filter, "qur");
    assert_eq!(press(&mut state, KeyCode::Enter), Then::Draw);
    assert_eq!(press(&mut state, KeyCode::Char('q')), Then::Quit);
    assert_eq!(press(&mut state, KeyCode::Esc), Then::Ask);
    assert_eq!(state.asked().filter, "");
}

#[test]
fn an_order_is_chosen() {
    let mut state = State::new(false);
    press(&mut state, KeyCode::Char('s'));
    press(&mut state, KeyCode::Char('r'));
    let asked = state.asked();
    assert_eq!((asked.order, asked.is_reversed), (OrderBy::Bytes, true));
}

/// The selection stays with its connection, and within the list.
#[test]
fn a_selected_row_moves_with_its_connection() {
    let mut state = State::new(false);
    state.under_way.room = 3;
    state.take(answer(&[1, 2, 3, 4]));
    press(&mut state, KeyCode::Down);
    assert_eq!(state.under_way.row, 1);
    state.take(answer(&[4, 3, 2, 1]));
    assert_eq!(state.under_way.row, 2);
    state.take(answer(&[4, 3]));
    assert_eq!(state.under_way.row, 1);
    state.take(answer(&[]));
    assert_eq!(state.under_way.row, 0);
    assert_eq!(press(&mut state, KeyCode::Enter), Then::Nothing);
}

#[test]
fn rows_out_of_sight_are_asked_for() {
    let mut state = State::new(false);
    state.under_way.room = 3;
    let numbers: Vec<u64> = (0..100).collect();
    state.take(answer(&numbers));
    assert_eq!(state.asked().rows, 3);
    press(&mut state, KeyCode::PageDown);
    press(&mut state, KeyCode::PageDown);
    assert_eq!((state.under_way.row, state.asked().rows), (6, 7));
    press(&mut state, KeyCode::End);
    assert_eq!((state.under_way.row, state.asked().rows), (99, 100));
}

/// An opened connection stays open on the screen when it ends.
#[test]
fn an_opened_connection_ends() {
    let mut state = State::new(false);
    state.take(answer(&[7]));
    assert_eq!(press(&mut state, KeyCode::Enter), Then::Ask);
    let opened = (Key::new(7), ConnectionId::new(7, None));
    assert_eq!(state.asked().opened, Some(opened));
    let mut so_far = answer(&[7]);
    so_far.overview.opened = Some(Box::new(ended(7)));
    state.take(so_far);
    let lines = |state: &State| match &state.page {
        Page::Timeline(opened) => (opened.is_under_way(), opened.lines.len()),
        _ => panic!("no timeline is shown"),
    };
    let (is_under_way, count) = lines(&state);
    assert!(is_under_way && count > 0);
    let mut last = answer(&[]);
    last.uploads = vec![ended(7)];
    state.take(last);
    let (is_under_way, count) = lines(&state);
    assert!(!is_under_way && count > 0);
    assert_eq!(state.asked().opened, None);
    assert_eq!(press(&mut state, KeyCode::Esc), Then::Ask);
    assert!(matches!(state.page, Page::Lists));
}

/// However many end, a bounded number is kept, the latest ones.
#[test]
fn what_ended_is_bounded() {
    let mut state = State::new(false);
    for number in 0..1_000 {
        state.take(Answer {
            uploads: vec![ended(number)],
            left_out: 3,
            ..answer(&[])
        });
    }
    assert_eq!(state.ended.iter().count(), 200);
    assert_eq!(state.ended.left_out, 3_000);
    let latest = state.ended.iter().next().unwrap();
    assert_eq!(latest.connection, ConnectionId::new(999, None));
    state.in_ended = true;
    state.lately.room = 5;
    state.act(Action::Last);
    assert_eq!((state.lately.row, state.lately.top), (199, 195));
}
