//! A tracer of so many connections that its output is counted, not kept.

use std::{
    collections::{HashMap, HashSet},
    fs,
    io::{BufRead as _, BufReader},
    net::{Ipv4Addr, TcpListener},
    process::{ChildStdout, Stdio},
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

use aya::maps::{Map, MapData, PerCpuArray};
use serde_json::Value;
use tracer_ebpf::record::LOST_RECORDS;

use crate::{
    churn::{PAYLOAD, pair, port, within},
    lab::{Lab, Process, has_states_from_listen_on, wait_until},
    trace::{number, steps},
};

/// A mark that is not reported by then was lost.
const AGAIN: Duration = Duration::from_secs(2);

/// A traced process whose output is counted.
pub(crate) struct Listened {
    process: Process,
    kernel: Kernel,
    tally: Arc<(Mutex<Tally>, Condvar)>,
    /// The port of marks: once a mark is reported, so is everything before it.
    marked: u16,
    reader: JoinHandle<()>,
}

/// The counted output.
#[derive(Default)]
pub(crate) struct Tally {
    /// Timelines of [`churn`](crate::churn::churn)'s connections.
    pub(crate) timelines: u64,
    /// Those that are complete.
    pub(crate) whole: u64,
    /// Those that were still open.
    pub(crate) open: u64,
    /// Why the others are not.
    pub(crate) reasons: HashMap<String, u64>,
    /// Whole ones with something wrong.
    wrong: Vec<String>,
    /// Changes of state, until the connection's timeline.
    states: HashMap<String, u64>,
    /// The ports of the marks' clients.
    marks: HashSet<u16>,
    lost: Vec<Value>,
    summary: Option<Value>,
}

/// The kernel's own counts.
struct Kernel {
    lost: PerCpuArray<MapData, u64>,
    emitted: PerCpuArray<MapData, u64>,
}

impl Listened {
    pub(crate) fn start(lab: &Lab, arguments: &[&str]) -> Self {
        let marked = port() + 1;
        let ports = [port().to_string(), marked.to_string()];
        let always = [
            "-o", "ndjson", "--audit", "--port", &ports[0], "--port", &ports[1],
        ];
        let mut process = lab.tracer_inside(&[&always, arguments].concat(), Stdio::piped());
        let stdout = process.stdout();
        let tally = Arc::new((Mutex::new(Tally::default()), Condvar::new()));
        let to = Arc::clone(&tally);
        Self {
            kernel: Kernel::of(process.pid()),
            process,
            tally,
            marked,
            reader: thread::spawn(move || read(stdout, &to)),
        }
    }

    pub(crate) fn tally<T>(&self, of: impl FnOnce(&Tally) -> T) -> T {
        of(&self.tally.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits until everything so far was reported.
    pub(crate) fn wait_until_reported(&self, lab: &Lab) {
        within(lab, || {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, self.marked)).unwrap();
            wait_until(|| {
                let mark = pair(&listener);
                // A mark that was reported too late for an earlier call means nothing here.
                let port = mark.0.local_addr().unwrap().port();
                let (tally, marked) = &*self.tally;
                let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
                tally.marks.remove(&port);
                drop(mark);
                let unreported = |tally: &mut Tally| !tally.marks.contains(&port);
                let (tally, _) = marked.wait_timeout_while(tally, AGAIN, unreported).unwrap();
                tally.marks.contains(&port)
            });
        });
    }

    /// Its resident memory in KiB.
    pub(crate) fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.unwrap()
            .trim()
            .trim_end_matches(" kB")
            .parse()
            .unwrap()
    }

    /// Ends it. Each record that the kernel made was decoded or is said to be lost, and a timeline
    /// that says that it is whole is.
    pub(crate) fn stop(self) -> Tally {
        assert!(self.process.stop().success());
        self.reader.join().unwrap();
        let tally = Arc::try_unwrap(self.tally).ok().unwrap();
        let tally = tally.0.into_inner().unwrap();
        let summary = tally.summary();
        let emitted = number(&summary["emitted"]);
        let lost = sum(&self.kernel.lost, LOST_RECORDS);
        assert_eq!(emitted, sum(&self.kernel.emitted, 0) + lost, "{summary}");
        assert_eq!(tally.lost("ring"), lost);
        assert_eq!(tally.lost("decode"), 0);
        assert_eq!(
            emitted,
            number(&summary["events"]) + tally.lost("ring"),
            "{summary}"
        );
        assert!(tally.wrong.is_empty(), "{}", tally.wrong[0]);
        tally
    }
}

impl Tally {
    pub(crate) fn summary(&self) -> &Value {
        self.summary.as_ref().unwrap()
    }

    /// Whether each connection that was told of has had its timeline, but for what this reader was
    /// too slow for: it is a debug build, which the tracer may be faster than.
    pub(crate) fn is_all_reported(&self) -> bool {
        self.states.is_empty() || self.lost("sink") > 0
    }

    /// How many were lost at this hop.
    pub(crate) fn lost(&self, hop: &str) -> u64 {
        let of_hop = self.lost.iter().filter(|line| line["hop"] == hop);
        of_hop.map(|line| number(&line["count"])).sum()
    }

    fn count(&mut self, line: &str) {
        if line.starts_with(r#"{"type":"state""#) {
            let (_, rest) = line.split_once(r#""connection":""#).unwrap();
            let (connection, _) = rest.split_once('"').unwrap();
            *self.states.entry(connection.to_owned()).or_default() += 1;
            return;
        }
        let line: Value = serde_json::from_str(line).unwrap();
        match line["type"].as_str().unwrap() {
            "timeline" => self.timeline(&line),
            "lost" => self.lost.push(line),
            "summary" => self.summary = Some(line),
            _ => {}
        }
    }

    fn timeline(&mut self, timeline: &Value) {
        let connection = timeline["connection"].as_str().unwrap();
        let states = self.states.remove(connection).unwrap_or_default();
        if timeline["server"]["port"] == port() + 1 {
            let port = timeline["client"]["port"].as_u64().unwrap();
            self.marks.insert(port.try_into().unwrap());
            return;
        }
        self.timelines += 1;
        self.open += u64::from(timeline["open"] == true);
        for reason in timeline["incomplete"].as_array().unwrap() {
            let reason = reason.as_str().unwrap().to_owned();
            *self.reasons.entry(reason).or_default() += 1;
        }
        if timeline["complete"] == true {
            self.whole += 1;
            // Lines that this reader was too slow for may have been among them.
            let has_states = states == states_of_a_connection() || self.lost("sink") > 0;
            if !has_states || !is_right(timeline) {
                self.wrong.push(format!("{states} states; {timeline:#}"));
            }
        }
    }
}

/// Of both ends together.
fn states_of_a_connection() -> u64 {
    9 + u64::from(has_states_from_listen_on())
}

/// Whether a timeline says what happened.
fn is_right(timeline: &Value) -> bool {
    let together = ["client FIN", "server FIN-ACK", "client ACK"];
    let apart = ["client FIN", "server ACK", "server FIN", "client ACK"];
    let closing = steps(timeline, 2);
    timeline["bytes"]["client_to_server"] == PAYLOAD.len()
        && timeline["bytes"]["server_to_client"] == 0
        && timeline["lost"] == 0
        && timeline["open"] == false
        && steps(timeline, 0) == ["client SYN", "server SYN-ACK", "client ACK"]
        && (closing == together || closing == apart)
        && timeline["phases"][2]["closed_first"] == "client"
}

impl Kernel {
    /// The maps outlive the tracer as long as somebody holds them.
    fn of(pid: u32) -> Self {
        let map = |wanted: &str| {
            let files = fs::read_dir(format!("/proc/{pid}/fdinfo")).unwrap();
            let found = files.filter_map(|file| {
                let text = fs::read_to_string(file.unwrap().path()).ok()?;
                let id = text.lines().find_map(|line| line.strip_prefix("map_id:"))?;
                let map = MapData::from_id(id.trim().parse().unwrap()).ok()?;
                let is_wanted = map.info().unwrap().name_as_str() == Some(wanted);
                is_wanted.then(|| Map::from_map_data(map).unwrap())
            });
            PerCpuArray::try_from(found.into_iter().next().unwrap()).unwrap()
        };
        Self {
            lost: map("LOST"),
            emitted: map("EMITTED"),
        }
    }
}

fn sum(counts: &PerCpuArray<MapData, u64>, index: u32) -> u64 {
    counts.get(&index, 0).unwrap().iter().sum()
}

fn read(stdout: ChildStdout, (tally, marked): &(Mutex<Tally>, Condvar)) {
    let mut lines = BufReader::with_capacity(1 << 20, stdout);
    let mut line = String::new();
    while lines.read_line(&mut line).unwrap() > 0 {
        tally
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .count(&line);
        marked.notify_all();
        line.clear();
    }
}
