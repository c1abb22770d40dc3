//! The upload's connections as trace events (the JSON form of Chrome's tracing), which
//! <https://ui.perfetto.dev> opens: a process for each connection, a thread for each kind of event. The way through
//! proxies is a process of its own.

mod way;

use jiff::SignedDuration;
use serde_json::{Value, json};

use upload_protocol::{
    timeline::{Diagnosis, Phase, Span, Step, Timeline, TlsStep},
    upload::Upload,
};

use self::way::Way;
use super::shown::Shown;

/// Rows of a connection, in order.
const ROWS: [&str; 5] = ["phases", "segments", "TLS", "requests", "held back by"];
const PHASES: usize = 0;
const SEGMENTS: usize = 1;
const TLS: usize = 2;
const REQUESTS: usize = 3;
const HELD_BACK_BY: usize = 4;

/// The document. Times are microseconds since the first connection's beginning, or since the request's on the first
/// hop, whichever was earlier.
#[must_use]
pub fn trace(timelines: &[Shown], upload: &Upload) -> Value {
    let ways = timelines.iter().enumerate();
    let ways: Vec<Way<'_>> = ways
        .filter_map(|(number, timeline)| {
            Some(Way {
                process: timelines.len() + number + 1,
                connection: timeline.connection,
                hops: timeline.hops_of(&upload.id)?,
            })
        })
        .collect();
    let opened = timelines.first().map(|timeline| timeline.at);
    let begins = ways.iter().filter_map(Way::begins_mono_ns);
    let first = begins.chain(opened.map(|at| at.mono_ns)).min();
    let first = first.unwrap_or_default();
    let mut events = Vec::new();
    for (number, timeline) in timelines.iter().enumerate() {
        let after_ns = timeline.at.mono_ns.saturating_sub(first);
        Connection {
            process: number + 1,
            after_ns,
            events: &mut events,
        }
        .write(timeline);
    }
    for way in &ways {
        way.write(first, &mut events);
    }
    let began = opened.and_then(|at| {
        let earlier = i64::try_from(at.mono_ns.saturating_sub(first)).ok()?;
        let began = at
            .timestamp()
            .checked_sub(SignedDuration::from_nanos(earlier));
        Some(format!("{:.9}", began.ok()?))
    });
    json!({
        "displayTimeUnit": "ns",
        "traceEvents": events,
        "otherData": {
            "upload": upload.id,
            "name": upload.name,
            "began": began,
        },
    })
}

/// The processes of a document of many connections.
#[derive(Debug, Default)]
pub struct Processes {
    taken: usize,
}

impl Processes {
    /// The events of a connection, and of the ways of its uploads. Times are microseconds of CLOCK_MONOTONIC.
    #[must_use]
    pub fn events(&mut self, timeline: &Timeline) -> Vec<Value> {
        let mut events = Vec::new();
        let mut next = || {
            self.taken += 1;
            self.taken
        };
        Connection {
            process: next(),
            after_ns: timeline.at.mono_ns,
            events: &mut events,
        }
        .write(timeline);
        for upload in timeline
            .uploads
            .iter()
            .filter(|upload| !upload.hops.is_empty())
        {
            let way = Way {
                process: next(),
                connection: timeline.connection,
                hops: &upload.hops,
            };
            way.write(0, &mut events);
        }
        events
    }
}

struct Connection<'a> {
    process: usize,
    after_ns: u64,
    events: &'a mut Vec<Value>,
}

impl Connection<'_> {
    fn write(&mut self, timeline: &Timeline) {
        let (client, server) = (&timeline.client, &timeline.server);
        let name = format!(
            "connection {} {}:{} → {}:{}",
            timeline.connection, client.addr, client.port, server.addr, server.port
        );
        self.name("process_name", 0, &name);
        for (row, name) in ROWS.iter().enumerate() {
            self.name("thread_name", row, name);
        }
        let last = timeline.last_ns();
        for phase in &timeline.phases {
            self.phase(phase, last);
        }
        for exchange in timeline.exchanges() {
            let (request, id) = (&exchange.request, &exchange.upload);
            let named = format!("{} {}", request.method, request.target);
            let args = json!({"upload": id, "request": exchange.sequence,
                "status": exchange.response.status, "bytes": exchange.body.bytes,
                "known_by": exchange.known_by});
            self.span(REQUESTS, &named, request.span, &args);
            self.span(REQUESTS, "body", exchange.body.span, &args);
            self.span(REQUESTS, "wait", exchange.wait, &args);
            self.span(REQUESTS, "response", exchange.response.span, &args);
        }
        for upload in &timeline.uploads {
            if let Some(diagnosis) = &upload.diagnosis {
                self.held_back(&upload.id, diagnosis);
            }
        }
    }

    /// Which cause held the upload back when.
    fn held_back(&mut self, upload: &str, diagnosis: &Diagnosis) {
        for ruled in &diagnosis.course {
            let cause = ruled.cause;
            let args = json!({"upload": upload, "cause": cause, "side": cause.side(),
                "verdict": diagnosis.verdict, "certainty": diagnosis.certainty});
            let span = Span {
                start_ns: Some(ruled.start_ns),
                end_ns: Some(ruled.end_ns),
                certainty: diagnosis.certainty,
            };
            self.span(HELD_BACK_BY, &diagnosis.phrase(cause), span, &args);
        }
    }

    /// A phase that has not ended is drawn up to the last known moment.
    fn phase(&mut self, phase: &Phase, last_ns: u64) {
        let (name, start_ns, end_ns, certainty, steps) = match phase {
            Phase::Initiation(phase) => {
                let (start, end) = (Some(phase.start_ns), phase.end_ns);
                ("initiation", start, end, phase.certainty, &phase.steps)
            }
            Phase::Termination(phase) => {
                let (start, end) = (phase.start_ns, phase.end_ns);
                ("termination", start, end, phase.certainty, &phase.steps)
            }
            Phase::Maintenance(phase) => {
                let tls = phase.tls.as_ref();
                for step in tls.map_or(&[][..], |tls| &tls.steps) {
                    self.message(step);
                }
                let (start, end) = (phase.start_ns, phase.end_ns);
                ("maintenance", start, end, phase.certainty, &Vec::new())
            }
        };
        let args = json!({"certainty": certainty, "ended": end_ns.is_some()});
        let end_ns = end_ns
            .or(Some(last_ns))
            .filter(|end| Some(*end) >= start_ns);
        let span = Span {
            start_ns,
            end_ns,
            certainty,
        };
        self.span(PHASES, name, span, &args);
        for step in steps {
            self.segment(step);
        }
    }

    fn name(&mut self, what: &str, row: usize, name: &str) {
        self.events.push(json!({
            "ph": "M", "name": what, "pid": self.process, "tid": row + 1, "args": {"name": name},
        }));
    }

    /// Left out where an end is unknown: the format cannot express that.
    fn span(&mut self, row: usize, name: &str, span: Span, args: &Value) {
        let Some((start, end)) = span.start_ns.zip(span.end_ns) else {
            return;
        };
        let Some(length) = end.checked_sub(start) else {
            return;
        };
        self.events.push(json!({
            "ph": "X", "name": name, "pid": self.process, "tid": row + 1,
            "ts": self.micros(start), "dur": length as f64 / 1e3, "args": args,
        }));
    }

    fn segment(&mut self, step: &Step) {
        let Some(at) = step.at_ns else {
            return;
        };
        let name = format!("{} from the {}", step.name, step.from);
        let args = json!({"seq": step.seq, "ack": step.ack, "len": step.len,
            "certainty": step.certainty, "known_by": step.known_by});
        self.instant(SEGMENTS, &name, at, &args);
    }

    fn message(&mut self, step: &TlsStep) {
        let name = format!("{} from the {}", step.name, step.from);
        let args = json!({"certainty": step.certainty});
        self.instant(TLS, &name, step.at_ns, &args);
    }

    fn instant(&mut self, row: usize, name: &str, at_ns: u64, args: &Value) {
        self.events.push(json!({
            "ph": "i", "s": "t", "name": name, "pid": self.process, "tid": row + 1,
            "ts": self.micros(at_ns), "args": args,
        }));
    }

    fn micros(&self, at_ns: u64) -> f64 {
        self.after_ns.saturating_add(at_ns) as f64 / 1e3
    }
}
