//! What the screen shows, by its size; and what hostile names do there: nothing.

use ratatui::{buffer::Buffer, layout::Rect};
use tracer_ebpf::record::sender;
use upload_protocol::{
    ConnectionId, End, State as TcpState,
    timeline::{Endpoint, Process, Timeline, UploadSummary},
};

use super::{Palette, draw};
use crate::{
    core::{
        connection_table::Key,
        overview::{Limit, LimitKind, Overview, Row, Totals},
    },
    sink::screen::{
        Answer,
        keys::Action,
        state::{State, Then},
    },
};

fn endpoint(comm: Option<&str>, port: u16) -> Endpoint {
    Endpoint {
        addr: std::net::Ipv4Addr::LOCALHOST.into(),
        port,
        owner: Process {
            pid: comm.map(|_| 4242),
            comm: comm.map(Into::into),
            ..Process::default()
        },
        ..Endpoint::default()
    }
}

fn row(number: u64, comm: &str, what: &str) -> Row {
    Row {
        key: Key::new(number),
        connection: ConnectionId::new(number, None),
        client: endpoint(Some(comm), 50_000),
        server: endpoint(None, 443),
        state: Some(TcpState::Established),
        is_upload: true,
        what: Some(what.to_owned()),
        announced: Some(50_000_000),
        age_ns: 12_300_000_000,
        began_before: false,
        sent: Some(12_345_678),
        received: None,
        rate: Some(1_200_000),
        rtt_ns: Some(41_200_000),
        retransmits: 7,
        limit: Some(Limit {
            by: End::Client,
            kind: LimitKind::Sender(sender::CONGESTION_WINDOW),
            hundredths: 93,
        }),
    }
}

fn ended(number: u64, name: &str) -> Timeline {
    Timeline {
        connection: ConnectionId::new(number, None),
        client: endpoint(Some("curl"), 50_001),
        server: endpoint(None, 443),
        uploads: vec![UploadSummary {
            id: number.to_string(),
            name: Some(name.to_owned()),
            bytes: Some(1_000_000),
            status: Some(201),
            ..UploadSummary::default()
        }],
        ..Timeline::default()
    }
}

fn state(rows: Vec<Row>, open: usize) -> State {
    let mut state = State::new(false);
    state.take(Answer {
        overview: Overview {
            chosen: open,
            open,
            uploads: 1,
            rows,
            totals: Totals {
                connections: 98_231,
                uploads: 12,
                lost: 0,
                lost_at_most: false,
            },
            ..Overview::default()
        },
        uploads: vec![ended(9, "cat.png")],
        others: Vec::new(),
        left_out: 5_000,
    });
    state
}

/// The rows of the screen, without the spaces at their ends.
fn drawn(state: &mut State, width: u16, height: u16) -> Vec<String> {
    let area = Rect::new(0, 0, width, height);
    let mut buffer = Buffer::empty(area);
    draw(state, None, Palette::new(true), &mut buffer, area);
    let cells = buffer.content().chunks(width.into());
    let rows = cells.map(|row| row.iter().map(ratatui::buffer::Cell::symbol).collect());
    rows.map(|row: String| row.trim_end().to_owned()).collect()
}

fn check(state: &mut State, (width, height): (u16, u16), expected: &[(usize, &str)]) {
    let rows = drawn(state, width, height);
    for (number, part) in expected {
        assert!(
            rows[*number].contains(part),
            "{number} {part}\n{}",
            rows.join("\n")
        );
    }
}

#[test]
fn both_lists_and_the_totals() {
    let rows = || vec![row(1, "curl", "PUT /cat.png"), row(2, "rsync", "")];
    let mut narrow = state(rows(), 412);
    check(
        &mut narrow,
        (80, 24),
        &[
            (0, "412 under way, 1 uploading · ended 98231, uploads 12"),
            (0, "nothing lost"),
            (1, "Under way, by rate, most first · 2 shown, 410 more"),
            (2, "CLIENT → SERVER"),
            (2, "LIMITED BY"),
            (3, "curl → 127.0.0.1:443 PUT"),
            (3, "12.3 MB  1.2 MB/s 41.2 ms    7 congestion 93 %"),
            (
                16,
                "Ended lately, uploads first · 1 kept, 5000 more not listed",
            ),
            (18, "cat.png"),
            (18, "201"),
            (23, "? help"),
        ],
    );
    let mut wide = state(rows(), 2);
    check(
        &mut wide,
        (200, 50),
        &[
            (1, "2 shown, 0 more"),
            (3, "curl[4242] → 127.0.0.1:443"),
            (3, "PUT /cat.png"),
            (3, "ESTABLISHED"),
            (3, "12.3 s"),
            (3, "50.0 MB"),
        ],
    );
}

/// Nothing that acts on a terminal reaches a cell, and no name is wider than its column.
#[test]
fn hostile_names() {
    let names = [
        "\u{1b}[2J\u{1b}]0;owned\u{7}",
        "\u{9b}31m\u{202e}gpj.exe",
        "猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫",
        "e\u{301}\u{200b}\u{feff}\n\r\t",
    ];
    for name in names {
        let mut state = state(vec![row(1, name, name)], 1);
        state.ended.add(ended(10, name), false);
        for size in [(20, 3), (21, 5), (80, 24), (200, 50)] {
            for line in drawn(&mut state, size.0, size.1) {
                let acts = |character: char| {
                    character.is_control()
                        || matches!(character, '\u{202e}' | '\u{200b}' | '\u{feff}')
                };
                assert!(!line.contains(acts), "{line:?}");
            }
        }
        // Its timeline, too.
        assert_eq!(state.act(Action::Switch), Then::Draw);
        assert_eq!(state.act(Action::Open), Then::Ask);
        for line in drawn(&mut state, 200, 50) {
            assert!(!line.contains(char::is_control), "{line:?}");
        }
    }
    let mut state = state(vec![row(1, "\u{1b}[2J", "")], 1);
    check(&mut state, (80, 24), &[(3, "\\u{1b}[2J")]);
}

#[test]
fn losses_are_on_the_screen() {
    let mut state = state(Vec::new(), 0);
    state.overview.totals.lost = 17;
    state.overview.totals.lost_at_most = true;
    check(&mut state, (80, 24), &[(0, "up to 17 records lost")]);
}

#[test]
fn any_size() {
    for width in 0..90 {
        for height in 0..30 {
            let mut state = state(vec![row(1, "curl", "PUT /")], 1);
            let rows = drawn_any(&mut state, width, height);
            assert_eq!(rows, usize::from(width) * usize::from(height));
        }
    }
}

fn drawn_any(state: &mut State, width: u16, height: u16) -> usize {
    let area = Rect::new(0, 0, width, height);
    let mut buffer = Buffer::empty(area);
    draw(
        state,
        Some("a message"),
        Palette::new(false),
        &mut buffer,
        area,
    );
    buffer.content().len()
}
