//! The live kernel and the live feed as one sequence of inputs.

use std::{ops::ControlFlow, time::Duration};

use anyhow::{Context as _, Result};
use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval, timeout},
};

use crate::{
    input::{Feed, Input, Tick},
    kernel::{Probe, clock},
};

/// The ring buffer is looked at this often, and when it is half full.
const PERIOD: Duration = Duration::from_millis(20);

/// At the end, the feed's news of what was just drained may still be under way.
const LAST_WORDS: Duration = Duration::from_millis(50);

/// Hands every input to `each`, until that breaks or `stop` is done; then what still waits, and
/// [`Input::Shutdown`]. The first input is a tick.
///
/// # Errors
/// When the kernel's counters cannot be read.
pub async fn run(
    mut probe: Probe,
    mut feed: mpsc::Receiver<Feed>,
    stop: impl Future<Output = ()>,
    mut each: impl FnMut(Input<'_>) -> ControlFlow<()>,
) -> Result<()> {
    let ring = probe.half_full()?;
    let mut period = interval(PERIOD);
    period.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut stop = std::pin::pin!(stop);
    let mut feed_open = true;
    let mut flow = each(Input::Tick(tick(&probe)?));
    while flow.is_continue() {
        tokio::select! {
            () = &mut stop => break,
            _ = period.tick() => flow = drain(&mut probe, &mut each)?,
            ready = ring.readable() => {
                let mut ready = ready.context("waiting for the ring buffer")?;
                flow = drain(&mut probe, &mut each)?;
                ready.clear_ready();
            }
            news = feed.recv(), if feed_open => match news {
                Some(news) => flow = each(Input::Feed(news)),
                None => feed_open = false,
            },
        }
    }
    let _ = drain(&mut probe, &mut each)?;
    while let Ok(Some(news)) = timeout(LAST_WORDS, feed.recv()).await {
        let _ = each(Input::Feed(news));
    }
    let _ = each(Input::Tick(tick(&probe)?));
    let _ = each(Input::Shutdown);
    probe.detach();
    Ok(())
}

/// Everything that waits, then a tick that was read before: what it vouches for has been handed
/// over.
fn drain(
    probe: &mut Probe,
    each: &mut impl FnMut(Input<'_>) -> ControlFlow<()>,
) -> Result<ControlFlow<()>> {
    let tick = tick(probe)?;
    probe.drain(|record| {
        let _ = each(Input::Kernel(record));
    });
    Ok(each(Input::Tick(tick)))
}

fn tick(probe: &Probe) -> Result<Tick> {
    let lost = probe.lost()?;
    Ok(Tick {
        mono_ns: clock::monotonic_ns(),
        realtime_ns: clock::realtime_ns(),
        lost_ring: lost.ring,
        lost_sockets: lost.sockets,
        lost_recursion: lost.recursion,
    })
}
