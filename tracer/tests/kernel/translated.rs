//! NAT on this machine between two of its sockets: sidecars, published ports and addresses of services.
//! A socket's own addresses are the connection's.

use serde_json::Value;

use crate::{
    lab::{Lab, Script, run},
    trace::{Trace, steps},
};

/// Answers one connection. Says what it sees. Clients call 4202: a tracer sees every network namespace, and on
/// port 80 it would see the machine's own connections.
const SERVER: &str = "
import socket
s = socket.socket(socket.AF_INET6)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
s.bind(('::', 4201))
s.listen()
print('ready')
a, _ = s.accept()
def told(address): return address[0].removeprefix('::ffff:') + ' ' + str(address[1])
print(told(a.getsockname()))
print(told(a.getpeername()))
a.sendall(a.recv(100))
a.recv(1)
a.close()
";

struct Case {
    rules: &'static str,
    called: (&'static str, u16),
}

const REDIRECT: Case = Case {
    rules: "table inet translation {
 chain out { type nat hook output priority -100; tcp dport 4202 redirect to :4201; }
}",
    called: ("127.0.0.1", 4202),
};

const DNAT: Case = Case {
    rules: "table ip translation {
 chain out { type nat hook output priority -100; tcp dport 4202 dnat to 10.50.0.1:4201; }
}",
    called: ("10.99.0.5", 4202),
};

const DNAT_TO_LOOPBACK: Case = Case {
    rules: "table ip translation {
 chain out { type nat hook output priority -100; tcp dport 4202 dnat to 127.0.0.1:4201; }
}",
    called: ("10.50.0.1", 4202),
};

/// Addresses of both ends are others at the other.
const DNAT_AND_SNAT: Case = Case {
    rules: "table ip translation {
 chain out { type nat hook output priority -100; tcp dport 4202 dnat to 10.50.0.1:4201; }
 chain post { type nat hook postrouting priority 100; tcp dport 4201 snat to 10.50.0.2; }
}",
    called: ("10.99.0.5", 4202),
};

const SNAT_ON_ARRIVAL: Case = Case {
    rules: "table ip translation {
 chain out { type nat hook output priority -100; tcp dport 4202 redirect to :4201; }
 chain in { type nat hook input priority 100; tcp dport 4201 snat to 10.50.0.2; }
}",
    called: ("127.0.0.1", 4202),
};

const REDIRECT_IPV6: Case = Case {
    rules: REDIRECT.rules,
    called: ("::1", 4202),
};

const DNAT_IPV6: Case = Case {
    rules: "table ip6 translation {
 chain out { type nat hook output priority -100; tcp dport 4202 dnat to [fd50::1]:4201; }
 chain post { type nat hook postrouting priority 100; tcp dport 4201 snat to fd50::2; }
}",
    called: ("fd99::5", 4202),
};

const CASES: [Case; 7] = [
    REDIRECT,
    DNAT,
    DNAT_TO_LOOPBACK,
    DNAT_AND_SNAT,
    SNAT_ON_ARRIVAL,
    REDIRECT_IPV6,
    DNAT_IPV6,
];

/// What each socket says of itself and of its peer: `address port`.
struct Seen {
    client: [String; 2],
    server: [String; 2],
}

fn trace(case: &Case, ports: &[u16]) -> (Trace, Seen) {
    let lab = Lab::new();
    let setup = "address add 10.50.0.1/32 dev lo
address add 10.50.0.2/32 dev lo
address add fd50::1/128 dev lo nodad
address add fd50::2/128 dev lo nodad
route add 10.99.0.0/24 dev lo src 10.50.0.1
route add fd99::/64 dev lo src fd50::1
";
    let file = lab.dir.path().join("setup");
    std::fs::write(&file, setup).unwrap();
    run(lab.inside("ip").arg("-batch").arg(&file));
    std::fs::write(&file, case.rules).unwrap();
    run(lab.inside("nft").arg("-f").arg(&file));
    let server = Script::start(lab.inside("python3"), SERVER);
    let ports: Vec<String> = ports.iter().map(ToString::to_string).collect();
    let mut arguments = vec!["-o", "ndjson"];
    for port in &ports {
        arguments.extend(["--port", port]);
    }
    let mut tracer = lab.tracer_alone(&arguments);
    let (host, port) = case.called;
    let client = format!(
        "
import socket
c = socket.create_connection(('{host}', {port}))
print(*c.getsockname()[:2])
print(*c.getpeername()[:2])
c.sendall(b'x' * 100)
c.recv(100)
c.close()
"
    );
    let said = run(lab.inside("python3").args(["-c", &client]));
    let mut said = said.lines().map(str::to_owned);
    let mut next = || said.next().unwrap();
    let seen = Seen {
        client: [next(), next()],
        server: [server.line(), server.line()],
    };
    tracer.wait_for_timelines(1);
    let trace = tracer.stop();
    server.end();
    assert_eq!(trace.timelines().len(), 1, "{:#?}", trace.timelines());
    (trace, seen)
}

fn place(end: &Value) -> String {
    format!("{} {}", end["addr"].as_str().unwrap(), end["port"])
}

/// `seen_as` in the words of the scripts, or the address itself where it has no other.
fn seen_as(end: &Value) -> String {
    let Some(seen) = end["seen_as"].as_str() else {
        return place(end);
    };
    let (address, port) = seen.rsplit_once(':').unwrap();
    format!("{} {port}", address.trim_matches(['[', ']']))
}

fn check_whole(timeline: &Value) {
    assert_eq!(
        steps(timeline, 0),
        ["client SYN", "server SYN-ACK", "client ACK"],
        "{timeline:#}"
    );
    assert_eq!(timeline["bytes"]["client_to_server"], 100);
    assert_eq!(timeline["bytes"]["server_to_client"], 100);
    assert_eq!(timeline["complete"], true, "{timeline:#}");
}

#[test]
fn both_ends_are_one_connection_by_their_own_addresses() {
    for case in CASES {
        let (trace, seen) = trace(&case, &[4202, 4201]);
        let timeline = trace.timelines()[0];
        let (client, server) = (&timeline["client"], &timeline["server"]);
        assert_eq!(place(client), seen.client[0], "{timeline:#}");
        assert_eq!(seen_as(client), seen.server[1], "{timeline:#}");
        assert_eq!(place(server), seen.server[0], "{timeline:#}");
        assert_eq!(seen_as(server), seen.client[1], "{timeline:#}");
        assert!(client["pid"].is_u64() && server["pid"].is_u64());
        check_whole(timeline);
    }
}

/// What leaves its socket bears the addresses that the client knows.
#[test]
fn the_servers_end_alone() {
    for case in CASES {
        let (trace, seen) = trace(&case, &[4201]);
        let timeline = trace.timelines()[0];
        let (client, server) = (&timeline["client"], &timeline["server"]);
        assert_eq!(place(server), seen.server[0], "{timeline:#}");
        assert_eq!(seen_as(server), seen.client[1], "{timeline:#}");
        assert_eq!(place(client), seen.server[1], "{timeline:#}");
        assert!(client["pid"].is_null() && server["pid"].is_u64());
        check_whole(timeline);
    }
}

#[test]
fn the_clients_end_alone() {
    for case in CASES {
        let (trace, seen) = trace(&case, &[4202]);
        let timeline = trace.timelines()[0];
        let (client, server) = (&timeline["client"], &timeline["server"]);
        assert_eq!(place(client), seen.client[0], "{timeline:#}");
        assert_eq!(place(server), seen.client[1], "{timeline:#}");
        assert_eq!(seen_as(server), seen.server[0], "{timeline:#}");
        assert!(client["pid"].is_u64() && server["pid"].is_null());
        check_whole(timeline);
    }
}
