//! Makes spans of connections and sends them, and metrics, on a thread with a runtime of its own.

use std::{
    io,
    path::PathBuf,
    sync::{Arc, OnceLock, mpsc},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use tokio::{
    runtime,
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    time::{sleep, timeout_at},
};
use tracing::debug;
use upload_protocol::{Timeline, line::ExportTotals};

use super::{
    batch::{Batch, Encoded, Signal},
    collector::{Collector, Failure},
    endpoint::Endpoint,
    metrics::Snapshot,
    resource::Common,
    spans, tls,
};
use crate::{ending::Ending, message, privileges};

/// How long spans wait for others to be sent with.
const GATHER: Duration = Duration::from_millis(500);
/// The pause after a failure, which doubles with each …
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// … up to this.
const MAX_PAUSE: Duration = Duration::from_secs(10);
/// How long a request is sent again and again, in a live run …
const GIVE_UP: Duration = Duration::from_secs(120);
/// … and where the input waits for the collector.
const GIVE_UP_IF_AWAITED: Duration = Duration::from_secs(10);
/// How often to look whether the time is over.
const TURN: Duration = Duration::from_millis(20);

pub(super) enum Message {
    /// A connection, and its weight.
    Connection(Box<Timeline>, usize),
    /// What was measured so far: it is sent after what came before it.
    Metrics(Box<Snapshot>),
    /// There are no more.
    Finish,
}

/// What the thread is done with.
#[derive(Debug, Default)]
pub(super) struct Done {
    pub(super) weight: usize,
    pub(super) spans: ExportTotals,
    pub(super) data_points: ExportTotals,
    /// Whether metrics are among it.
    pub(super) has_metrics: bool,
}

impl Done {
    const fn of(&mut self, signal: Signal) -> &mut ExportTotals {
        match signal {
            Signal::Traces => &mut self.spans,
            Signal::Metrics => &mut self.data_points,
        }
    }
}

pub(super) struct Exporter {
    pub(super) endpoint: Endpoint,
    /// The collector, for a person.
    pub(super) name: String,
    pub(super) common: Common,
    pub(super) patience: Patience,
}

/// How long to try.
pub(super) struct Patience {
    /// Whether nobody waits for the collector.
    pub(super) is_live: bool,
    pub(super) ending: Ending,
    /// When to give up, once the end has come.
    pub(super) deadline: Arc<OnceLock<Instant>>,
}

impl Exporter {
    /// Starts the thread. In a live run, it has no more rights than the caller.
    pub(super) fn start(
        self,
        done: mpsc::Sender<Done>,
    ) -> Result<(UnboundedSender<Message>, JoinHandle<()>)> {
        let (messages, to_send) = unbounded_channel();
        let (to, begun) = mpsc::channel();
        let thread = thread::Builder::new()
            .name("sink".to_owned())
            .spawn(move || {
                if self.patience.is_live {
                    privileges::drop_all();
                }
                match self.prepare() {
                    Ok((runtime, sending)) => {
                        let _ = to.send(Ok(()));
                        runtime.block_on(sending.run(to_send, &done));
                        // Unlike dropping it, this does not wait for a host's name to be looked up.
                        runtime.shutdown_background();
                    }
                    Err(error) => _ = to.send(Err(error)),
                }
            })
            .context("starting the output's thread")?;
        begun.recv().map_err(io::Error::other)??;
        Ok((messages, thread))
    }

    fn prepare(self) -> Result<(runtime::Runtime, Sending)> {
        let tls = if self.endpoint.is_secure {
            let trusted = std::env::var_os("OTEL_EXPORTER_OTLP_CERTIFICATE").map(PathBuf::from);
            Some(tls::connector(self.endpoint.protocol, trusted.as_deref())?)
        } else {
            None
        };
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let sending = Sending {
            collector: Collector::new(self.endpoint, tls),
            name: self.name,
            common: self.common,
            patience: self.patience,
            failing: Vec::new(),
            gave_up: false,
        };
        Ok((runtime, sending))
    }
}

struct Sending {
    collector: Collector,
    name: String,
    common: Common,
    patience: Patience,
    /// Of what it was reported that the collector does not take it.
    failing: Vec<Signal>,
    /// Whether nothing more is sent, since the input waits for it in vain.
    gave_up: bool,
}

impl Sending {
    async fn run(mut self, mut messages: UnboundedReceiver<Message>, done: &mpsc::Sender<Done>) {
        while let Some(first) = messages.recv().await {
            let (sent, is_last) = self.send_some(first, &mut messages).await;
            // This fails only if the sink was dropped, which counts no more.
            let _ = done.send(sent);
            if is_last {
                break;
            }
        }
    }

    /// Sends what waits and what comes soon; also, whether these were the last.
    async fn send_some(
        &mut self,
        first: Message,
        messages: &mut UnboundedReceiver<Message>,
    ) -> (Done, bool) {
        let mut done = Done::default();
        let mut batch = Batch::default();
        let until = tokio::time::Instant::now() + GATHER;
        let mut metrics = None;
        let mut next = Some(first);
        loop {
            match next {
                Some(Message::Connection(timeline, weight)) => {
                    done.weight += weight;
                    if self.gave_up || self.patience.is_over() {
                        done.spans.lost += spans::count(&timeline);
                    } else if !self.is_own(&timeline) {
                        batch.add(spans::of(&timeline, &self.common));
                    }
                }
                Some(Message::Metrics(snapshot)) => metrics = Some(snapshot),
                Some(Message::Finish) | None => break,
            }
            if batch.is_full() {
                next = None;
                break;
            }
            next = match timeout_at(until, messages.recv()).await {
                Ok(message) => Some(message.unwrap_or(Message::Finish)),
                Err(_) => None,
            };
        }
        for request in batch.encode() {
            self.send(request, true, &mut done).await;
        }
        if let Some(snapshot) = metrics {
            done.has_metrics = true;
            let request = snapshot.encode(&self.common);
            self.send(request, snapshot.is_last, &mut done).await;
        }
        (done, matches!(next, Some(Message::Finish)))
    }

    /// Whether this is the tracer's own connection to the collector.
    fn is_own(&self, timeline: &Timeline) -> bool {
        self.collector.own_sockets().has(timeline.client.cookie)
    }

    /// Sends a request until the collector takes it, or it was tried for long enough. Once alone, if no later one makes
    /// up for it.
    async fn send(&mut self, request: Encoded, is_tried_again: bool, done: &mut Done) {
        let signal = request.signal;
        let totals = done.of(signal);
        let begun = Instant::now();
        let mut pause = FIRST_PAUSE;
        loop {
            if self.gave_up || self.patience.is_over() {
                break;
            }
            let answer = tokio::select! {
                answer = self.collector.export(signal, request.bytes.clone()) => answer,
                () = self.patience.over() => break,
            };
            let after = match answer {
                Ok(taken) => {
                    let rejected = taken.rejected.min(request.count);
                    totals.lost += rejected;
                    totals.exported += request.count - rejected;
                    if self.failing.contains(&signal) {
                        self.failing.retain(|failing| *failing != signal);
                        let what = signal.name();
                        message(&format!("the collector {} takes {what} again", self.name));
                    }
                    return;
                }
                Err(Failure::Final(why)) => {
                    self.report(signal, &why, "they are lost");
                    break;
                }
                Err(Failure::Temporary { why, after }) => {
                    if !is_tried_again {
                        self.report(signal, &why, "the next ones make up for them");
                        break;
                    }
                    self.report(signal, &why, "they are sent again later");
                    after
                }
            };
            if begun.elapsed() + pause >= self.patience.of_request() {
                self.gave_up = !self.patience.is_live;
                break;
            }
            tokio::select! {
                () = sleep(after.unwrap_or(pause).max(pause)) => {}
                () = self.patience.over() => break,
            }
            pause = (2 * pause).min(MAX_PAUSE);
        }
        totals.lost += request.count;
    }

    /// Reports the first of several failures.
    fn report(&mut self, signal: Signal, why: &str, what: &str) {
        let (name, sent) = (&self.name, signal.name());
        debug!("the collector {name} does not take {sent}: {why}");
        if !self.failing.contains(&signal) {
            self.failing.push(signal);
            message(&format!(
                "the collector {name} does not take {sent}, {what}: {why}"
            ));
        }
    }
}

impl Patience {
    const fn of_request(&self) -> Duration {
        if self.is_live {
            GIVE_UP
        } else {
            GIVE_UP_IF_AWAITED
        }
    }

    /// Whether there is no time left. Where the input waits for the collector, it may take its time.
    fn is_over(&self) -> bool {
        let ends = self.deadline.get().filter(|_| self.is_live);
        ends.is_some_and(|ends| *ends <= Instant::now()) || self.ending.is_over()
    }

    async fn over(&self) {
        while !self.is_over() {
            sleep(TURN).await;
        }
    }
}
