//! Sends spans and metrics to an OpenTelemetry collector (OTLP), from a thread of its own; what waits for it has a limit
//! in bytes. A collector that is slow or down costs spans, which are counted, and nobody else anything.

mod attributes;
mod batch;
mod collector;
mod endpoint;
mod ids;
mod meter;
mod metrics;
mod observer;
mod resource;
mod spans;
mod thread;
mod tls;

use std::{
    env, fs,
    path::Path,
    sync::{
        Arc, OnceLock,
        mpsc::{self, TryRecvError},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use hyper::header::HeaderValue;
use opentelemetry_semantic_conventions::attribute::SERVICE_NAME;
use tokio::sync::mpsc::UnboundedSender;
use upload_protocol::{
    Moment, Timeline,
    line::{ExportTotals, Hop, LostLine},
};

use self::{
    endpoint::Endpoint,
    meter::Meter,
    resource::{Common, Host},
    thread::{Done, Exporter, Message, Patience},
};
use super::{Choice, WhenBehind, weight};
use crate::{
    cli::OutputArgs,
    core::{output::Output, pipeline::Counts},
    ending::Ending,
};

/// Bytes of connections that may wait, by their [weight](weight::of_timeline).
const MAX_WAITING: usize = 64 << 20;
/// How long the rest is still sent at the end of a live run.
const LAST: Duration = Duration::from_secs(3);

/// What became of all that was sent.
#[derive(Clone, Copy, Debug, Default)]
pub struct Exported {
    pub spans: ExportTotals,
    /// Points of metrics; none where no metrics are sent.
    pub data_points: Option<ExportTotals>,
}

pub struct Otlp {
    messages: UnboundedSender<Message>,
    /// What the thread is done with; none any more once it has ended.
    done: mpsc::Receiver<Done>,
    thread: Option<JoinHandle<()>>,
    choice: Choice,
    when_behind: WhenBehind,
    ending: Ending,
    /// When the thread gives up, once the end has come.
    deadline: Arc<OnceLock<Instant>>,
    /// The weight of what waits.
    waiting: usize,
    totals: Exported,
    meter: Option<Meter>,
    /// How many of the lost ones were reported, and when; at first, since when any may be lost.
    reported: u64,
    reported_ns: Option<u64>,
    is_broken: bool,
}

impl Otlp {
    /// Starts the thread; `None` if there is no collector to send to.
    ///
    /// # Errors
    /// When the URL or a variable is malformed, or TLS trusts nobody. A collector that does not answer is no error:
    /// it may come.
    pub fn start(
        output: &OutputArgs,
        when_behind: WhenBehind,
        ending: &Ending,
    ) -> Result<Option<Self>> {
        let Some(url) = &output.otlp else {
            return Ok(None);
        };
        let cannot = || format!("nothing can be sent to the collector {url}");
        let endpoint = Endpoint::read(url, |name| env::var(name).ok()).with_context(cannot)?;
        let is_live = when_behind == WhenBehind::Drop;
        let meter = Meter::chosen(is_live, |name| env::var(name).ok()).with_context(cannot)?;
        let deadline = Arc::new(OnceLock::new());
        let exporter = Exporter {
            endpoint,
            name: url.clone(),
            common: common(is_live),
            patience: Patience {
                is_live,
                ending: ending.clone(),
                deadline: Arc::clone(&deadline),
            },
        };
        let (to, done) = mpsc::channel();
        let (messages, thread) = exporter.start(to).with_context(cannot)?;
        Ok(Some(Self {
            messages,
            done,
            thread: Some(thread),
            choice: output.choice(),
            when_behind,
            ending: ending.clone(),
            deadline,
            waiting: 0,
            totals: Exported {
                spans: ExportTotals::default(),
                data_points: meter.as_ref().map(|_| ExportTotals::default()),
            },
            meter,
            reported: 0,
            reported_ns: None,
            is_broken: false,
        }))
    }

    /// Takes a turn's outputs. `is_last`: from now on no connection is left out because sending is slow. `sink_lost`:
    /// how many outputs the other sinks have lost so far.
    pub fn send(
        &mut self,
        outputs: &[Output],
        now: Moment,
        (counts, sink_lost): (Counts, u64),
        is_last: bool,
    ) {
        if is_last {
            let _ = self.deadline.set(Instant::now() + LAST);
        }
        for output in outputs {
            if let Output::Timeline(timeline) = output
                && self.choice.chooses(timeline)
            {
                self.send_timeline(timeline, is_last);
            }
        }
        self.take_back();
        if let Some(meter) = &mut self.meter {
            meter.take(outputs, now, counts, sink_lost);
            if let Some(snapshot) = meter.due() {
                let _ = self.messages.send(Message::Metrics(Box::new(snapshot)));
            }
        }
    }

    /// The spans that were lost since this was last asked.
    pub fn take_lost(&mut self, at: Moment) -> Option<LostLine> {
        self.take_back();
        let from_ns = *self.reported_ns.get_or_insert(at.mono_ns);
        let count = self.totals.spans.lost - self.reported;
        if count == 0 {
            return None;
        }
        self.reported = self.totals.spans.lost;
        self.reported_ns = Some(at.mono_ns);
        Some(LostLine {
            at,
            count,
            at_most: false,
            hop: Hop::Otlp,
            from_ns,
            to_ns: at.mono_ns,
        })
    }

    /// Waits until everything is sent, or the time for it is over. Nothing can be sent after this.
    pub fn flush(&mut self) -> Exported {
        let Some(thread) = self.thread.take() else {
            return self.totals;
        };
        if let Some(meter) = &self.meter {
            let snapshot = meter.last();
            let _ = self.messages.send(Message::Metrics(Box::new(snapshot)));
        }
        let _ = self.messages.send(Message::Finish);
        let _ = self.deadline.set(Instant::now() + LAST);
        while let Ok(done) = self.done.recv() {
            self.count(&done);
        }
        if thread.join().is_err() {
            tracing::error!("the thread of the output to the collector ended abnormally");
        }
        self.is_broken = true;
        self.totals
    }

    /// Whether nothing can be sent any more.
    #[must_use]
    pub const fn is_broken(&self) -> bool {
        self.is_broken
    }

    fn send_timeline(&mut self, timeline: &Timeline, is_last: bool) {
        let waits = self.when_behind == WhenBehind::Wait || is_last;
        while waits && self.waiting >= MAX_WAITING && !self.is_broken {
            match self.ending.receive(&self.done) {
                Ok(done) => self.count(&done),
                Err(_) => self.is_broken = true,
            }
        }
        if self.is_broken || self.waiting >= MAX_WAITING {
            self.totals.spans.lost += spans::count(timeline);
            return;
        }
        let weight = weight::of_timeline(timeline);
        let message = Message::Connection(Box::new(timeline.clone()), weight);
        if self.messages.send(message).is_ok() {
            self.waiting += weight;
        } else {
            self.is_broken = true;
            self.totals.spans.lost += spans::count(timeline);
        }
    }

    fn take_back(&mut self) {
        loop {
            match self.done.try_recv() {
                Ok(done) => self.count(&done),
                Err(TryRecvError::Empty) => return,
                Err(TryRecvError::Disconnected) => {
                    self.is_broken = true;
                    return;
                }
            }
        }
    }

    const fn count(&mut self, done: &Done) {
        self.waiting = self.waiting.saturating_sub(done.weight);
        add(&mut self.totals.spans, done.spans);
        if let Some(points) = &mut self.totals.data_points {
            add(points, done.data_points);
        }
        if let Some(meter) = &mut self.meter
            && done.has_metrics
        {
            meter.is_waiting = false;
        }
    }
}

const fn add(totals: &mut ExportTotals, more: ExportTotals) {
    totals.exported += more.exported;
    totals.lost += more.lost;
}

/// What all resources have in common. A live run is of this host.
fn common(is_live: bool) -> Common {
    let variable = |name| env::var(name).ok().filter(|value| !value.is_empty());
    let mut chosen = resource::pairs(&variable("OTEL_RESOURCE_ATTRIBUTES").unwrap_or_default());
    // It wins over the list (OpenTelemetry's specification, "General SDK Configuration").
    if let Some(service) = variable("OTEL_SERVICE_NAME") {
        chosen.retain(|(key, _)| key != SERVICE_NAME);
        chosen.push((SERVICE_NAME.to_owned(), service));
    }
    chosen.sort();
    Common {
        chosen,
        host: is_live.then(host),
    }
}

fn host() -> Host {
    let read = |path: &str| {
        let text = fs::read_to_string(Path::new(path)).ok()?;
        Some(text.trim().to_owned()).filter(|text| !text.is_empty())
    };
    let uname = rustix::system::uname();
    Host {
        name: uname.nodename().to_str().ok().map(ToOwned::to_owned),
        id: read("/etc/machine-id").or_else(|| read("/var/lib/dbus/machine-id")),
        boot: read("/proc/sys/kernel/random/boot_id").unwrap_or_default(),
    }
}

/// How the tracer names itself to the collector.
const fn agent() -> HeaderValue {
    HeaderValue::from_static(concat!("tracer/", env!("CARGO_PKG_VERSION")))
}
