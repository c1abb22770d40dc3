//! Traces a connection of its own on loopback, and holds what the tracer decoded against what the
//! kernel prints and against what sock_diag says of the same sockets.

use std::{
    collections::BTreeMap,
    io::{Read as _, Write as _},
    net::{Ipv4Addr, TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::net::sockopt::socket_cookie;
use upload_protocol::State;

use super::{
    Finding,
    printed::{Change, Printed},
};
use crate::{
    core::{
        event::{Event, EventKind},
        input::OpenSocket,
    },
    kernel::{Filter, Probe, sockets},
};

/// More than such a connection makes.
const RING_BYTES: u32 = 1 << 20;
/// The last segments may be under way for a moment.
const PATIENCE: Duration = Duration::from_secs(5);
const REQUEST: [u8; 1000] = [b'?'; 1000];
const RESPONSE: [u8; 500] = [b'!'; 500];

pub(super) fn examine() -> Vec<Finding> {
    const PROGRAMS: &str = "programs";
    let listener = match TcpListener::bind((Ipv4Addr::LOCALHOST, 0)) {
        Ok(listener) => listener,
        Err(error) => {
            return vec![Finding::missing(
                PROGRAMS,
                format!("not tried: no connection on loopback ({error})"),
            )];
        }
    };
    let mut findings = Vec::new();
    let tried = attach(&listener).and_then(|(port, mut probe)| {
        let refused = probe.missing().iter();
        findings.extend(
            refused
                .filter(|part| part.what.starts_with("eBPF"))
                .map(|part| {
                    let text = format!("no {}; unknown stays: {}", part.what, part.lost);
                    Finding::degraded(PROGRAMS, text)
                }),
        );
        findings.push(Finding::ok(PROGRAMS, "loaded and attached"));
        let printed = Printed::begin(port);
        let seen = see(&listener, &mut probe)?;
        findings.push(against_printed(&seen, printed));
        findings.push(against_sock_diag(&seen));
        Ok(())
    });
    if let Err(error) = tried {
        findings.push(Finding::missing(PROGRAMS, format!("{error:#}")));
    }
    findings
}

fn attach(listener: &TcpListener) -> Result<(u16, Probe)> {
    let port = listener.local_addr()?.port();
    let filter = Filter {
        ports: vec![port],
        ..Filter::default()
    };
    Ok((port, Probe::attach(&filter, RING_BYTES, true, false)?))
}

/// What the tracer decoded of the connection, and what sock_diag said while it was open.
struct Seen {
    records: Vec<Box<[u8]>>,
    client: u64,
    server: u64,
    open: Result<Vec<OpenSocket>>,
}

/// A request, a response, and both ends closed.
fn see(listener: &TcpListener, probe: &mut Probe) -> Result<Seen> {
    let mut client = TcpStream::connect(listener.local_addr()?)?;
    let (mut server, _) = listener.accept()?;
    client.write_all(&REQUEST)?;
    server.read_exact(&mut [0; REQUEST.len()])?;
    server.write_all(&RESPONSE)?;
    client.read_exact(&mut [0; RESPONSE.len()])?;
    let mut seen = Seen {
        records: Vec::new(),
        client: socket_cookie(&client)?,
        server: socket_cookie(&server)?,
        open: sockets::of_own_namespace(),
    };
    drop(client);
    server.read_to_end(&mut Vec::new())?;
    drop(server);
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut malformed = Ok(());
        probe.drain(|record| match Event::decode(record) {
            Ok(_) => seen.records.push(record.into()),
            Err(error) => malformed = Err(error),
        });
        malformed.context("a record of the tracer's own programs")?;
        if [seen.client, seen.server]
            .iter()
            .all(|end| seen.closed(*end))
        {
            return Ok(seen);
        }
        if Instant::now() > deadline {
            bail!("a connection on loopback was not seen to its end");
        }
        // The ring wakes nobody for so few records.
        thread::sleep(Duration::from_millis(1));
    }
}

impl Seen {
    fn events(&self) -> impl Iterator<Item = Event<'_>> {
        let decoded = self.records.iter().map(|record| Event::decode(record));
        decoded.filter_map(Result::ok)
    }

    fn closed(&self, cookie: u64) -> bool {
        let mut of_socket = self.events().filter(|event| event.cookie == cookie);
        of_socket.any(|event| {
            matches!(
                event.what,
                EventKind::State {
                    new: State::Close,
                    ..
                }
            )
        })
    }

    /// The changes of state, as the kernel would print them.
    fn changes(&self) -> Vec<Change> {
        let changes = self.events().filter_map(|event| {
            let EventKind::State { old, new, .. } = event.what else {
                return None;
            };
            let ends = event.addresses?;
            Some(Change {
                words: format!(
                    "sport={} dport={} saddr={} daddr={} oldstate=TCP_{old} newstate=TCP_{new}",
                    ends.local.port(),
                    ends.remote.port(),
                    ends.local.ip(),
                    ends.remote.ip(),
                ),
                at_us: event.mono_ns / 1000,
            })
        });
        changes.collect()
    }

    fn segments(&self) -> usize {
        let is_segment = |event: &Event<'_>| matches!(event.what, EventKind::Segment(..));
        self.events().filter(is_segment).count()
    }
}

fn against_printed(seen: &Seen, printed: Result<Printed>) -> Finding {
    const WHAT: &str = "printed trace";
    let printed = match printed.and_then(|printed| printed.read()) {
        Ok(printed) => printed,
        Err(error) => {
            return Finding::degraded(
                WHAT,
                format!("not compared, which takes root with CAP_SYS_ADMIN and tracefs: {error:#}"),
            );
        }
    };
    match compare(seen.changes(), printed) {
        Ok((changes, apart_us)) => Finding::ok(
            WHAT,
            format!(
                "{changes} changes of state as the kernel prints them, at most {apart_us} µs apart; {} segments",
                seen.segments()
            ),
        ),
        Err(error) => Finding::missing(WHAT, format!("the tracer is not to be trusted: {error:#}")),
    }
}

/// How many there are, and how far apart the times of the same change are at most.
fn compare(decoded: Vec<Change>, printed: Vec<Change>) -> Result<(usize, u64)> {
    let [decoded, printed] = [decoded, printed].map(by_words);
    ensure!(!printed.is_empty(), "the kernel prints no change of state");
    if let Some(words) = printed.keys().find(|words| !decoded.contains_key(*words)) {
        bail!("the kernel prints `{words}`, which it did not see");
    }
    let mut apart_us = 0;
    for (words, decoded_us) in &decoded {
        let Some(printed_us) = printed.get(words) else {
            bail!("it saw `{words}`, which the kernel does not print");
        };
        ensure!(
            decoded_us.len() == printed_us.len(),
            "`{words}` came {} times for it and {} times for the kernel",
            decoded_us.len(),
            printed_us.len()
        );
        let pairs = decoded_us.iter().zip(printed_us);
        apart_us = pairs.fold(apart_us, |most, (one, other)| {
            most.max(one.abs_diff(*other))
        });
    }
    Ok((printed.values().map(Vec::len).sum(), apart_us))
}

/// Without the begin of an accepted socket: before Linux 6.15 the kernel prints it with no peer yet.
fn by_words(changes: Vec<Change>) -> BTreeMap<String, Vec<u64>> {
    let mut by_words: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for Change { words, at_us } in changes {
        if !words.contains("oldstate=TCP_LISTEN") {
            by_words.entry(words).or_default().push(at_us);
        }
    }
    by_words
}

fn against_sock_diag(seen: &Seen) -> Finding {
    const WHAT: &str = "sock_diag";
    let open = match &seen.open {
        Ok(open) => open,
        Err(error) => return Finding::degraded(WHAT, format!("not compared: {error:#}")),
    };
    let ends = [
        ("client", seen.client, RESPONSE.len()),
        ("server", seen.server, REQUEST.len()),
    ];
    let compared = ends
        .into_iter()
        .try_for_each(|(end, cookie, received)| same(seen, open, cookie, received).context(end));
    match compared {
        Ok(()) => Finding::ok(
            WHAT,
            "both ends' cookies, addresses and bytes received are those that `ss -tie` shows",
        ),
        Err(error) => Finding::missing(WHAT, format!("the tracer is not to be trusted: {error:#}")),
    }
}

/// The socket while it was open, against what the tracer decoded when it began to close.
fn same(seen: &Seen, open: &[OpenSocket], cookie: u64, received: usize) -> Result<()> {
    let open = open.iter().find(|socket| socket.cookie == cookie);
    let open = open.context("sock_diag does not have it")?;
    let closing = seen.events().find_map(|event| match event.what {
        EventKind::State {
            old: State::Established,
            new,
            counters,
            ..
        } if event.cookie == cookie => Some((event.addresses?, new, counters)),
        _ => None,
    });
    let (addresses, new, counters) = closing.context("its end was not seen")?;
    ensure!(
        (addresses.local, addresses.remote) == (open.addresses.local, open.addresses.remote),
        "{addresses:?} is {:?} for sock_diag",
        open.addresses
    );
    // The FIN that makes it wait for its own process to close counts one.
    let fin = u64::from(new == State::CloseWait);
    let decoded = counters.bytes_received.saturating_sub(fin);
    let counted = [decoded, open.counters.bytes_received];
    ensure!(
        counted == [received as u64; 2],
        "{} bytes received, {} for sock_diag, of {received}",
        counted[0],
        counted[1]
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Change, compare};

    fn changes(all: &[(&str, u64)]) -> Vec<Change> {
        let change = |(words, at_us): &(&str, u64)| Change {
            words: (*words).to_owned(),
            at_us: *at_us,
        };
        all.iter().map(change).collect()
    }

    #[test]
    fn the_same_in_another_order() {
        let decoded = changes(&[("a", 5), ("b", 20)]);
        let printed = changes(&[("b", 17), ("oldstate=TCP_LISTEN", 1), ("a", 5)]);
        assert_eq!(compare(decoded, printed).unwrap(), (2, 3));
    }

    #[test]
    fn what_differs_is_named() {
        let check = |decoded, printed, expected: &str| {
            let error = compare(changes(decoded), changes(printed)).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
        };
        check(&[("a", 1)], &[], "prints no change");
        check(&[], &[("a", 1)], "prints `a`, which it did not see");
        check(&[("a", 1), ("b", 1)], &[("a", 1)], "saw `b`");
        check(&[("a", 1), ("a", 2)], &[("a", 1)], "2 times for it and 1");
    }
}
