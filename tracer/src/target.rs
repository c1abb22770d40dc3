//! What to trace: found out before anything is attached, then attached and followed to its end.

use std::{net::SocketAddr, ops::ControlFlow, path::PathBuf, time::Instant};

use anyhow::{Context as _, Result};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
    time::sleep,
};
use tracing::debug;
use upload_server::control_path::default_control_path;

use crate::{
    cli::TraceArgs,
    input::Input,
    kernel::{Filter, Probe},
    process, say,
    source::{feed::UploadFeed, live, recording::Scope},
};

/// See the module.
pub struct Target {
    filter: Filter,
    feed: Option<(PathBuf, UploadFeed)>,
    /// What is asked for.
    pub scope: Scope,
    what: String,
}

impl Target {
    /// Finds the upload server, if there is one, and the filter.
    ///
    /// # Errors
    /// When a server or a process that was named is not there.
    pub async fn choose(arguments: &TraceArgs) -> Result<Self> {
        let filtered =
            !(arguments.pid.is_empty() && arguments.port.is_empty() && arguments.cookie.is_empty());
        let path = arguments
            .server
            .clone()
            .unwrap_or_else(default_control_path);
        let feed = match UploadFeed::connect(&path).await {
            Ok(feed) => Some(feed),
            Err(error) if arguments.server.is_some() => {
                return Err(error)
                    .context("start one with `upload-server`, or leave --server away");
            }
            Err(error) => {
                debug!(%error, "no upload server");
                None
            }
        };
        let mut filter = Filter {
            ports: arguments.port.clone(),
            pids: arguments.pid.clone(),
            cookies: arguments.cookie.clone(),
            ..Filter::default()
        };
        for pid in &arguments.pid {
            filter.listeners.extend(process::listeners(*pid)?);
        }
        let of_server = feed.as_ref().filter(|_| !filtered && !arguments.all);
        let what = if let Some(feed) = of_server {
            let listen = &feed.server.listen;
            filter.ports = listen.iter().map(SocketAddr::port).collect();
            let names: Vec<String> = listen.iter().map(ToString::to_string).collect();
            format!("uploads to {}", names.join(" and "))
        } else if filtered {
            "the chosen connections".to_owned()
        } else {
            "every TCP connection".to_owned()
        };
        let scope = Scope {
            uploads_only: of_server.is_some(),
            segments: arguments.segments,
            every_segment: arguments.segments || arguments.pcapng.is_some(),
        };
        Ok(Self {
            filter,
            feed: feed.map(|feed| (path, feed)),
            scope,
            what,
        })
    }

    /// Attaches, says so, and hands every input to `each` until it is time to stop.
    ///
    /// # Errors
    /// When the programs cannot be attached, or the kernel stops answering.
    pub async fn run(
        self,
        arguments: &TraceArgs,
        each: impl FnMut(Input<'_>) -> ControlFlow<()>,
    ) -> Result<()> {
        let stop = stop_signal(arguments)?;
        let started = Instant::now();
        let probe = Probe::attach(&self.filter, arguments.ring_size, self.scope.every_segment)?;
        let took = started.elapsed().as_millis();
        say(&format!("tracing {} (attached in {took} ms)", self.what));
        let (to, news) = mpsc::channel(1024);
        if let Some((path, feed)) = self.feed {
            tokio::spawn(async move { feed.follow(&path, to).await });
        }
        if let Err(error) = sd_notify::notify(&[sd_notify::NotifyState::Ready]) {
            debug!(%error, "nobody to tell that the tracer is ready");
        }
        live::run(probe, news, stop, each).await
    }
}

/// Done on SIGINT, SIGTERM or SIGHUP, or when the time is up.
fn stop_signal(arguments: &TraceArgs) -> Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let duration = arguments.duration;
    Ok(async move {
        let time_is_up = async {
            match duration {
                Some(duration) => sleep(duration).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
            () = time_is_up => {}
        }
    })
}
