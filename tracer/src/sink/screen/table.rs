//! The columns of both lists, by how wide the screen is.

use ratatui::layout::Rect;
use upload_protocol::{
    timeline::Endpoint,
    units::{bytes, duration, socket_address},
};

use super::{ended::Ended, frame::Align, words};
use crate::core::overview::Row;

/// A column: its heading, how wide it is, and where its text begins.
pub(super) struct Column<T> {
    pub(super) heading: &'static str,
    pub(super) width: u16,
    pub(super) align: Align,
    pub(super) text: fn(&T) -> String,
}

/// What is unknown.
const UNKNOWN: &str = "·";

/// From this width on, a list has all columns.
const WIDE: u16 = 120;

impl<T> Column<T> {
    const fn left(heading: &'static str, width: u16, text: fn(&T) -> String) -> Self {
        Self {
            heading,
            width,
            align: Align::Left,
            text,
        }
    }

    const fn right(heading: &'static str, width: u16, text: fn(&T) -> String) -> Self {
        Self {
            heading,
            width,
            align: Align::Right,
            text,
        }
    }
}

/// Columns with their places in a row. What the others leave is for those that have most to show: who, and on a wide
/// screen what.
pub(super) fn places<T>(columns: &[Column<T>], area: Rect) -> Vec<Rect> {
    let count = u16::try_from(columns.len()).unwrap_or(u16::MAX);
    let fixed: u16 = columns.iter().map(|column| column.width).sum();
    let gaps = count.saturating_sub(1);
    let rest = area.width.saturating_sub(fixed.saturating_add(gaps));
    let end = area.x.saturating_add(area.width);
    let mut x = area.x;
    let mut places = Vec::with_capacity(columns.len());
    for (number, column) in columns.iter().enumerate() {
        let who = if area.width < WIDE {
            rest
        } else {
            rest * 3 / 5
        };
        let more = match number {
            0 => who,
            1 => rest - who,
            _ => 0,
        };
        let width = column.width.saturating_add(more);
        let width = width.min(end.saturating_sub(x));
        places.push(Rect { x, width, ..area });
        x = x.saturating_add(width).saturating_add(1).min(end);
    }
    places
}

/// Of connections under way.
pub(super) fn under_way(width: u16) -> Vec<Column<Row>> {
    let who: fn(&Row) -> String = if width < WIDE {
        |row| short_ends(&of(&row.client), &of(&row.server))
    } else {
        |row| ends(&of(&row.client), &of(&row.server))
    };
    let mut columns = vec![
        Column::left("CLIENT → SERVER", 14, who),
        Column::left("CARRIES", 9, |row: &Row| {
            row.what.clone().unwrap_or_default()
        }),
    ];
    if width >= WIDE {
        columns.push(Column::left("STATE", 11, |row: &Row| {
            row.state.map_or(UNKNOWN, |state| state.name()).to_owned()
        }));
        columns.push(Column::right("AGE", 8, |row: &Row| {
            let more = if row.began_before { ">" } else { "" };
            format!("{more}{}", duration(row.age_ns))
        }));
    }
    columns.push(Column::right("SENT", 7, |row: &Row| size(row.sent)));
    if width >= WIDE {
        columns.push(Column::right("OF", 7, |row: &Row| {
            row.announced
                .map(|count| bytes(count).to_string())
                .unwrap_or_default()
        }));
        columns.push(Column::right("RECEIVED", 8, |row: &Row| size(row.received)));
    }
    columns.extend([
        Column::right("RATE", 9, |row: &Row| {
            row.rate
                .map_or_else(|| UNKNOWN.to_owned(), |rate| format!("{}/s", bytes(rate)))
        }),
        Column::right("RTT", 7, |row: &Row| time(row.rtt_ns)),
        Column::right("RETR", 4, |row: &Row| row.retransmits.to_string()),
        Column::left("LIMITED BY", 18, |row: &Row| {
            row.limit.map_or_else(|| UNKNOWN.to_owned(), words::limit)
        }),
    ]);
    columns
}

/// Of connections that have ended.
pub(super) fn lately(width: u16) -> Vec<Column<Ended>> {
    let verdict = if width >= WIDE { 40 } else { 22 };
    let who: fn(&Ended) -> String = if width < WIDE {
        |ended| short_ends(&ended.client, &ended.server)
    } else {
        |ended| ends(&ended.client, &ended.server)
    };
    vec![
        Column::left("CLIENT → SERVER", 14, who),
        Column::left("CARRIED", 9, |ended: &Ended| ended.what.clone()),
        Column::right("BYTES", 7, |ended: &Ended| size(ended.size)),
        Column::right("TOOK", 8, |ended: &Ended| {
            let more = if ended.began_before { ">" } else { "" };
            format!("{more}{}", duration(ended.took_ns))
        }),
        Column::right("RETR", 4, |ended: &Ended| ended.retransmits.to_string()),
        Column::left("VERDICT", verdict, |ended: &Ended| ended.verdict.clone()),
    ]
}

/// The owner's name and process id, and the address.
pub(super) type End = (Option<String>, Option<u32>, String);

fn of(endpoint: &Endpoint) -> End {
    let comm = endpoint.owner.comm.as_deref().map(str::to_owned);
    let address = socket_address(endpoint.addr, endpoint.port);
    (comm, endpoint.owner.pid, address)
}

/// Both ends in short: a process by its name, and the server's address in full. Where the client's process is not known,
/// its address.
pub(super) fn ends(client: &End, server: &End) -> String {
    let who = |(comm, pid, address): &End| match (comm, pid) {
        (Some(comm), Some(pid)) => format!("{comm}[{pid}]"),
        (Some(comm), None) => comm.clone(),
        (None, _) => address.clone(),
    };
    match &server.0 {
        Some(comm) => format!("{} → {} {comm}", who(client), server.2),
        None => format!("{} → {}", who(client), server.2),
    }
}

/// The same in less room: the client's name, or else its address, and the server's address.
fn short_ends((comm, _, address): &End, server: &End) -> String {
    format!("{} → {}", comm.as_ref().unwrap_or(address), server.2)
}

fn size(count: Option<u64>) -> String {
    count.map_or_else(|| UNKNOWN.to_owned(), |count| bytes(count).to_string())
}

fn time(ns: Option<u64>) -> String {
    ns.map_or_else(|| UNKNOWN.to_owned(), |ns| duration(ns).to_string())
}
