//! The sockets that are open already, held against SO_COOKIE, `ss` and what the processes that
//! opened them say.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{BufRead as _, BufReader, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    os::{fd::AsFd, unix::fs::MetadataExt as _},
    process::{Child, ChildStdout, Command, Stdio},
    thread,
};

use rustix::{
    net::sockopt::socket_cookie,
    thread::{LinkNameSpaceType, move_into_link_name_space},
};
use tracer::internals::{
    core::{address::Address, event::Addresses, input::OpenSocket},
    kernel::sockets::{self, Dump},
};
use upload_protocol::State;

use crate::lab::{Lab, run};

/// A connection opened within a namespace.
struct Connection {
    listener: TcpListener,
    client: TcpStream,
    server: TcpStream,
}

impl Connection {
    fn open(listen: &str, connect: &str) -> Self {
        let listener = TcpListener::bind(listen).unwrap();
        let port = listener.local_addr().unwrap().port();
        let client = TcpStream::connect(format!("{connect}:{port}")).unwrap();
        let (server, _) = listener.accept().unwrap();
        Self {
            listener,
            client,
            server,
        }
    }
}

/// Does something on a thread within the namespace.
fn within<T: Send>(lab: &Lab, act: impl FnOnce() -> T + Send) -> T {
    let namespace = File::open(lab.namespace_path()).unwrap();
    thread::scope(|scope| {
        let inside = scope.spawn(|| {
            let network = Some(LinkNameSpaceType::Network);
            move_into_link_name_space(namespace.as_fd(), network).unwrap();
            act()
        });
        inside.join().unwrap()
    })
}

fn netns(lab: &Lab) -> u32 {
    let inode = fs::metadata(lab.namespace_path()).unwrap().ino();
    u32::try_from(inode).unwrap()
}

/// Those of one namespace: the machine has others.
fn dump_of(netns: u32) -> Dump {
    let mut dump = sockets::dump().unwrap();
    assert_eq!(dump.left_out, sockets::LeftOut::default());
    for sockets in [&mut dump.sockets, &mut dump.listeners] {
        sockets.retain(|socket| socket.addresses.netns == netns);
    }
    dump
}

fn check(found: &[OpenSocket], socket: impl AsFd, state: State, ends: [SocketAddr; 2]) {
    let cookie = socket_cookie(socket).unwrap();
    let one = found
        .iter()
        .find(|one| one.cookie == cookie)
        .unwrap_or_else(|| panic!("no {cookie:#x} among {found:?}"));
    let canonical = |end: SocketAddr| SocketAddr::new(end.ip().to_canonical(), end.port());
    assert_eq!(one.state, state);
    assert_eq!(
        SocketAddr::from(one.addresses.local),
        canonical(ends[0]),
        "{one:?}"
    );
    assert_eq!(
        SocketAddr::from(one.addresses.remote),
        canonical(ends[1]),
        "{one:?}"
    );
    let holders: Vec<u32> = one.holders.iter().map(|holder| holder.pid).collect();
    assert_eq!(holders, [std::process::id()], "{one:?}");
    let comm = fs::read_to_string("/proc/self/comm").unwrap();
    assert_eq!(one.holders[0].comm, comm.trim_end());
    let cgroups = fs::read_to_string("/proc/self/cgroup").unwrap();
    let cgroup = cgroups.lines().find_map(|line| line.strip_prefix("0::"));
    assert_eq!(one.holders[0].cgroup.as_deref(), cgroup);
    assert_eq!((one.uid, one.holders[0].uid), (0, 0));
}

#[test]
fn each_end_has_its_cookie_its_addresses_and_its_holder() {
    let lab = Lab::new();
    for (listen, connect) in [
        ("127.0.0.1:0", "127.0.0.1"),
        ("[::1]:0", "[::1]"),
        // A socket for both: the kernel calls this end ::ffff:127.0.0.1.
        ("[::]:0", "127.0.0.1"),
    ] {
        let Connection {
            listener,
            mut client,
            server,
        } = within(&lab, || Connection::open(listen, connect));
        client.write_all(&[0; 1000]).unwrap();
        let mut received = [0; 1000];
        std::io::Read::read_exact(&mut &server, &mut received).unwrap();
        let dump = dump_of(netns(&lab));

        let ends =
            |socket: &TcpStream| [socket.local_addr(), socket.peer_addr()].map(Result::unwrap);
        check(&dump.sockets, &client, State::Established, ends(&client));
        check(&dump.sockets, &server, State::Established, ends(&server));
        let listens_at = listener.local_addr().unwrap();
        let mut nowhere = listens_at;
        nowhere.set_port(0);
        nowhere.set_ip(match listen.starts_with('[') {
            true => std::net::Ipv6Addr::UNSPECIFIED.into(),
            false => Ipv4Addr::UNSPECIFIED.into(),
        });
        check(
            &dump.listeners,
            &listener,
            State::Listen,
            [listens_at, nowhere],
        );
        assert_eq!((dump.sockets.len(), dump.listeners.len()), (2, 1));
        let received = |socket: &TcpStream| {
            let cookie = socket_cookie(socket).unwrap();
            let found = dump.sockets.iter().find(|one| one.cookie == cookie);
            found.unwrap().counters
        };
        assert_eq!(received(&server).bytes_received, 1000);
        // The SYN counts one.
        assert_eq!(received(&client).bytes_acked, 1001);
        assert_eq!(received(&client).segs_out, received(&server).segs_in);
    }
}

/// Sockets in many states; prints its own process id, and its child's, which inherits all.
const STATES: &str = r"
import os, socket as s, sys
os.setuid(65534)
def listener(*options):
    one = s.socket()
    for option in options: one.setsockopt(*option)
    one.bind(('127.0.0.1', 0)); one.listen(1)
    return one
def connect(to):
    one = s.socket(); one.connect(to.getsockname()); return one
plain = listener()
def pair():
    client = connect(plain); server, _ = plain.accept(); return client, server
established = pair()
half_closed = pair(); half_closed[0].shutdown(s.SHUT_WR)          # FIN_WAIT2 and CLOSE_WAIT
abandoned = pair(); abandoned[0].close()                          # a TIME_WAIT entry in FIN_WAIT2, and CLOSE_WAIT
over = pair(); over[0].close(); over[1].close()                   # TIME_WAIT
queued = connect(plain)                                           # not accepted: nobody's socket
deferred = listener((s.IPPROTO_TCP, s.TCP_DEFER_ACCEPT, 60))
requested = connect(deferred)                                     # ESTABLISHED, and a connection request
syn_sent = s.socket(); syn_sent.setblocking(False)
try: syn_sent.connect(('192.0.2.1', 9))
except BlockingIOError: pass
bound = s.socket(); bound.bind(('127.0.0.1', 0))                  # CLOSE
r, w = os.pipe()
child = os.fork()
if child == 0:
    os.close(w); os.read(r, 1); os._exit(0)
os.close(r)
print(os.getpid(), child, flush=True)
sys.stdin.read()
os.close(w); os.wait()
";

struct Script {
    process: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Script {
    fn start(mut command: Command, script: &str) -> Self {
        let mut process = command
            .args(["python3", "-c", script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        Self { process, lines }
    }

    fn numbers(&mut self) -> Vec<u32> {
        let line = self.lines.next().expect("the script failed").unwrap();
        line.split(' ')
            .map(|number| number.parse().unwrap())
            .collect()
    }

    fn netns(&self) -> u32 {
        let link = format!("/proc/{}/ns/net", self.process.id());
        u32::try_from(fs::metadata(link).unwrap().ino()).unwrap()
    }
}

/// The end of its stdin ends it.
impl Drop for Script {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

/// As `ss` prints them: state, both ends, cookie, inode.
fn as_ss(sockets: &[OpenSocket]) -> BTreeSet<(String, String, String, u64, u32)> {
    sockets
        .iter()
        .map(|socket| {
            let port = |end: Address| match end.port() {
                0 => format!("{}:*", end.ip()),
                port => format!("{}:{port}", end.ip()),
            };
            let state = match socket.state {
                State::Established => "ESTAB".to_owned(),
                State::FinWait2 => "FIN-WAIT-2".to_owned(),
                state => state.to_string().replace('_', "-"),
            };
            let Addresses { local, remote, .. } = socket.addresses;
            (
                state,
                port(local),
                port(remote),
                socket.cookie,
                socket.inode,
            )
        })
        .collect()
}

fn ss(lab: &Lab) -> Vec<(String, String, String, u64, u32)> {
    run(lab.inside("ss").args(["-tanpeH"]))
        .lines()
        .map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let after = |start: &str| words.iter().find_map(|word| word.strip_prefix(start));
            (
                words[0].to_owned(),
                words[3].to_owned(),
                words[4].to_owned(),
                u64::from_str_radix(after("sk:").unwrap(), 16).unwrap(),
                after("ino:").unwrap_or("0").parse().unwrap(),
            )
        })
        .collect()
}

#[test]
fn every_state_is_as_ss_shows_it() {
    let lab = Lab::new();
    // Nothing answers behind it.
    run(lab
        .inside("ip")
        .args(["route", "add", "192.0.2.0/24", "dev", "lo"]));
    let mut script = Script::start(lab.inside("env"), STATES);
    let pids = script.numbers();
    let before = ss(&lab);
    let dump = dump_of(netns(&lab));

    let all: Vec<OpenSocket> = [&dump.sockets[..], &dump.listeners].concat();
    // What has no inode is no socket, but for what waits in a listener's queue.
    let sockets = before.iter().filter(|(state, _, _, _, inode)| {
        *inode != 0 || matches!(state.as_str(), "ESTAB" | "CLOSE-WAIT")
    });
    assert_eq!(as_ss(&all), sockets.cloned().collect());
    let count = |state: &str| before.iter().filter(|line| line.0 == state).count();
    assert_eq!(
        (count("TIME-WAIT"), count("SYN-RECV")),
        (1, 1),
        "{before:#?}"
    );
    assert_eq!(
        (count("FIN-WAIT-2"), count("SYN-SENT")),
        (2, 1),
        "{before:#?}"
    );
    let found = |state: State| all.iter().filter(|one| one.state == state).count();
    assert_eq!((found(State::TimeWait), found(State::SynRecv)), (0, 0));
    assert_eq!((found(State::FinWait2), found(State::SynSent)), (1, 1));
    assert_eq!(found(State::Close), 0);

    for socket in all {
        let holders: Vec<u32> = socket.holders.iter().map(|holder| holder.pid).collect();
        if socket.inode == 0 {
            assert!(holders.is_empty(), "{socket:?}");
            continue;
        }
        assert_eq!(holders, pids, "{socket:?}");
        assert_eq!(socket.uid, 65534);
        assert!(socket.holders.iter().all(|holder| holder.uid == 65534));
        assert!(socket.holders.iter().all(|holder| holder.comm == "python3"));
    }
}

/// Listens, and prints its process id and its port.
const LISTEN: &str = r"
import os, socket as s, sys
one = s.socket(); one.bind(('0.0.0.0', 0)); one.listen()
print(os.getpid(), one.getsockname()[1], flush=True)
sys.stdin.read()
";

/// A process that listens, until this is dropped.
pub(crate) struct Listening {
    pub(crate) pid: u32,
    port: u16,
    script: Script,
}

impl Listening {
    /// `command` is to execute what follows its arguments.
    pub(crate) fn start(command: Command) -> Self {
        let mut script = Script::start(command, LISTEN);
        let numbers = script.numbers();
        Self {
            pid: numbers[0],
            port: u16::try_from(numbers[1]).unwrap(),
            script,
        }
    }
}

#[test]
fn a_namespace_that_is_mounted_nowhere_is_found_by_its_processes() {
    let _lab = Lab::new();
    let mut command = Command::new("unshare");
    command.arg("--net");
    let listening = Listening::start(command);
    let dump = dump_of(listening.script.netns());
    let [listener] = &dump.listeners[..] else {
        panic!("{dump:?}")
    };
    assert!(listener.is_listening());
    assert_eq!(listener.addresses.local.port(), listening.port);
    assert_eq!(listener.holders[0].pid, listening.pid);

    let json = serde_json::to_string(&dump).unwrap();
    assert!(json.contains(r#""state":"LISTEN""#), "{json}");
    assert_eq!(serde_json::from_str::<Dump>(&json).unwrap(), dump);
}

#[test]
fn inaccessible_namespaces_are_counted() {
    let lab = Lab::new();
    let _inside = within(&lab, || TcpListener::bind("127.0.0.1:0").unwrap());
    let others = Listening::start(Command::new("env"));
    let nobody = tracer::internals::session::command::User::from_ids(65534, None).unwrap();
    let dump = nobody.act(|| Ok(sockets::dump())).unwrap().unwrap();
    assert!(dump.left_out.namespaces > 0, "{:?}", dump.left_out);
    assert!(dump.left_out.processes > 0, "{:?}", dump.left_out);
    let own = others.script.netns();
    let listener = dump.listeners.iter().find(|one| {
        let Addresses { local, netns, .. } = one.addresses;
        (local.port(), netns) == (others.port, own)
    });
    assert_eq!(listener.unwrap().holders, []);
    let closed = netns(&lab);
    assert!(
        dump.listeners
            .iter()
            .all(|one| one.addresses.netns != closed)
    );
}
