//! The connections under way, when a view asks for them. All are looked at, and few are described.

use std::fmt::Write as _;

use upload_protocol::{End, State};

use super::Pipeline;
use crate::core::{
    connection::{Connection, Latest, View},
    connection_table::Key,
    input::Readings,
    overview::{Asked, Counted, Limit, LimitKind, OrderBy, Overview, Row, Score, Totals},
    payload::HttpRequest,
    timeline::{endpoint, is_much},
};

/// Over how long a limit is measured.
const RECENT_NS: u64 = 1_000_000_000;
/// Records of a socket are no further apart than this part of its age while it passes something, and 100 ms.
const AGE_SHARE: u64 = 32;
/// From this part of the time on, in hundredths, a limit is named.
const MOST: u8 = 50;
/// Of a target, in characters: a view is not wider.
const MAX_TARGET: usize = 512;

impl Pipeline {
    /// Takes what open sockets have counted.
    pub(super) fn take_readings(&mut self, readings: &Readings) {
        let table = &self.table;
        self.rates.take(readings, |cookie| {
            let connection = table.get(table.find(cookie)?)?;
            connection.view(connection.end_of(cookie)?)
        });
    }

    /// The connections under way, as a view asks for them.
    pub fn overview(&mut self, asked: &Asked) -> Overview {
        let needle = asked.filter.to_ascii_lowercase();
        let mut text = String::new();
        let (mut open, mut uploads) = (0, 0);
        let mut chosen: Vec<(Score, Key)> = Vec::new();
        for (key, connection) in self.table.iter() {
            if !connection.active || self.closed.contains_key(&key) || self.is_followed(connection)
            {
                continue;
            }
            open += 1;
            uploads += usize::from(self.is_uploading(connection));
            if !needle.is_empty() {
                text.clear();
                describe(connection, &mut text);
                text.make_ascii_lowercase();
                if !text.contains(&needle) {
                    continue;
                }
            }
            let value = self.value(asked.order, connection);
            chosen.push((Score::of(value, asked.is_reversed), key));
        }
        let count = chosen.len();
        if asked.rows < count {
            chosen.select_nth_unstable(asked.rows);
            chosen.truncate(asked.rows);
        }
        chosen.sort_unstable();
        let keys = chosen.into_iter();
        Overview {
            at_ns: self.tick.mono_ns,
            rows: keys.filter_map(|(_, key)| self.row(key)).collect(),
            open,
            uploads,
            chosen: count,
            opened: asked.opened.and_then(|(key, _)| self.so_far(key)),
            totals: Totals {
                connections: self.totals.connections,
                uploads: self.totals.uploads,
                lost: self.totals.lost,
                lost_at_most: self.totals.lost_at_most,
            },
        }
    }

    fn row(&self, key: Key) -> Option<Row> {
        let connection = self.table.get(key)?;
        let state = |end| Some(connection.view(end)?.last()?.new);
        let request = request(connection);
        let (sent, received) = self.passed(connection).unzip();
        Some(Row {
            key,
            connection: connection.id,
            client: endpoint(connection, End::Client, &self.host)?,
            server: endpoint(connection, End::Server, &self.host)?,
            state: state(End::Client).or_else(|| state(End::Server)),
            is_upload: self.is_uploading(connection),
            what: what(connection),
            announced: request.and_then(|request| request.content_length),
            age_ns: self.age_ns(connection)?,
            began_before: connection.views().any(|(_, view)| !view.began()),
            sent,
            received,
            rate: self.rate(connection),
            rtt_ns: self.rtt_ns(connection),
            retransmits: self.retransmits(connection),
            limit: self.limit(connection),
        })
    }

    /// What a connection is ordered by.
    fn value(&self, order: OrderBy, connection: &Connection) -> Option<u64> {
        match order {
            OrderBy::Rate => self.rate(connection),
            OrderBy::Bytes => self
                .passed(connection)
                .map(|(sent, received)| sent.saturating_add(received)),
            OrderBy::Rtt => self.rtt_ns(connection),
            OrderBy::Retransmits => Some(self.retransmits(connection)),
            OrderBy::Age => self.age_ns(connection),
        }
    }

    fn age_ns(&self, connection: &Connection) -> Option<u64> {
        Some(self.tick.mono_ns.saturating_sub(connection.first_ns()?))
    }

    fn counted(&self, view: Option<&View>) -> Option<&Counted> {
        self.rates.of(view?.cookie)
    }

    /// Payload from the client and from the server, by the kernel of either.
    fn passed(&self, connection: &Connection) -> Option<(u64, u64)> {
        let client = self.counted(connection.view(End::Client));
        let server = self.counted(connection.view(End::Server));
        let by_client = client.map(|client| (client.sent, client.received));
        by_client.or_else(|| server.map(|server| (server.received, server.sent)))
    }

    /// Bytes per second in both directions.
    fn rate(&self, connection: &Connection) -> Option<u64> {
        let mut counted = connection
            .views()
            .filter_map(|(_, view)| self.rates.of(view.cookie));
        let (sent, received) = counted.find_map(|counted| counted.rates)?;
        Some(sent.saturating_add(received))
    }

    fn rtt_ns(&self, connection: &Connection) -> Option<u64> {
        let known = |view: &View| {
            let counted = self.rates.of(view.cookie).map(|counted| counted.rtt_us);
            let counted_ns = counted
                .filter(|rtt| *rtt > 0)
                .map(|rtt| u64::from(rtt) * 1000);
            counted_ns.or_else(|| self.latest(view)?.rtt_ns)
        };
        let opened = |view: &View| {
            let eighths = view.opened?.srtt_us_8;
            (eighths > 0).then(|| u64::from(eighths) * 1000 / 8)
        };
        let mut views = connection.views().map(|(_, view)| view);
        let mut again = connection.views().map(|(_, view)| view);
        views.find_map(known).or_else(|| again.find_map(opened))
    }

    /// By the records of retransmissions, or by the kernel's counters where these have more.
    fn retransmits(&self, connection: &Connection) -> u64 {
        let views = connection.views();
        let counts = views.map(|(_, view)| {
            let counted = self.rates.of(view.cookie);
            let counted = counted.map_or(0, |counted| counted.retransmits);
            let latest = view.limits.as_deref().and_then(|log| log.latest(0));
            let measured = latest.map_or(0, |latest| latest.retransmits);
            u64::from(view.retransmits.max(counted).max(measured))
        });
        counts.sum()
    }

    /// What the kernel measured of a socket lately, if that is not too long ago.
    fn latest(&self, view: &View) -> Option<Latest> {
        let now_ns = self.tick.mono_ns;
        let latest = view.limits.as_deref()?.latest(RECENT_NS)?;
        let began_ns = view.transitions.first().map_or(0, |first| first.mono_ns);
        let patience_ns = RECENT_NS.max(now_ns.saturating_sub(began_ns) / AGE_SHARE);
        let is_recent = now_ns.saturating_sub(latest.at_ns) <= patience_ns;
        is_recent.then_some(latest)
    }

    fn limit(&self, connection: &Connection) -> Option<Limit> {
        let sender = self.sender(connection);
        let receiver = sender.other();
        let own = connection.view(sender).and_then(|view| self.latest(view));
        if let Some(latest) = own {
            let (kind, hundredths) = most(&latest.times.sender)?;
            return Some(Limit {
                by: sender,
                kind: LimitKind::Sender(kind),
                hundredths,
            });
        }
        let peer = self.latest(connection.view(receiver)?)?;
        let (kind, hundredths) = most(&peer.times.receiver)?;
        Some(Limit {
            by: receiver,
            kind: LimitKind::Receiver(kind),
            hundredths,
        })
    }

    /// The end that sends more, lately or else so far; the client where that is unknown.
    fn sender(&self, connection: &Connection) -> End {
        let of = |end: End| self.counted(connection.view(end))?.rates;
        let rates =
            of(End::Client).or_else(|| of(End::Server).map(|(sent, received)| (received, sent)));
        let so_far = || {
            let lengths = connection.dialogue.payload.lengths();
            self.passed(connection).unwrap_or(lengths)
        };
        let (client, server) = rates
            .filter(|(client, server)| client != server)
            .unwrap_or_else(so_far);
        if server > client {
            End::Server
        } else {
            End::Client
        }
    }

    /// Whether a request with a body waits for its answer; without a request that is read, whether much went to the
    /// server and little came back.
    fn is_uploading(&self, connection: &Connection) -> bool {
        let payload = &connection.dialogue.payload;
        if !payload.exchanges().is_empty() {
            return request(connection).is_some();
        }
        let is_open = |end: End| {
            let last = connection.view(end).and_then(View::last);
            last.is_none_or(|last| matches!(last.new, State::Established | State::CloseWait))
        };
        let (up, down) = self.passed(connection).unwrap_or_else(|| payload.lengths());
        is_open(End::Client) && is_much(up, down)
    }
}

/// The upload's request that has no response yet.
fn request(connection: &Connection) -> Option<&HttpRequest> {
    let exchange = connection.dialogue.payload.latest_exchange()?;
    let request = exchange.request.as_ref()?;
    let has_body = request.chunked || request.content_length.is_some_and(|length| length > 0);
    let is_upload = has_body && matches!(&*request.method, "PUT" | "POST" | "PATCH");
    (is_upload && exchange.response.is_none()).then_some(request)
}

/// The latest request, or else the host that the client asked for.
fn what(connection: &Connection) -> Option<String> {
    let payload = &connection.dialogue.payload;
    if let Some(exchange) = payload.latest_exchange() {
        let request = exchange.request.as_ref()?;
        let target: String = request.target.chars().take(MAX_TARGET).collect();
        return Some(format!("{} {target}", request.method));
    }
    let host = payload.tls()?.server_name.as_deref();
    Some(format!("TLS {}", host.unwrap_or_default()))
}

/// What a filter looks at.
fn describe(connection: &Connection, text: &mut String) {
    for (_, view) in connection.views() {
        if let Some(owner) = &view.owner {
            let comm = &owner.task.comm;
            // Writing to a string does not fail.
            let _ = write!(text, "{comm}[{}] ", owner.task.pid);
        }
        let (local, remote) = (view.addresses.local, view.addresses.remote);
        let _ = write!(
            text,
            "{} {} ",
            std::net::SocketAddr::from(local),
            std::net::SocketAddr::from(remote)
        );
    }
    text.extend(what(connection));
}

/// The limit that ruled at least half of the time, and its part of it in hundredths.
fn most(times: &[u64]) -> Option<(usize, u8)> {
    let whole: u128 = times.iter().map(|ns| u128::from(*ns)).sum();
    let (kind, ns) = times.iter().enumerate().max_by_key(|(_, ns)| **ns)?;
    let hundredths = (u128::from(*ns) * 100).checked_div(whole)?;
    let hundredths = u8::try_from(hundredths).ok()?;
    (hundredths >= MOST).then_some((kind, hundredths))
}

#[cfg(test)]
mod tests;
