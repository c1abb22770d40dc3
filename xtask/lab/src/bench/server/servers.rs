//! The servers: how to start each, which requests it accepts, and where it stores uploads.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Result, bail};
use xtask::command::is_installed;

use super::raw::RawLoop;
use crate::bench::{
    Bench,
    listening::{free_address, wait_until_listening},
    nginx,
    process::Process,
};

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The project's own.
    Ours,
    /// The same, which also speaks HTTP/2.
    OursWithHttp2,
    /// nginx with its WebDAV module: one process.
    Nginx,
    /// A loop over recv and write in this process: as little as can be done.
    Raw,
    /// <https://github.com/sigoden/dufs>
    Dufs,
    /// <https://github.com/svenstaro/miniserve>
    Miniserve,
}

/// A running server. Dropped, it is ended; its files are removed with the scratch directory.
pub(super) struct Server {
    kind: Kind,
    address: SocketAddr,
    directory: PathBuf,
    running: Running,
}

enum Running {
    Process(Process),
    Loop(RawLoop),
}

impl Kind {
    /// All but ours.
    pub(super) const PEERS: [Self; 4] = [Self::Nginx, Self::Raw, Self::Dufs, Self::Miniserve];

    /// As in the table.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ours | Self::OursWithHttp2 => "upload-server",
            Self::Nginx => "nginx WebDAV",
            Self::Raw => "recv+write loop",
            Self::Dufs => "dufs",
            Self::Miniserve => "miniserve",
        }
    }

    /// Whether it can be started.
    pub(super) fn is_installed(self) -> bool {
        match self {
            Self::Ours | Self::OursWithHttp2 | Self::Raw => true,
            Self::Nginx => is_installed("nginx"),
            Self::Dufs => is_installed("dufs"),
            Self::Miniserve => is_installed("miniserve"),
        }
    }

    /// How many times its speed ours is to be, for one large file.
    pub(super) fn asked_of_large(self) -> Option<f64> {
        match self {
            Self::Nginx => Some(1.0),
            Self::Raw => Some(0.8),
            Self::Dufs => Some(3.0),
            Self::Ours | Self::OursWithHttp2 | Self::Miniserve => None,
        }
    }

    /// The same for small files. nginx does without a record of each.
    pub(super) fn asked_of_small(self) -> Option<f64> {
        match self {
            Self::Nginx => Some(0.6),
            Self::Dufs => Some(1.0),
            Self::Ours | Self::OursWithHttp2 | Self::Raw | Self::Miniserve => None,
        }
    }
}

impl Server {
    /// Starts one with a directory of its own, and waits until it takes connections.
    pub(super) fn start(kind: Kind, bench: &Bench) -> Result<Self> {
        let home = tempfile::tempdir_in(bench.scratch.path())?.keep();
        let directory = home.join("files");
        fs::create_dir(&directory)?;
        let address = free_address()?;
        let running = match kind {
            Kind::Ours => Running::Process(ours(bench, &home, address, &[])?),
            Kind::OursWithHttp2 => Running::Process(ours(bench, &home, address, &["--http2"])?),
            Kind::Raw => Running::Loop(RawLoop::start(address, directory.clone())?),
            Kind::Nginx | Kind::Dufs | Kind::Miniserve => {
                let mut command = match kind {
                    Kind::Nginx => nginx(&home, address)?,
                    Kind::Dufs => dufs(address),
                    _ => miniserve(address),
                };
                if kind != Kind::Nginx {
                    command.arg(&directory);
                }
                let process = Process::start(
                    kind.name(),
                    command.stdout(Stdio::null()).stderr(Stdio::null()),
                )?;
                wait_until_listening(&process, address)?;
                Running::Process(process)
            }
        };
        Ok(Self {
            kind,
            address,
            directory,
            running,
        })
    }

    /// Which one it is.
    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    /// Where it listens.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether it takes `PUT /name`.
    pub(super) fn takes_put(&self) -> bool {
        self.kind != Kind::Miniserve
    }

    /// Where it takes forms, and in which field the file.
    pub(super) fn form(&self) -> Option<(&'static str, &'static str)> {
        match self.kind {
            Kind::Ours | Kind::OursWithHttp2 => Some(("/", "file")),
            // It stores the form with all around the file.
            Kind::Raw => Some(("/large", "file")),
            Kind::Miniserve => Some(("/upload?path=/", "path")),
            Kind::Nginx | Kind::Dufs => None,
        }
    }

    /// Whether it takes several requests on a connection, and several connections at a time.
    pub(super) fn keeps_alive(&self) -> bool {
        self.takes_put() && self.kind != Kind::Raw
    }

    /// The CPU time that it has taken so far.
    pub(super) fn cpu(&self) -> Result<Duration> {
        match &self.running {
            Running::Process(process) => process.cpu(),
            Running::Loop(raw) => Ok(raw.cpu()),
        }
    }

    /// The most memory that it ever held, in bytes.
    pub(super) fn most_memory(&self) -> Result<u64> {
        match &self.running {
            Running::Process(process) => process.memory("VmHWM"),
            Running::Loop(_) => bail!("the loop has no memory of its own"),
        }
    }

    /// Removes the stored files. An error if they have fewer than `bytes`: a server that stores
    /// less is not faster.
    pub(super) fn forget(&self, bytes: u64) -> Result<()> {
        let mut stored = 0;
        for file in fs::read_dir(&self.directory)? {
            let file = file?;
            if file.file_type()?.is_file() {
                stored += file.metadata()?.len();
                fs::remove_file(file.path())?;
            }
        }
        if stored < bytes {
            bail!(
                "{} stored {stored} bytes of {bytes}: what it did in that time is not comparable",
                self.kind.name()
            );
        }
        Ok(())
    }
}

fn ours(bench: &Bench, home: &Path, address: SocketAddr, options: &[&str]) -> Result<Process> {
    let mut command = Command::new(bench.binaries.join("upload-server"));
    command
        .arg("--listen")
        .arg(address.to_string())
        .arg("--dir")
        .arg(home.join("files"))
        .arg("--control")
        .arg(home.join("control"))
        .arg("--state")
        .arg(home.join("state"))
        .args(options)
        .stdout(Stdio::null());
    if std::env::var_os("RUST_LOG").is_none() {
        command.env("RUST_LOG", "warn");
    }
    Process::start_notifying(
        Kind::Ours.name(),
        &mut command,
        &home.join("notify"),
        &bench.stop,
    )
}

/// The bodies are gathered in the directory's own file system, so that they are renamed and not
/// copied.
fn nginx(home: &Path, address: SocketAddr) -> Result<Command> {
    let files = home.join("files");
    let http = format!(
        "keepalive_requests 1000000;
         client_max_body_size 0;
         client_body_buffer_size 256k;
         server {{
           listen {address} backlog=4096;
           root {};
           location / {{ dav_methods PUT; }}
         }}",
        files.display()
    );
    nginx::nginx(home, &http)
}

fn dufs(address: SocketAddr) -> Command {
    let mut command = Command::new("dufs");
    command.args(["--allow-all", "--bind"]);
    command.arg(address.ip().to_string());
    command.arg("--port").arg(address.port().to_string());
    command
}

fn miniserve(address: SocketAddr) -> Command {
    let mut command = Command::new("miniserve");
    command.args(["--upload-files", "--interfaces"]);
    command.arg(address.ip().to_string());
    command.arg("--port").arg(address.port().to_string());
    command
}
