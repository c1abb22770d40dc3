//! Where the uploads happen: a network namespace for the clients and one for the servers, and a cgroup for
//! each, so that a tracer can watch both ends or one.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use xtask::command::output;

use crate::bench::stop::Stop;

/// How long the last connections may take to end.
const SETTLES: Duration = Duration::from_secs(10);
const EVERY: Duration = Duration::from_millis(20);
/// How long the end of one connection may take, over a slow wire.
const FLIGHT: Duration = Duration::from_secs(2);

/// Dropped, it is taken down, with everything that still runs there.
#[derive(Debug)]
pub(crate) struct Stage {
    clients: Place,
    servers: Place,
    /// The cgroup above those of both.
    cgroup: PathBuf,
}

/// A network namespace and a cgroup.
#[derive(Debug)]
pub(crate) struct Place {
    namespace: String,
    cgroup: PathBuf,
}

impl Stage {
    pub(crate) fn new() -> Result<Self> {
        let name = format!("held-back-{}", std::process::id());
        let cgroup = cgroup2()?.join(&name);
        let place = |which: &str| Place {
            namespace: format!("{name}-{which}"),
            cgroup: cgroup.join(which),
        };
        let stage = Self {
            clients: place("clients"),
            servers: place("servers"),
            cgroup,
        };
        for place in [&stage.clients, &stage.servers] {
            fs::create_dir_all(&place.cgroup).context("no cgroup can be made")?;
            succeed(Command::new("ip").args(["netns", "add", &place.namespace]))?;
            succeed(place.command("ip").args(["link", "set", "lo", "up"]))?;
        }
        Ok(stage)
    }

    pub(crate) const fn clients(&self) -> &Place {
        &self.clients
    }

    pub(crate) const fn servers(&self) -> &Place {
        &self.servers
    }

    /// The cgroup of both.
    pub(crate) fn cgroup(&self) -> &Path {
        &self.cgroup
    }

    /// Waits until no connection is open, or for some time: one that an end has forgotten stays open.
    pub(crate) fn settle(&self, stop: &Stop) -> Result<()> {
        let begun = Instant::now();
        while begun.elapsed() < SETTLES {
            stop.check()?;
            if self.clients.has_no_connection() && self.servers.has_no_connection() {
                break;
            }
            thread::sleep(EVERY);
        }
        Ok(())
    }
}

impl Place {
    /// A program here.
    pub(crate) fn command(&self, program: &str) -> Command {
        let enter = format!(
            r#"echo $$ >{}/cgroup.procs; exec "$@""#,
            self.cgroup.display()
        );
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--net={}", self.namespace().display()))
            .args(["sh", "-c", &enter, "sh", program]);
        for variable in ["http_proxy", "https_proxy", "all_proxy", "no_proxy"] {
            command.env_remove(variable);
            command.env_remove(variable.to_uppercase());
        }
        command
    }

    /// A program that watches what passes here, and belongs to no end.
    pub(crate) fn watcher(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--net={}", self.namespace().display()))
            .arg(program);
        command
    }

    pub(crate) fn cgroup(&self) -> &Path {
        &self.cgroup
    }

    /// The file of the namespace.
    pub(crate) fn namespace(&self) -> PathBuf {
        Path::new("/run/netns").join(&self.namespace)
    }

    /// Whether somebody listens on the port. Connecting would be traced.
    pub(crate) fn listens(&self, port: u16) -> bool {
        let filter = format!("sport = :{port}");
        self.sockets(&["-ltnH", &filter])
    }

    /// Waits until no connection to the port goes on, or for some time.
    pub(crate) fn settle(&self, port: u16, stop: &Stop) -> Result<()> {
        let begun = Instant::now();
        let filter = format!("sport = :{port}");
        let arguments = [
            "-tnH",
            "state",
            "connected",
            "exclude",
            "time-wait",
            &filter,
        ];
        while begun.elapsed() < FLIGHT && self.sockets(&arguments) {
            stop.check()?;
            thread::sleep(EVERY);
        }
        Ok(())
    }

    fn has_no_connection(&self) -> bool {
        !self.sockets(&["-tnH", "state", "connected", "exclude", "time-wait"])
    }

    fn sockets(&self, arguments: &[&str]) -> bool {
        let listed = output(self.watcher("ss").args(arguments));
        listed.is_some_and(|listed| !listed.is_empty())
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = fs::write(self.cgroup.join("cgroup.kill"), "1");
        for place in [&self.clients, &self.servers] {
            let _ = output(Command::new("ip").args(["netns", "delete", &place.namespace]));
        }
        let begun = Instant::now();
        for cgroup in [&self.clients.cgroup, &self.servers.cgroup, &self.cgroup] {
            // Processes that were killed leave it a little later.
            while fs::remove_dir(cgroup).is_err() && begun.elapsed() < SETTLES {
                thread::sleep(EVERY);
            }
        }
    }
}

fn succeed(command: &mut Command) -> Result<()> {
    let output = command.output()?;
    if !output.status.success() {
        let reason = String::from_utf8_lossy(&output.stderr);
        bail!("{:?}: {}", command.get_program(), reason.trim());
    }
    Ok(())
}

fn cgroup2() -> Result<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    let mut mounts = mounts.lines().map(|line| line.split(' '));
    let at = mounts.find_map(|mut words| {
        let (at, kind) = (words.nth(1)?, words.next()?);
        (kind == "cgroup2").then(|| PathBuf::from(at))
    });
    at.context("no cgroup2 is mounted")
}
