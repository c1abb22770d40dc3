//! A live trace: finds the server, the command and the filter, then attaches and runs to the end.

mod process;
mod selection;
mod socket_scan;

use std::{
    cell::Cell,
    net::SocketAddr,
    ops::ControlFlow,
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::Result;
use rustix::thread::CapabilitySet;
use tokio::{sync::mpsc, time::sleep};
use tracing::warn;

use self::{
    selection::Selection,
    socket_scan::{listening, open_already},
};
use crate::{
    caller::Caller,
    cli::{OutputArgs, TraceArgs},
    control::{self, ControlError, FoundServer},
    core::{
        input::{Flow, Input, Missing},
        scope::Scope,
    },
    ending::Ending,
    kernel::{Filter, Probe, Records, Refused},
    message, privileges,
    session::{
        command::{self, Prepared, Running, Stdout},
        service_manager::{Watchdog, notify_ready},
        signals::Signals,
    },
    sink::WebServer,
    source::{
        feed,
        live::{self, LiveInputs},
        presence,
    },
};

/// How long to wait for connections to close after the traced command has ended.
const GRACE: Duration = Duration::from_secs(1);

/// Lines of the feed that wait; each has up to a MiB.
const MAX_LINES: usize = 64;

/// How a run ended.
pub struct Ended {
    /// The command's exit status if there is a command.
    pub status: ExitCode,
    /// The connections that the filter refused.
    pub refused: Refused,
    /// Until this is dropped, signals limit the time that outputs have.
    _signals: Signals,
}

pub struct Plan {
    selection: Selection,
    server: Option<FoundServer>,
    command: Option<Prepared>,
    /// Capabilities that tracing still needs once attached.
    kept: CapabilitySet,
    pub scope: Scope,
    /// Whether sockets are sampled.
    samples: bool,
    what: String,
}

impl Plan {
    /// Finds the upload server, if there is one, the command, and the filter.
    pub async fn choose(
        arguments: &TraceArgs,
        output: &OutputArgs,
        caller: &Caller,
    ) -> Result<Self> {
        let command = prepare(arguments, output)?;
        let named = arguments.server.as_deref();
        let server = control::find(named, caller)
            .await
            .map_err(|error| match error {
                ControlError::Unreachable { .. } => anyhow::Error::from(error)
                    .context("start one with `upload-server`, or omit --server"),
                error => error.into(),
            })?;
        let of_server = server
            .as_ref()
            .filter(|_| !arguments.filters() && !arguments.all);
        let mut selection = Selection::of(arguments)?;
        let what = if let Some(FoundServer { feed, .. }) = of_server {
            let listen = &feed.server.listen;
            selection.filter.ports = listen.iter().map(SocketAddr::port).collect();
            let names: Vec<String> = listen.iter().map(ToString::to_string).collect();
            format!("uploads to {}", names.join(" and "))
        } else if let Some(command) = &command {
            format!("the connections of {}", command.name())
        } else if arguments.filters() {
            "the chosen connections".to_owned()
        } else {
            "every TCP connection".to_owned()
        };
        let scope = Scope {
            uploads_only: of_server.is_some(),
            segments: arguments.segments,
            every_segment: arguments.segments || arguments.pcapng.is_some(),
        };
        let mut kept = privileges::for_reading();
        // The caller needs none for a command that runs as the caller.
        let is_for_command = command.is_some() && caller.user().is_none();
        kept.set(privileges::FOR_COMMAND, is_for_command);
        Ok(Self {
            selection,
            samples: output.draws_samples() || server.is_some(),
            kept,
            server,
            command,
            scope,
            what,
        })
    }

    /// Leaves the connections of scrapers out where every connection is traced: `own` is where the tracer listens.
    ///
    /// # Errors
    /// When the tracer's network namespace is unknown.
    pub fn leaving_out(mut self, own: Option<SocketAddr>) -> Result<Self> {
        self.selection.filter.own = own.map(|own| Filter::own(own.port())).transpose()?;
        Ok(self)
    }

    /// Samples sockets whatever the outputs: a recording may be replayed to any.
    #[must_use]
    pub const fn with_samples(mut self) -> Self {
        self.samples = true;
        self
    }

    /// The chosen ports, where connections in front of theirs are traced, too.
    #[must_use]
    pub fn chosen_ports(&self) -> Option<Vec<u16>> {
        let filter = &self.selection.filter;
        filter.follows_fronts().then(|| filter.ports.clone())
    }

    /// The upload server that takes timelines, if there is one.
    #[must_use]
    pub fn server(&self) -> Option<WebServer> {
        let FoundServer { socket, feed } = self.server.as_ref()?;
        Some(WebServer {
            control: socket.clone(),
            listen: feed.server.listen.clone(),
            user: feed.user,
        })
    }

    /// Attaches, starts the command, and passes every input to `each`. Stops when `each` has enough,
    /// or when the command has ended and no connection is open.
    pub async fn run(
        self,
        arguments: &TraceArgs,
        ending: Ending,
        mut each: impl FnMut(Input<'_>) -> Flow,
    ) -> Result<Ended> {
        let is_command = self.command.is_some();
        let listening = listening(is_command).await;
        let started = Instant::now();
        let chosen_ports = self.chosen_ports();
        let records = Records {
            every_segment: self.scope.every_segment,
            samples: self.samples,
            audit: arguments.audit,
        };
        let probe = Probe::attach(&self.selection.filter, arguments.ring_size, records)?;
        let took = started.elapsed().as_millis();
        for Missing { what, lost } in probe.missing().iter().map(Missing::from) {
            message(&format!(
                "{what} is unavailable on this kernel, so {lost} will be unknown"
            ));
        }
        message(&format!("tracing {} (attached in {took} ms)", self.what));
        give_memory_back();
        let (to, news) = mpsc::channel(MAX_LINES);
        if let Some(FoundServer { socket, feed }) = self.server {
            // With filters, the tracer may not see the server's uploads: do not announce it.
            if arguments.server.is_some() || !arguments.filters() {
                let socket = socket.clone();
                tokio::spawn(async move { presence::announce(&socket).await });
            }
            tokio::spawn(async move { feed::follow(feed, &socket, to).await });
        }
        for pid in &self.selection.filter.pids {
            tokio::spawn(process::announce_end(*pid));
        }
        let mut run = match self.command {
            Some(command) => Run::Command(Box::new(command.start(ending)?)),
            None => Run::Alone(Signals::listen(ending, false)?),
        };
        let open = open_already(self.selection, is_command);
        let ended = Cell::new(false);
        let ended = &ended;
        let stop = async {
            match &mut run {
                Run::Command(running) => {
                    until_ended(running, arguments.duration).await;
                    ended.set(true);
                    sleep(GRACE).await;
                }
                Run::Alone(signals) => tokio::select! {
                    _ = signals.next() => {}
                    () = time_is_up(arguments.duration) => {}
                },
            }
        };
        let most = usize::try_from(arguments.max_connections).unwrap_or(usize::MAX);
        let _ = each(Input::Room(most));
        if let Some(ports) = chosen_ports {
            let _ = each(Input::ChosenPorts(ports));
        }
        let beside = LiveInputs {
            feed: news,
            listening,
            audit: arguments.audit,
            costs: arguments.metrics.is_some(),
            readings: arguments.top,
            open,
            stop,
        };
        let kept = self.kept;
        let ready = || {
            // The service manager's socket may be root's.
            notify_ready();
            privileges::keep(kept);
        };
        let mut watchdog = Watchdog::of_service_manager();
        let refused = live::run(probe, beside, ready, |input| {
            let is_tick = matches!(input, Input::Tick(_));
            if is_tick {
                watchdog.beat();
            }
            match each(input) {
                Flow::Enough => ControlFlow::Break(()),
                Flow::NothingOpen if is_tick && ended.get() => ControlFlow::Break(()),
                Flow::NothingOpen | Flow::GoOn => ControlFlow::Continue(()),
            }
        })
        .await?;
        let (status, signals) = match run {
            Run::Command(mut running) => {
                let status = running.wait().await?;
                if let Some(pid) = running.pid() {
                    message(&format!(
                        "the command still runs (process {pid}), and is no longer awaited"
                    ));
                }
                (status.into(), running.into_signals())
            }
            Run::Alone(signals) => (ExitCode::SUCCESS, signals),
        };
        Ok(Ended {
            status,
            refused,
            _signals: signals,
        })
    }
}

/// What ends a run.
enum Run {
    /// The command's end; signals are passed on to it.
    Command(Box<Running>),
    /// A signal.
    Alone(Signals),
}

fn prepare(arguments: &TraceArgs, output: &OutputArgs) -> Result<Option<Prepared>> {
    if arguments.run.is_empty() {
        return Ok(None);
    }
    let stdout = if output.format.is_data() {
        Stdout::ToStderr
    } else {
        Stdout::Inherit
    };
    Ok(Some(command::prepare(&arguments.run, stdout)?))
}

/// Waits until the command has ended or the time is up.
async fn until_ended(running: &mut Running, duration: Option<Duration>) {
    tokio::select! {
        ended = running.wait() => {
            if let Err(error) = ended {
                warn!(%error, "cannot wait for the command");
            }
        }
        () = time_is_up(duration) => {}
    }
}

async fn time_is_up(duration: Option<Duration>) {
    match duration {
        Some(duration) => sleep(duration).await,
        None => std::future::pending().await,
    }
}
/// The kernel's type information took some 30 MB, and the allocator would keep them until it is called
/// again: where nothing happens, never.
#[expect(
    unsafe_code,
    reason = "the allocator's own function, without a safe name"
)]
fn give_memory_back() {
    // SAFETY: it may be called at any time, and by any thread.
    unsafe { libmimalloc_sys::mi_collect(true) };
}
