//! What held an upload back, where the test made it so: a wire with a delay, a rate and losses, and ends
//! that are slow in one way each.

mod black_hole;
mod captured;
mod laid;
mod named;
mod timed_out;
mod uploads;

use serde_json::{Value, json};
use slow_wire::Way;

use self::{
    laid::{Kind, line, way},
    uploads::{Uploads, ends},
};
use crate::lab::{Lab, is_emulated};

/// One upload, and what must be said of it.
struct Case {
    name: &'static str,
    up: Way,
    down: Way,
    server: &'static str,
    client: &'static str,
    /// The cause and the least share of it in hundredths; `None` where there must be no verdict.
    expected: Option<(&'static str, u32)>,
}

impl Case {
    /// From the server's end alone, the causes at the client are one; and a delayed acknowledgment is short.
    fn expected_from(&self, seen: Seen) -> Option<(&'static str, u32)> {
        let (cause, least) = self.expected?;
        match cause {
            // The client's end sees that nobody reads.
            "accept" if seen == Seen::FromClient => Some(("server_not_reading", least)),
            _ if seen != Seen::FromServer => Some((cause, least)),
            "nagle" => None,
            "client_application" | "client_send_buffer" | "waits_for_peer" => {
                Some(("client_side", least))
            }
            _ => Some((cause, least)),
        }
    }
}

/// Ends that are slow, on a wire that is not.
const SLOW_ENDS: &[Case] = &[
    Case {
        name: "the process gives 1 MB/s",
        up: way(10),
        down: way(10),
        server: "",
        client: "bytes=1.2e6 rate=1e6 piece=16384",
        expected: Some(("client_application", 85)),
    },
    Case {
        name: "a send buffer of 16 KB",
        up: way(20),
        down: way(20),
        server: "",
        client: "bytes=2e6 send_buffer=16384",
        expected: Some(("client_send_buffer", 85)),
    },
    Case {
        name: "the process reads 1 MB/s",
        up: way(10),
        down: way(10),
        server: "rate=1e6",
        client: "bytes=2e6",
        expected: Some(("server_not_reading", 80)),
    },
    Case {
        name: "a receive buffer of 8 KB",
        up: way(20),
        down: way(20),
        server: "receive_buffer=8192",
        client: "bytes=2e5",
        expected: Some(("server_window", 80)),
    },
    Case {
        name: "no window scaling",
        up: Way {
            unscaled: true,
            ..way(50)
        },
        down: way(50),
        server: "",
        client: "bytes=1.5e6",
        expected: Some(("server_window", 70)),
    },
    Case {
        name: "a server that grants 64 KB at a time",
        up: way(20),
        down: way(20),
        server: "grant=32768",
        client: "bytes=1e6 grant=32768",
        expected: Some(("waits_for_peer", 75)),
    },
    Case {
        name: "two small writes with Nagle's algorithm",
        up: way(0),
        down: way(0),
        server: "requests=3",
        client: "requests=3 bytes=700 piece=350 no_delay=0",
        expected: Some(("nagle", 85)),
    },
    Case {
        name: "a server that works for a second",
        up: way(10),
        down: way(10),
        server: "think=1",
        client: "bytes=1e6",
        expected: Some(("server_thinks", 80)),
    },
    Case {
        name: "a server that accepts a second late",
        up: way(10),
        down: way(10),
        server: "accept=1",
        client: "bytes=1e6",
        expected: Some(("accept", 75)),
    },
    Case {
        name: "100 Continue that does not come",
        up: way(10),
        down: way(10),
        server: "",
        client: "bytes=1e5 expect=1",
        expected: Some(("server_silent", 80)),
    },
    Case {
        name: "10 MB in a few round trips",
        up: way(10),
        down: way(10),
        server: "",
        client: "bytes=3e6",
        expected: None,
    },
    Case {
        name: "short requests with a pause between them",
        up: way(10),
        down: way(10),
        server: "requests=3",
        client: "requests=3 bytes=1e5 idle=0.5",
        expected: None,
    },
];

/// Wires that are slow.
const SLOW_WIRES: &[Case] = &[
    Case {
        name: "8 Mbit/s, cubic",
        up: line(10, 8000, 60_000),
        down: way(10),
        server: "",
        client: "bytes=1.5e6 congestion=1",
        expected: Some(("path", 75)),
    },
    Case {
        name: "8 Mbit/s, BBR",
        up: line(10, 8000, 60_000),
        down: way(10),
        server: "",
        client: "bytes=1.5e6 congestion=2",
        expected: Some(("path", 65)),
    },
    Case {
        name: "8 Mbit/s with a queue of a second",
        up: line(10, 8000, 1_000_000),
        down: way(10),
        server: "",
        client: "bytes=1.5e6 congestion=1",
        expected: Some(("path", 75)),
    },
    Case {
        name: "one segment of a hundred is lost",
        up: Way {
            lose_every: 100,
            ..way(20)
        },
        down: way(20),
        server: "",
        // netem loses at random. Of half as many bytes, it sometimes loses too few.
        client: "bytes=3e6 congestion=1",
        expected: Some(("loss", 75)),
    },
    Case {
        name: "nothing passes for two seconds",
        up: Way {
            outage_ms: (300, 1800),
            ..line(20, 16_000, 100_000)
        },
        down: way(20),
        server: "",
        client: "bytes=1.5e6 congestion=1",
        expected: Some(("loss", 45)),
    },
];

/// How much higher a server's own port is.
const BEHIND_NAT: u16 = 1000;

/// From which ends a case is seen.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Seen {
    Both,
    /// The port is traced, and the server has another: there is a NAT between.
    FromClient,
    /// The server's process is traced, and the client is another's in another namespace.
    FromServer,
}

impl Seen {
    fn ends(self) -> Value {
        match self {
            Self::Both => json!(["client", "server"]),
            Self::FromClient => json!(["client"]),
            Self::FromServer => json!(["server"]),
        }
    }
}

/// Each case must be told right on a wire of TUN devices.
fn check(cases: &[Case], seen: Seen) {
    if Kind::Tun.is_possible() {
        let all: Vec<&Case> = cases.iter().collect();
        check_on(Kind::Tun, &all, seen);
    }
}

/// The same on a wire of netem, as far as netem can do what the case takes.
fn check_with_netem(cases: &[Case], seen: Seen) {
    if Kind::Netem.is_possible() {
        // An emulated processor makes a fast client a slow one.
        let is_shown = |case: &Case| case.expected.is_some() || !is_emulated();
        let is_possible = |case: &&Case| {
            case.up.netem().is_some() && case.down.netem().is_some() && is_shown(case)
        };
        let possible: Vec<&Case> = cases.iter().filter(is_possible).collect();
        check_on(Kind::Netem, &possible, seen);
    }
}

/// What is told wrong is tried once more: on a busy machine, the wire itself is late, and an end does not run when
/// it could.
fn check_on(of: Kind, cases: &[&Case], seen: Seen) {
    let first = wrong_ones(of, cases, seen);
    if first.is_empty() {
        return;
    }
    let again: Vec<&Case> = first.iter().map(|(case, _)| *case).collect();
    let wrong = wrong_ones(of, &again, seen);
    let told: Vec<String> = wrong.into_iter().map(|(_, told)| told).collect();
    assert!(told.is_empty(), "{}", told.join("\n"));
}

/// Runs the cases at once: each has a wire and a port of its own. Gives those that are told wrong, and how.
fn wrong_ones<'a>(of: Kind, cases: &[&'a Case], seen: Seen) -> Vec<(&'a Case, String)> {
    let lab = Lab::new();
    let neighbour = lab.neighbour();
    let uploads = Uploads::lay((&lab, &neighbour), of, cases, seen);
    let mut tracer = lab.tracer_alone(&uploads.filter());
    uploads.run();
    tracer.wait_for_timelines(cases.len());
    let trace = tracer.stop();
    let told = cases.iter().enumerate().map(|(number, case)| {
        let wrong = wrong_of(case, (of, seen), trace.only_to(port(number)));
        (*case, wrong.join("\n"))
    });
    told.filter(|(_, wrong)| !wrong.is_empty()).collect()
}

fn wire(number: usize) -> u8 {
    u8::try_from(number).unwrap()
}

fn port(number: usize) -> u16 {
    4300 + u16::from(wire(number))
}

/// What is wrong with the diagnoses of a case's uploads. netem loses at random, now more and now less: with it, a
/// cause must have half of the time.
fn wrong_of(case: &Case, (of, seen): (Kind, Seen), timeline: &Value) -> Vec<String> {
    let uploads = timeline["uploads"].as_array().unwrap();
    // The first request of several pays for the connection.
    let measured = &uploads[usize::from(uploads.len() > 1)..];
    assert!(!measured.is_empty(), "{}: {timeline:#}", case.name);
    measured
        .iter()
        .filter_map(|upload| {
            let diagnosis = &upload["diagnosis"];
            let verdict = diagnosis["verdict"].as_str();
            let is_right = match case.expected_from(seen) {
                None => verdict.is_none() && diagnosis["advice"].is_null(),
                Some((cause, least)) => {
                    let is_random = of == Kind::Netem && case.up.lose_every > 0;
                    let least = if is_random { least.min(50) } else { least };
                    verdict == Some(cause) && share_of(diagnosis, cause) * 100.0 >= f64::from(least)
                }
            };
            let is_from_there = diagnosis["from"] == seen.ends();
            (!is_right || !is_from_there).then(|| format!("{}: {diagnosis}", case.name))
        })
        .collect()
}

fn share_of(diagnosis: &Value, cause: &str) -> f64 {
    let shares = diagnosis["shares"].as_array().unwrap();
    let share = shares.iter().find(|share| share["cause"] == cause);
    share.map_or(0.0, |share| share["share"].as_f64().unwrap())
}

#[test]
fn an_end_that_is_slow() {
    check(SLOW_ENDS, Seen::Both);
}

#[test]
fn a_wire_that_is_slow() {
    check(SLOW_WIRES, Seen::Both);
}

#[test]
fn an_end_that_is_slow_as_its_server_sees_it() {
    check(SLOW_ENDS, Seen::FromServer);
}

#[test]
fn a_wire_that_is_slow_as_its_server_sees_it() {
    check(SLOW_WIRES, Seen::FromServer);
}

#[test]
fn an_end_that_is_slow_as_its_client_sees_it() {
    check(SLOW_ENDS, Seen::FromClient);
}

#[test]
fn a_wire_that_is_slow_as_its_client_sees_it() {
    check(SLOW_WIRES, Seen::FromClient);
}

#[test]
fn netem_and_a_slow_end() {
    check_with_netem(SLOW_ENDS, Seen::Both);
}

#[test]
fn netem_that_is_slow() {
    check_with_netem(SLOW_WIRES, Seen::Both);
}

#[test]
fn netem_that_is_slow_as_its_server_sees_it() {
    check_with_netem(SLOW_WIRES, Seen::FromServer);
}
