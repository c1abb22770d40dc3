//! The live kernel, the live feed and the sockets that are open already, as one sequence of inputs.

use std::{ops::ControlFlow, time::Duration};

use anyhow::{Context as _, Result};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, timeout},
};

use super::{cgroup_names::CgroupLookup, liveness::Liveness, poll_interval};
use crate::{
    core::input::{Feed, Input, Missing, OpenSocket, Tick},
    kernel::{Probe, clock},
    message,
};

/// At the end, the feed's news of what was just drained may still be under way.
const LAST_WORDS: Duration = Duration::from_millis(50);

/// What there is beside the kernel's records.
pub struct LiveInputs<Open, Stop> {
    /// What the upload server says.
    pub feed: mpsc::Receiver<Feed>,
    /// The sockets that listened before anything was attached.
    pub listening: Vec<OpenSocket>,
    /// Whether the programs count the records that they make.
    pub audit: bool,
    /// Done with the sockets that are open already and wanted.
    pub open: Open,
    /// Done when it is time to end.
    pub stop: Stop,
}

/// Hands every input to `each`, until that breaks or `stop` is done; then what still waits, and
/// [`Input::Shutdown`]. The first input is a tick. Calls `ready` when nothing is missed any more.
pub async fn run(
    probe: Probe,
    beside: LiveInputs<impl Future<Output = Vec<OpenSocket>>, impl Future<Output = ()>>,
    ready: impl FnOnce(),
    each: impl FnMut(Input<'_>) -> ControlFlow<()>,
) -> Result<()> {
    let LiveInputs {
        mut feed,
        listening,
        audit,
        open,
        stop,
    } = beside;
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
            news = feed.recv(), if feed_open => match news {
                Some(news) => flow = (source.each)(Input::Feed(news)),
                None => feed_open = false,
            },
            present = source.liveness.answer() => {
                // The end of what is gone may be among what waits.
                flow = source.drain()?;
                let _ = (source.each)(Input::Present(Box::new(present)));
            }
            () = &mut pause => {
                flow = source.drain()?;
                pause.as_mut().reset(Instant::now() + source.period);
            }
        }
    }
    // From here on nothing is added: what waits then is all, and so is what was lost.
    source.probe.detach();
    let _ = source.drain()?;
    while let Ok(Some(news)) = timeout(LAST_WORDS, feed.recv()).await {
        let _ = (source.each)(Input::Feed(news));
    }
    source.counted.emitted = audit.then(|| source.probe.emitted()).transpose()?;
    let _ = source.tick()?;
    let cost = source.probe.cost();
    if !cost.is_empty() {
        let _ = (source.each)(Input::Cost(cost));
    }
    let _ = (source.each)(Input::Shutdown);
    Ok(())
}

struct Source<Each> {
    probe: Probe,
    names: CgroupLookup,
    /// How long the ring buffer is left alone.
    period: Duration,
    /// The loss counters as they were last read.
    counted: Tick,
    liveness: Liveness,
    each: Each,
}

impl<Each: FnMut(Input<'_>) -> ControlFlow<()>> Source<Each> {
    /// Everything that waits, then a tick whose clocks were read before: what it vouches for has been
    /// handed over.
    fn drain(&mut self) -> Result<ControlFlow<()>> {
        let now = clock::read();
        let (names, each) = (&mut self.names, &mut self.each);
        let mut found = 0;
        self.probe.drain(|record| {
            found += 1;
            if let Some(name) = names.of_record(record) {
                let _ = each(name);
            }
            let _ = each(Input::Kernel(record.into()));
        });
        self.period = poll_interval::after(self.period, found);
        if found > 0 {
            // Nothing is lost where nothing is sent, or next to nothing: that is counted at the end.
            self.count()?;
        }
        Ok((self.each)(Input::Tick(Tick {
            mono_ns: now.mono_ns,
            realtime_ns: now.realtime_ns,
            suspended_ns: now.suspended_ns,
            ..self.counted
        })))
    }

    /// A tick with everything counted anew.
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

    /// Sockets that are open already. What the kernel has said of them since comes after.
    fn begin_with(&mut self, sockets: Vec<OpenSocket>) -> Result<ControlFlow<()>> {
        let cookies: Vec<u64> = sockets.iter().map(|socket| socket.cookie).collect();
        let taken = self.probe.remember(&cookies)?;
        if taken < cookies.len() {
            message(&format!(
                "{} of {} sockets that were open already are not followed: there is no room for more",
                cookies.len() - taken,
                cookies.len()
            ));
        }
        for socket in sockets {
            if let Some(name) = socket.cgroup_id.and_then(|id| self.names.of(id)) {
                let _ = (self.each)(name);
            }
            let _ = (self.each)(Input::Socket(Box::new(socket)));
        }
        self.drain()
    }
}
