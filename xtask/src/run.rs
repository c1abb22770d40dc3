//! Starts the upload server and the tracer, and ends both together.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
    sync::mpsc::{self, Receiver, Sender},
    thread,
};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::Signals,
};

use xtask::{
    command::{cargo, is_root, log, run as run_command, target_dir},
    setup,
};

use crate::service::{Event, Service};

const SERVER: &str = "upload-server";
const TRACER: &str = "tracer";

#[derive(Args)]
#[command(after_help = "Examples:
  cargo xtask run                           until Ctrl-C; upload with a browser or curl
  cargo xtask run --upload cat.png          upload one file, print its timeline, exit
  cargo xtask run --tls --upload cat.png    the same over HTTPS
  cargo xtask run -- -o ndjson | jq .       timelines as data")]
pub(crate) struct Arguments {
    /// Upload FILE, print its timeline, and exit
    #[arg(long, value_name = "FILE")]
    upload: Option<PathBuf>,
    /// Address of the upload server
    #[arg(long, default_value = "127.0.0.1:5000")]
    listen: SocketAddr,
    /// Allow --listen addresses beyond this machine without a token
    #[arg(long)]
    public: bool,
    /// Serve HTTPS, with a certificate that the server generates
    #[arg(long)]
    tls: bool,
    /// Store uploads in DIR [default: `uploads` in cargo's target directory]
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Arguments for the tracer
    #[arg(last = true, value_name = "TRACER ARGS")]
    tracer: Vec<String>,
}

impl Arguments {
    /// Where to upload: clients cannot connect to the unspecified address.
    fn url(&self) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        match self.listen.ip().is_unspecified() {
            true => format!("{scheme}://localhost:{}/", self.listen.port()),
            false => format!("{scheme}://{}/", self.listen),
        }
    }
}

/// The server's state directory.
fn state() -> PathBuf {
    target_dir().join("upload-server-state")
}

fn certificate() -> PathBuf {
    state().join("certificate.pem")
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    if let Some(file) = &arguments.upload {
        fs::File::open(file).with_context(|| format!("{} cannot be read", file.display()))?;
        setup::for_upload()?;
    }
    build()?;
    let sockets = tempfile::tempdir().context("no temporary directory")?;
    let (sender, events) = mpsc::channel();
    forward_signals(sender.clone())?;

    let server = start_server(arguments, sockets.path(), &sender)?;
    let outcome = wait_until_ready(SERVER, &events)
        .and_then(|()| with_server(arguments, sockets.path(), &sender, &events));
    let status = server.stop()?;
    outcome?;
    expect_success(SERVER, status)
}

/// Builds both programs. While setup installs what the eBPF programs need, cargo builds everything
/// else; that the tracer cannot be finished yet is no news, so nothing is shown of it.
fn build() -> Result<()> {
    let build = || {
        let mut command = cargo();
        command.args(["build", "--release", "--locked"]);
        command.args(["--package", SERVER, "--package", TRACER]);
        command
    };
    let meanwhile = if setup::is_ready_to_build() {
        None
    } else {
        log("meanwhile cargo builds what does not need it");
        let mut command = build();
        command.args(["--keep-going", "--quiet"]);
        command.stdin(Stdio::null()).stderr(Stdio::null());
        Some(command.spawn().context("cargo cannot be started")?)
    };
    let installed = setup::for_build();
    if let Some(mut meanwhile) = meanwhile {
        if installed.is_err() {
            let _ = meanwhile.kill();
        }
        meanwhile.wait().context("waiting for cargo")?;
    }
    installed?;
    run_command(&mut build())
}

/// Everything between the server's start and its end.
fn with_server(
    arguments: &Arguments,
    sockets: &Path,
    sender: &Sender<Event>,
    events: &Receiver<Event>,
) -> Result<()> {
    let tracer = start_tracer(arguments, sockets, sender)?;
    let outcome = wait_until_ready(TRACER, events).and_then(|()| with_both(arguments, events));
    let status = tracer.stop()?;
    outcome?;
    expect_success(TRACER, status)
}

/// Runs until a signal arrives or one of the two ends.
fn with_both(arguments: &Arguments, events: &Receiver<Event>) -> Result<()> {
    if let Some(file) = &arguments.upload {
        upload(file, arguments)?;
    } else {
        let to = arguments.url();
        let trust = match arguments.tls {
            true => format!("--cacert {} ", certificate().display()),
            false => String::new(),
        };
        log(&format!(
            "upload with a browser at {to} or with: curl {trust}-T FILE {to}"
        ));
        log("Ctrl-C stops both");
    }
    let _ = events
        .iter()
        .find(|event| matches!(event, Event::Stop | Event::Ended(_)));
    Ok(())
}

fn expect_success(name: &str, status: ExitStatus) -> Result<()> {
    if !status.success() {
        bail!("{name} ended with {status}: see its messages above");
    }
    Ok(())
}

fn start_server(arguments: &Arguments, sockets: &Path, events: &Sender<Event>) -> Result<Service> {
    let notify = sockets.join("server.notify");
    let mut command = Command::new(target_dir().join("release").join(SERVER));
    command
        .arg("--listen")
        .arg(arguments.listen.to_string())
        .arg("--dir")
        .arg(
            arguments
                .dir
                .clone()
                .unwrap_or_else(|| target_dir().join("uploads")),
        )
        .arg("--control")
        .arg(sockets.join("control"))
        .arg("--state")
        .arg(state())
        .args(arguments.tls.then_some("--tls"))
        .args(arguments.public.then_some("--public"))
        .env("NOTIFY_SOCKET", &notify)
        .stdin(Stdio::null());
    if arguments.upload.is_some() {
        // Uploading the same file again should not fill the disk.
        command.args(["--on-duplicate", "overwrite"]);
    }
    if std::env::var_os("RUST_LOG").is_none() {
        // The tracer reports each upload.
        command.env("RUST_LOG", "warn");
    }
    Service::start(SERVER, command, &notify, events)
}

/// Only the tracer needs root.
fn start_tracer(arguments: &Arguments, sockets: &Path, events: &Sender<Event>) -> Result<Service> {
    let notify = sockets.join("tracer.notify");
    let binary = target_dir().join("release").join(TRACER);
    let mut command = if is_root() {
        let mut command = Command::new(binary);
        command.env("NOTIFY_SOCKET", &notify);
        command
    } else {
        let mut command = Command::new("sudo");
        let mut setting = std::ffi::OsString::from("NOTIFY_SOCKET=");
        setting.push(&notify);
        command.arg("env").arg(setting).arg(binary);
        command
    };
    command.arg("--server").arg(sockets.join("control"));
    if arguments.upload.is_some() {
        command.args(["--count", "1"]);
    }
    command.args(&arguments.tracer);
    Service::start(TRACER, command, &notify, events)
}

/// Waits until the service is ready. An error if it ends, or if a signal arrives, before that.
fn wait_until_ready(name: &str, events: &Receiver<Event>) -> Result<()> {
    for event in events {
        match event {
            Event::Ready(ready) if ready == name => return Ok(()),
            Event::Ready(_) => {}
            Event::Ended(ended) => bail!("{ended} could not start: see its messages above"),
            Event::Stop => bail!("interrupted"),
        }
    }
    Ok(())
}

fn upload(file: &Path, arguments: &Arguments) -> Result<()> {
    let mut curl = Command::new("curl");
    if arguments.tls {
        curl.arg("--cacert").arg(certificate());
    }
    let status = curl
        .args(["--silent", "--show-error", "--upload-file"])
        .arg(file)
        .arg(arguments.url())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .context("curl cannot be started")?;
    if !status.success() {
        bail!("curl could not upload {}: {status}", file.display());
    }
    Ok(())
}

fn forward_signals(events: Sender<Event>) -> Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).context("signals")?;
    thread::spawn(move || {
        for _ in signals.forever() {
            let _ = events.send(Event::Stop);
        }
    });
    Ok(())
}
