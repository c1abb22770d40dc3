//! Traces a connection of its own on loopback, and compares what the tracer decodes with the kernel's
//! printed trace and with sock_diag's answer about the same sockets.

use std::{
    collections::BTreeMap,
    io::{Read as _, Write as _},
    net::{Ipv4Addr, TcpListener, TcpStream},
    ops::ControlFlow,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::net::sockopt::socket_cookie;
use upload_protocol::State;

use super::{
    Finding,
    machine::without,
    printed::{Change, Printed},
};
use crate::{
    core::{
        event::{Event, EventKind},
        input::OpenSocket,
    },
    kernel::{Filter, Missing, Probe, Records, pid_namespace, sockets},
};

/// More than the records of one connection.
const RING_BYTES: u32 = 1 << 20;
/// For the last segments to arrive.
const TIMEOUT: Duration = Duration::from_secs(5);
const REQUEST: [u8; 1000] = [b'?'; 1000];
const RESPONSE: [u8; 500] = [b'!'; 500];

pub(super) fn examine() -> Vec<Finding> {
    const PROGRAMS: &str = "programs";
    let listener = match TcpListener::bind((Ipv4Addr::LOCALHOST, 0)) {
        Ok(listener) => listener,
        Err(error) => {
            return vec![Finding::missing(
                PROGRAMS,
                format!("not checked: cannot listen on loopback ({error})"),
            )];
        }
    };
    let mut findings = Vec::new();
    let checked = attach(&listener).and_then(|(port, mut probe)| {
        let missing = probe.missing().iter();
        let refused = missing.filter(|part| match part {
            Missing::Program { .. } => true,
            // Nothing took its place. What has no replacement is found in the type information.
            Missing::Hook(hook) => hook.replacements().next().is_some(),
            _ => false,
        });
        findings.extend(refused.map(|part| Finding::degraded(PROGRAMS, without(part))));
        findings.push(Finding::ok(PROGRAMS, "loaded and attached"));
        let printed = Printed::begin(port);
        let traced = trace(&listener, &mut probe)?;
        findings.push(compare_with_printed(&traced, printed));
        findings.push(compare_with_sock_diag(&traced));
        findings.push(compare_process_ids(&traced));
        Ok(())
    });
    if let Err(error) = checked {
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
    let records = Records {
        every_segment: true,
        samples: true,
        audit: false,
    };
    Ok((port, Probe::attach(&filter, RING_BYTES, records)?))
}

/// The connection as the tracer decoded it, and as sock_diag had it while it was open.
struct Traced {
    records: Vec<Box<[u8]>>,
    client: u64,
    server: u64,
    open: Result<Vec<OpenSocket>>,
}

/// Sends a request and a response, and closes both ends.
fn trace(listener: &TcpListener, probe: &mut Probe) -> Result<Traced> {
    let mut client = TcpStream::connect(listener.local_addr()?)?;
    let (mut server, _) = listener.accept()?;
    client.write_all(&REQUEST)?;
    server.read_exact(&mut [0; REQUEST.len()])?;
    server.write_all(&RESPONSE)?;
    client.read_exact(&mut [0; RESPONSE.len()])?;
    let mut traced = Traced {
        records: Vec::new(),
        client: socket_cookie(&client)?,
        server: socket_cookie(&server)?,
        open: sockets::of_own_namespace(),
    };
    drop(client);
    server.read_to_end(&mut Vec::new())?;
    drop(server);
    let deadline = Instant::now() + TIMEOUT;
    loop {
        let mut malformed = Ok(());
        probe.drain(|record| {
            match Event::decode(record) {
                Ok(_) => traced.records.push(record.into()),
                Err(error) => malformed = Err(error),
            }
            ControlFlow::Continue(())
        })?;
        malformed.context("decoding a record")?;
        if [traced.client, traced.server]
            .iter()
            .all(|end| traced.closed(*end))
        {
            return Ok(traced);
        }
        if Instant::now() > deadline {
            bail!("the tracer did not see the end of a connection on loopback");
        }
        // So few records do not wake the reader of the rings.
        thread::sleep(Duration::from_millis(1));
    }
}

impl Traced {
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

    /// The changes of state, in the form in which the kernel prints them.
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

fn compare_with_printed(traced: &Traced, printed: Result<Printed>) -> Finding {
    const CHECK: &str = "printed trace";
    let printed = match printed.and_then(|printed| printed.read()) {
        Ok(printed) => printed,
        Err(error) => {
            return Finding::degraded(
                CHECK,
                format!("not compared, which needs CAP_SYS_ADMIN and tracefs: {error:#}"),
            );
        }
    };
    match compare(traced.changes(), printed) {
        Ok((changes, apart_us)) => Finding::ok(
            CHECK,
            format!(
                "{changes} changes of state, the same as in the kernel's printed trace, at most {apart_us} µs apart; {} segments",
                traced.segments()
            ),
        ),
        Err(error) => Finding::missing(
            CHECK,
            format!("the tracer's output is wrong on this machine: {error:#}"),
        ),
    }
}

/// How many changes there are, and the largest difference between the two times of one.
fn compare(decoded: Vec<Change>, printed: Vec<Change>) -> Result<(usize, u64)> {
    let [decoded, printed] = [decoded, printed].map(by_words);
    ensure!(!printed.is_empty(), "the kernel prints no change of state");
    if let Some(words) = printed.keys().find(|words| !decoded.contains_key(*words)) {
        bail!("the kernel prints `{words}`, which the tracer missed");
    }
    let mut apart_us = 0;
    for (words, decoded_us) in &decoded {
        let Some(printed_us) = printed.get(words) else {
            bail!("the tracer reports `{words}`, which the kernel does not print");
        };
        ensure!(
            decoded_us.len() == printed_us.len(),
            "the tracer reports `{words}` {} times, the kernel prints it {} times",
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

/// Leaves out LISTEN→SYN_RECV: before Linux 6.15 the kernel prints it before the peer is set.
fn by_words(changes: Vec<Change>) -> BTreeMap<String, Vec<u64>> {
    let mut by_words: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for Change { words, at_us } in changes {
        if !words.contains("oldstate=TCP_LISTEN") {
            by_words.entry(words).or_default().push(at_us);
        }
    }
    by_words
}

fn compare_with_sock_diag(traced: &Traced) -> Finding {
    const CHECK: &str = "sock_diag";
    let open = match &traced.open {
        Ok(open) => open,
        Err(error) => return Finding::degraded(CHECK, format!("not compared: {error:#}")),
    };
    let ends = [
        ("client", traced.client, RESPONSE.len()),
        ("server", traced.server, REQUEST.len()),
    ];
    let compared = ends
        .into_iter()
        .try_for_each(|(end, cookie, received)| same(traced, open, cookie, received).context(end));
    match compared {
        Ok(()) => Finding::ok(
            CHECK,
            "cookies, addresses and received bytes of both ends are the same as in `ss -tie`",
        ),
        Err(error) => Finding::missing(
            CHECK,
            format!("the tracer's output is wrong on this machine: {error:#}"),
        ),
    }
}

/// The process that connected is this one.
fn compare_process_ids(traced: &Traced) -> Finding {
    const CHECK: &str = "process ids";
    let Ok(own) = pid_namespace::own_id() else {
        return Finding::degraded(CHECK, "unknown: /proc is of another PID namespace");
    };
    let connected = traced.events().find_map(|event| match event.what {
        EventKind::State {
            new: State::SynSent,
            task,
            ..
        } if event.cookie == traced.client => task,
        _ => None,
    });
    match connected {
        Some(task) if task.pid == own => Finding::ok(CHECK, "the same as in /proc"),
        Some(task) => Finding::missing(
            CHECK,
            format!(
                "the tracer's output is wrong on this machine: it has {} for process {own}",
                task.pid
            ),
        ),
        None => Finding::missing(CHECK, "the tracer did not see which process connected"),
    }
}

/// Compares the open socket with what the tracer decoded when it began to close.
fn same(traced: &Traced, open: &[OpenSocket], cookie: u64, received: usize) -> Result<()> {
    let open = open.iter().find(|socket| socket.cookie == cookie);
    let open = open.context("sock_diag does not show it")?;
    let closing = traced.events().find_map(|event| match event.what {
        EventKind::State {
            old: State::Established,
            new,
            counters,
            ..
        } if event.cookie == cookie => Some((event.addresses?, new, counters)),
        _ => None,
    });
    let (addresses, new, counters) = closing.context("the tracer did not see it close")?;
    ensure!(
        (addresses.local, addresses.remote) == (open.addresses.local, open.addresses.remote),
        "the tracer has {addresses:?}, sock_diag {:?}",
        open.addresses
    );
    // On the way to CLOSE_WAIT a FIN was received, which counts one.
    let fin = u64::from(new == State::CloseWait);
    let decoded = counters.bytes_received.saturating_sub(fin);
    let counted = [decoded, open.counters.bytes_received];
    ensure!(
        counted == [received as u64; 2],
        "the tracer has {} bytes received, sock_diag {}, of {received} sent",
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
    fn differences_are_named() {
        let check = |decoded, printed, expected: &str| {
            let error = compare(changes(decoded), changes(printed)).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
        };
        check(&[("a", 1)], &[], "prints no change");
        check(&[], &[("a", 1)], "prints `a`, which the tracer missed");
        check(&[("a", 1), ("b", 1)], &[("a", 1)], "reports `b`");
        check(
            &[("a", 1), ("a", 2)],
            &[("a", 1)],
            "2 times, the kernel prints it 1 times",
        );
    }
}
