//! Where one scenario happens: a network namespace of its own, with nothing but its loopback.

use std::{
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use xtask::command::output;

use crate::bench::{
    namespace::{Namespace, configure},
    process::Process,
    stop::Stop,
};

/// A server listens within this time.
const READY: Duration = Duration::from_secs(20);
/// The last connections end within this time, or are kept open.
const SETTLES: Duration = Duration::from_secs(1);
const EVERY: Duration = Duration::from_millis(10);

pub(crate) struct Place(Namespace);

impl Place {
    pub(crate) fn new() -> Result<Self> {
        let namespace = Namespace::new()?;
        namespace.within(|| configure(Command::new("ip").args(["link", "set", "lo", "up"])))?;
        Ok(Self(namespace))
    }

    /// Starts a program here.
    pub(crate) fn start(&self, name: &str, command: &mut Command) -> Result<Process> {
        for variable in ["http_proxy", "https_proxy", "all_proxy"] {
            command.env_remove(variable);
            command.env_remove(variable.to_uppercase());
        }
        self.0.within(|| Process::start(name, command))
    }

    /// Connecting would be traced.
    pub(crate) fn wait_until_it_listens(
        &self,
        process: &Process,
        port: u16,
        stop: &Stop,
    ) -> Result<()> {
        self.wait_for_socket(process, &format!("-ltnH sport = :{port}"), stop)
    }

    pub(crate) fn wait_until_somebody_connects(
        &self,
        process: &Process,
        port: u16,
        stop: &Stop,
    ) -> Result<()> {
        let connected = format!("-tnH state established sport = :{port}");
        self.wait_for_socket(process, &connected, stop)
    }

    fn wait_for_socket(&self, process: &Process, filter: &str, stop: &Stop) -> Result<()> {
        let begun = Instant::now();
        while !self.has_sockets(filter)? {
            stop.check()?;
            process.check()?;
            if begun.elapsed() > READY {
                bail!("there is no such socket: {filter}");
            }
            thread::sleep(EVERY);
        }
        Ok(())
    }

    /// Waits until no connection is open, or for some time: a proxy may keep some.
    pub(crate) fn settle(&self, stop: &Stop) -> Result<()> {
        let open = "-tnH state connected exclude time-wait";
        let begun = Instant::now();
        while begun.elapsed() < SETTLES && self.has_sockets(open)? {
            stop.check()?;
            thread::sleep(EVERY);
        }
        Ok(())
    }

    /// Whether `ss` lists a socket.
    fn has_sockets(&self, filter: &str) -> Result<bool> {
        let arguments = filter.split(' ');
        let listed = self
            .0
            .within(|| Ok(output(Command::new("ss").args(arguments))))?;
        Ok(listed.is_some_and(|listed| !listed.is_empty()))
    }
}
