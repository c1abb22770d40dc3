//! `--metrics`: what [`Measures`] has, for Prometheus. The core's thread measures, and gives a copy to those who ask at
//! the end of its turn, without a lock. A thread of its own listens, writes the text and waits for the scraper: one
//! that is slow costs the core nothing.

mod exposition;
mod http;
mod process;

use std::{
    net::{SocketAddr, TcpListener},
    sync::{
        Arc,
        mpsc::{self, Receiver},
    },
    thread,
};

use anyhow::{Context as _, Result};
use tokio::{runtime, sync::oneshot};
use tracing::error;

use crate::{
    caller::Caller,
    core::{input::ProgramCost, measures::Measures, output::Output, pipeline::Counts},
    message, privileges,
};

/// A request for a copy.
type Ask = oneshot::Sender<Arc<Measures>>;

/// A socket that listens for scrapers; none is answered yet.
pub struct MetricsListener {
    listener: TcpListener,
    address: SocketAddr,
}

impl MetricsListener {
    /// Listens at `HOST:PORT`, with the caller's rights.
    ///
    /// # Errors
    /// When the address is none, or another program has it, or the caller may not have it.
    pub fn bind(address: &str, caller: &Caller) -> Result<Self> {
        let wanted = address.to_owned();
        let listen = move || {
            let listener = TcpListener::bind(wanted)?;
            listener.set_nonblocking(true)?;
            let address = listener.local_addr()?;
            Ok(Self { listener, address })
        };
        caller
            .act(listen)
            .with_context(|| format!("cannot listen for --metrics at {address}"))
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Measures, and answers scrapers. Dropping it ends both.
pub struct Metrics {
    measures: Measures,
    asks: Receiver<Ask>,
    stop: oneshot::Sender<()>,
    thread: thread::JoinHandle<()>,
}

impl Metrics {
    /// Starts the thread that answers, which drops all capabilities.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(listener: MetricsListener) -> Result<Self> {
        // Each scraper asks once at most.
        let (ask, asks) = mpsc::sync_channel(http::MOST_SCRAPERS);
        let (stop, stopped) = oneshot::channel();
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("starting the output of metrics")?;
        let MetricsListener { listener, address } = listener;
        let thread = thread::Builder::new()
            .name("metrics".to_owned())
            .spawn(move || {
                privileges::drop_all();
                runtime.block_on(async {
                    tokio::select! {
                        _ = stopped => {}
                        failed = http::serve(listener, ask) => if let Err(error) = failed {
                            message(&format!("no metrics at {address}: {error}"));
                        }
                    }
                });
            })
            .context("starting the output of metrics")?;
        message(&format!("metrics at http://{address}/metrics"));
        Ok(Self {
            measures: Measures::default(),
            asks,
            stop,
            thread,
        })
    }

    /// Takes a turn's outputs, and gives a copy to those who asked meanwhile. `sink_lost`: how many outputs the other
    /// sinks have lost so far.
    pub fn take(&mut self, outputs: &[Output], counts: Counts, sink_lost: u64) {
        self.measures.take(outputs);
        let mut asks = self.asks.try_iter().peekable();
        if asks.peek().is_none() {
            return;
        }
        self.measures.set_counts(counts);
        self.measures.set_sink_lost(sink_lost);
        let copy = Arc::new(self.measures.clone());
        for ask in asks {
            // A scraper that has gone needs none.
            let _ = ask.send(Arc::clone(&copy));
        }
    }

    /// Takes what the programs have cost so far.
    pub fn take_cost(&mut self, cost: &[ProgramCost]) {
        self.measures.set_cost(cost);
    }

    /// Ends the thread, whatever scrapers it has.
    pub fn finish(self) {
        drop(self.stop);
        drop(self.asks);
        if self.thread.join().is_err() {
            error!("the thread of the output of metrics ended abnormally");
        }
    }
}
