//! Merges the live kernel records, the server's feed and the sockets opened before into one sequence of
//! inputs.

use std::{ops::ControlFlow, time::Duration};

use anyhow::{Context as _, Result};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, timeout},
};

use tracer_ebpf::{filter::Listener, record::Header};
use zerocopy::FromBytes as _;

use super::{cgroup_names::CgroupLookup, liveness::Liveness, poll_interval, readings::Reader};
use crate::{
    core::input::{Feed, Input, Missing, OpenSocket, Tick},
    kernel::{Probe, Refused, clock},
    message,
};

/// A record that is this much later than the present was submitted after everything that happened before.
const AHEAD_NS: u64 = 5_000_000;
/// At the end, how long to wait for feed lines about the records just drained.
const LAST_WORDS: Duration = Duration::from_millis(50);
/// The same for all of them: a feed may always have another line.
const ALL_LAST_WORDS: Duration = Duration::from_secs(1);
/// How often what the programs cost is read, if that is wanted.
const COST_EVERY: Duration = Duration::from_secs(1);

/// What was open before the tracer attached.
#[derive(Debug, Default)]
pub struct OpenAlready {
    /// The selected sockets.
    pub sockets: Vec<OpenSocket>,
    /// Where sockets listen, if processes are followed.
    pub listeners: Vec<Listener>,
}

/// The inputs besides the kernel's records.
pub struct LiveInputs<Open, Stop> {
    /// The upload server's feed.
    pub feed: mpsc::Receiver<Feed>,
    /// The sockets that listened before anything was attached.
    pub listening: Vec<OpenSocket>,
    /// Whether the programs count their records.
    pub audit: bool,
    /// Whether what the programs cost is also wanted meanwhile, and not at the end alone.
    pub costs: bool,
    /// Whether the counters of sockets are read, for an overview.
    pub readings: bool,
    /// Resolves to what was open before.
    pub open: Open,
    /// Completes when it is time to end.
    pub stop: Stop,
}

/// Passes every input to `each` until that breaks or `stop` completes; then the inputs still queued,
/// and [`Input::Shutdown`]. The first input is a tick. Calls `ready` once no connection can be missed.
/// Returns how many connections the filter refused.
pub async fn run(
    probe: Probe,
    beside: LiveInputs<impl Future<Output = OpenAlready>, impl Future<Output = ()>>,
    ready: impl FnOnce(),
    each: impl FnMut(Input<'_>) -> ControlFlow<()>,
) -> Result<Refused> {
    let LiveInputs {
        mut feed,
        listening,
        audit,
        costs,
        readings,
        open,
        stop,
    } = beside;
    let mut reader = Reader::start(readings);
    let mut source = Source {
        probe,
        names: CgroupLookup::new(),
        period: poll_interval::LONGEST,
        counted: Tick::default(),
        liveness: Liveness::start(),
        each,
    };
    let ring = source.probe.half_full()?;
    let mut pause = std::pin::pin!(sleep(source.period));
    let mut open = std::pin::pin!(open);
    let mut stop = std::pin::pin!(stop);
    let mut feed_open = true;
    let mut ready = Some(ready);
    let mut costed = Instant::now();
    let mut flow = source.tick()?;
    for socket in listening {
        flow = (source.each)(Input::Socket(Box::new(socket)));
    }
    let missing: Vec<Missing> = source.probe.missing().iter().map(Missing::from).collect();
    if !missing.is_empty() {
        let _ = (source.each)(Input::Missing(missing));
    }
    while flow.is_continue() {
        tokio::select! {
            biased;
            () = &mut stop => break,
            found = &mut open, if ready.is_some() => {
                flow = source.begin_with(found)?;
                if let Some(ready) = ready.take() {
                    ready();
                }
            }
            waits = ring.readable() => {
                let mut waits = waits.context("waiting for the ring buffer")?;
                flow = source.drain()?;
                waits.clear_ready();
            }
            present = source.liveness.answer() => {
                // The CLOSE of a missing socket may still be in the ring: drain it first.
                flow = source.drain()?;
                let _ = (source.each)(Input::Present(Box::new(present)));
            }
            readings = reader.next() => {
                let _ = (source.each)(Input::Readings(Box::new(readings)));
            }
            () = &mut pause => {
                flow = source.drain()?;
                if costs && costed.elapsed() >= COST_EVERY {
                    costed = Instant::now();
                    source.pass_on_cost();
                }
                pause.as_mut().reset(Instant::now() + source.period);
            }
            // The last: a feed may always have another line.
            news = feed.recv(), if feed_open => match news {
                Some(news) => flow = (source.each)(Input::Feed(news)),
                None => feed_open = false,
            },
        }
    }
    // Detached, the programs add no record: the ring's rest and the loss counters are final.
    source.probe.detach();
    let _ = source.drain()?;
    source.pass_on_names();
    let until = Instant::now() + ALL_LAST_WORDS;
    while Instant::now() < until
        && let Ok(Some(news)) = timeout(LAST_WORDS, feed.recv()).await
    {
        let _ = (source.each)(Input::Feed(news));
    }
    source.counted.emitted = audit.then(|| source.probe.emitted()).transpose()?;
    let _ = source.tick()?;
    source.pass_on_cost();
    let _ = (source.each)(Input::Shutdown);
    source.probe.refused()
}

struct Source<Each> {
    probe: Probe,
    names: CgroupLookup,
    /// How long to wait before polling the ring buffers again.
    period: Duration,
    /// The loss counters as last read.
    counted: Tick,
    liveness: Liveness,
    each: Each,
}

impl<Each: FnMut(Input<'_>) -> ControlFlow<()>> Source<Each> {
    /// Drains the rings, then passes on a tick. Its clocks are read before the drain, so that every
    /// record up to the tick has been passed on. Records that are made meanwhile wait for the next one: with more than
    /// can be passed on, the ring would never be empty.
    fn drain(&mut self) -> Result<ControlFlow<()>> {
        let now = clock::read();
        let (names, each) = (&mut self.names, &mut self.each);
        let mut found = 0;
        let until_ns = now.mono_ns.saturating_add(AHEAD_NS);
        self.probe.drain(|record| {
            found += 1;
            names.ask_of_record(record);
            let _ = each(Input::Kernel(record.into()));
            match Header::read_from_prefix(record) {
                Ok((header, _)) if header.mono_ns > until_ns => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            }
        })?;
        self.pass_on_names();
        self.period = poll_interval::after(self.period, found);
        if found > 0 {
            // An empty ring loses nothing. A skipped program run without a record is counted at the end.
            self.count()?;
        }
        Ok((self.each)(Input::Tick(Tick {
            mono_ns: now.mono_ns,
            realtime_ns: now.realtime_ns,
            suspended_ns: now.suspended_ns,
            ..self.counted
        })))
    }

    fn pass_on_names(&mut self) {
        let each = &mut self.each;
        self.names.pass_on(|name| {
            let _ = each(name);
        });
    }

    /// What the programs have cost so far, where the kernel counts it.
    fn pass_on_cost(&mut self) {
        let cost = self.probe.cost();
        if !cost.is_empty() {
            let _ = (self.each)(Input::Cost(cost));
        }
    }

    /// A tick with fresh loss counters.
    fn tick(&mut self) -> Result<ControlFlow<()>> {
        self.count()?;
        Ok((self.each)(Input::Tick(self.counted)))
    }

    fn count(&mut self) -> Result<()> {
        let lost = self.probe.lost()?;
        let now = clock::read();
        if (lost.ring, lost.recursion) != (self.counted.lost_ring, self.counted.lost_recursion) {
            self.liveness.ask();
        }
        self.counted = Tick {
            mono_ns: now.mono_ns,
            realtime_ns: now.realtime_ns,
            suspended_ns: now.suspended_ns,
            counted_ns: now.mono_ns,
            lost_ring: lost.ring,
            lost_sockets: lost.sockets,
            lost_recursion: lost.recursion,
            emitted: self.counted.emitted,
        };
        Ok(())
    }

    /// Passes on the sockets that were open before, then the kernel's records about them.
    fn begin_with(&mut self, open: OpenAlready) -> Result<ControlFlow<()>> {
        let OpenAlready { sockets, listeners } = open;
        self.probe.listening(&listeners)?;
        let cookies: Vec<u64> = sockets.iter().map(|socket| socket.cookie).collect();
        let taken = self.probe.remember(&cookies)?;
        if taken < cookies.len() {
            message(&format!(
                "{} of {} sockets opened before the tracer are not traced: the map of sockets is full",
                cookies.len() - taken,
                cookies.len()
            ));
        }
        for socket in sockets {
            if let Some(id) = socket.cgroup_id {
                let pid = socket.holders.first().map_or(0, |holder| holder.pid);
                self.names.ask(id, pid);
            }
            let _ = (self.each)(Input::Socket(Box::new(socket)));
        }
        self.drain()
    }
}
