//! Where payload changes its direction: on a connection whose payload a proxy passes on, encrypted or not.

use std::{collections::VecDeque, net::SocketAddr};

use upload_protocol::End;

use super::stream::NewBytes;

/// HTTP/2 changes the direction with each update of a window. Of more than these, those in the middle are
/// forgotten: a long upload begins with the oldest, and is answered after the latest.
const MAX_TURNS: usize = 512;

/// The first payload of an end after some of the other's, or at the start of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// When it was sent, CLOCK_MONOTONIC.
    pub mono_ns: u64,
    pub from: End,
    /// How many bytes its sender had sent before.
    pub offset: u64,
    /// When the other end's last payload before it passed, if there was any.
    pub before_ns: Option<u64>,
}

/// In order of time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Turns {
    turns: VecDeque<Turn>,
    /// The latest payload of the server that was captured, CLOCK_MONOTONIC.
    server_last_ns: u64,
    /// Whether there was payload before they were kept.
    is_late: bool,
    /// The connection whose bytes a proxy passes on, by the header of the PROXY protocol: its client's address and
    /// its server's.
    proxied: Option<(SocketAddr, SocketAddr)>,
}

impl Turns {
    pub(super) fn new(is_late: bool) -> Self {
        Self {
            is_late,
            ..Self::default()
        }
    }

    /// Whether there was payload before they were kept.
    #[must_use]
    pub const fn is_late(&self) -> bool {
        self.is_late
    }

    pub(super) const fn record_proxied(&mut self, addresses: (SocketAddr, SocketAddr)) {
        self.proxied = Some(addresses);
    }

    pub(super) const fn proxied(&self) -> Option<(SocketAddr, SocketAddr)> {
        self.proxied
    }

    pub(super) fn record(&mut self, new_bytes: &NewBytes<'_>) {
        if new_bytes.from == End::Server {
            self.server_last_ns = self.server_last_ns.max(new_bytes.mono_ns);
        }
        let goes_on = self
            .turns
            .back()
            .is_some_and(|last| last.from == new_bytes.from);
        if goes_on && new_bytes.turned_ns.is_none() {
            return;
        }
        if self.turns.len() == MAX_TURNS {
            self.turns.remove(MAX_TURNS / 2);
        }
        self.turns.push_back(Turn {
            mono_ns: new_bytes.mono_ns,
            from: new_bytes.from,
            offset: new_bytes.offset,
            before_ns: new_bytes.turned_ns,
        });
    }

    /// About how many bytes they take.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.turns.capacity() * size_of::<Turn>()
    }

    /// The latest payload of the server that was captured, CLOCK_MONOTONIC; 0 before the first.
    #[must_use]
    pub const fn server_last_ns(&self) -> u64 {
        self.server_last_ns
    }

    /// The turns of an end, in order of time.
    pub fn of(&self, from: End) -> impl DoubleEndedIterator<Item = &Turn> {
        self.turns.iter().filter(move |turn| turn.from == from)
    }
}

#[cfg(test)]
impl FromIterator<Turn> for Turns {
    fn from_iter<All: IntoIterator<Item = Turn>>(turns: All) -> Self {
        let turns: VecDeque<Turn> = turns.into_iter().collect();
        let of_server = turns.iter().filter(|turn| turn.from == End::Server);
        let server_last_ns = of_server.map(|turn| turn.mono_ns).max().unwrap_or(0);
        Self {
            turns,
            server_last_ns,
            ..Self::default()
        }
    }
}
