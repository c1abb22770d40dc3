//! The tracer's peers: how each is started, how it is known to trace, and how many events it
//! reports as lost.

use std::{
    fs,
    io::Read as _,
    path::{Path, PathBuf},
    process::{ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

use super::{
    Bench,
    captured_output::CapturedOutput,
    load::Load,
    pipe_drain::{PipeDrain, read_tail},
    process::Process,
    stop::{Stop, readable},
};
use xtask::command::is_installed;

/// How long one may take to show the first connection, and to end.
const PATIENCE: Duration = Duration::from_secs(20);
/// A capture file without a packet.
const PCAP_HEADER: u64 = 24;
/// Where the kernel describes its tracepoints, once somebody has mounted it.
const TRACEFS: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];

/// Which one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    /// Every change of state, from <https://github.com/iovisor/bcc/tree/master/libbpf-tools>.
    Tcpstates,
    /// A line for each connection, from the same.
    Tcplife,
    /// The same as a script of <https://github.com/bpftrace/bpftrace>.
    TcplifeBt,
    /// Every segment, into a file in memory.
    Tcpdump,
}

/// A running peer. Dropped, it is ended.
pub(crate) struct RunningPeer {
    process: Process,
    drain: PipeDrain,
    stderr: CapturedOutput,
    capture: PathBuf,
}

impl Peer {
    /// All of them.
    pub(crate) const ALL: [Self; 4] = [
        Self::Tcpstates,
        Self::Tcplife,
        Self::TcplifeBt,
        Self::Tcpdump,
    ];

    /// As in the table.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tcpstates => "tcpstates",
            Self::Tcplife => "tcplife",
            Self::TcplifeBt => "tcplife.bt",
            Self::Tcpdump => "tcpdump -w",
        }
    }

    /// Those that are installed and trace on this kernel; the others are named as absent.
    pub(crate) fn able(bench: &mut Bench, load: &Load) -> Result<Vec<Self>> {
        let mut able = Vec::new();
        for peer in Self::ALL {
            if !is_installed(peer.program()) {
                bench.absent(format!("{}, not installed", peer.name()));
                continue;
            }
            match peer
                .start(bench, load)
                .and_then(|running| running.end(&bench.stop))
            {
                Ok(_) => able.push(peer),
                Err(error) => {
                    bench.stop.check()?;
                    bench.absent(format!("{}, for it says: {error:#}", peer.name()));
                }
            }
        }
        Ok(able)
    }

    /// Starts it, and waits until it has shown a connection of `load`.
    pub(crate) fn start(self, bench: &Bench, load: &Load) -> Result<RunningPeer> {
        let stderr = CapturedOutput::new(bench.scratch.path())?;
        let capture = bench.scratch.path().join("capture.pcap");
        let mut command = self.command(&capture);
        command.stdout(Stdio::piped()).stderr(stderr.stdio()?);
        let mut process = Process::start(self.name(), &mut command)?;
        let mut stdout = process.stdout()?;
        let port = format!(" {} ", load.address().port());
        let mut shown = String::new();
        let begun = Instant::now();
        while !shown.contains(&port) && !has_packets(&capture) {
            if process.check().is_err() {
                bail!("{}", stderr.reason()?);
            }
            if begun.elapsed() > PATIENCE {
                bail!("no connection in {PATIENCE:?} ({})", stderr.reason()?);
            }
            bench.stop.check()?;
            // What it prints may wait in a buffer of its own until that is full.
            load.connect(8)?;
            shown.push_str(&read_waiting(&mut stdout)?);
        }
        Ok(RunningPeer {
            process,
            drain: PipeDrain::start(stdout)?,
            stderr,
            capture,
        })
    }

    fn program(self) -> &'static str {
        match self {
            Self::Tcpstates => "tcpstates",
            Self::Tcplife => "tcplife",
            Self::TcplifeBt => "tcplife.bt",
            Self::Tcpdump => "tcpdump",
        }
    }

    fn command(self, capture: &Path) -> Command {
        if self == Self::Tcpdump {
            let mut command = Command::new(self.program());
            // Only root may write where the file is.
            command.args(["-i", "lo", "-Z", "root", "-w"]).arg(capture);
            return command;
        }
        if TRACEFS
            .iter()
            .any(|at| Path::new(at).join("events").exists())
        {
            return Command::new(self.program());
        }
        // In a mount namespace of its own: the machine stays as it was.
        let mut command = Command::new("unshare");
        let mount = format!("mount -t tracefs tracefs {} && exec \"$0\"", TRACEFS[0]);
        command.args(["--mount", "sh", "-c", &mount, self.program()]);
        command
    }
}

impl RunningPeer {
    /// Its process.
    pub(crate) fn process(&self) -> &Process {
        &self.process
    }

    /// Ends it and returns how many events it reports as lost.
    pub(crate) fn end(self, stop: &Stop) -> Result<u64> {
        let stdout = self.drain.stop()?;
        self.process.interrupt()?;
        read_tail(stdout, PATIENCE, stop)?;
        // Some call an end by Ctrl-C a failure.
        self.process.wait(PATIENCE, stop)?;
        let _ = fs::remove_file(&self.capture);
        Ok(lost(&self.stderr.text()?))
    }
}

fn has_packets(capture: &Path) -> bool {
    fs::metadata(capture).is_ok_and(|file| file.len() > PCAP_HEADER)
}

/// What can be read without waiting.
fn read_waiting(pipe: &mut ChildStdout) -> Result<String> {
    let mut text = Vec::new();
    let mut chunk = [0; 4096];
    while readable(&*pipe, Duration::ZERO)? {
        match pipe.read(&mut chunk)? {
            0 => break,
            read => text.extend_from_slice(&chunk[..read]),
        }
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// The number of lost events that libbpf-tools and bpftrace report, or of lost packets that tcpdump
/// reports.
fn lost(stderr: &str) -> u64 {
    stderr
        .lines()
        .filter_map(|line| {
            let line = line.trim();
            let number = match line.strip_suffix(" packets dropped by kernel") {
                Some(number) => number,
                None => {
                    let rest = line
                        .strip_prefix("Lost ")
                        .or_else(|| line.strip_prefix("lost "))?;
                    rest.split_once(" events")?.0
                }
            };
            number.parse::<u64>().ok()
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_that_each_peer_reports() {
        assert_eq!(
            lost("lost 12 events on CPU #1!\nlost 3 events on CPU #0!\n"),
            15
        );
        assert_eq!(lost("Lost 64 events\n"), 64);
        let tcpdump = "tcpdump: listening on lo, link-type EN10MB (Ethernet)\n\
                       90 packets captured\n212 packets received by filter\n\
                       7 packets dropped by kernel\n";
        assert_eq!(lost(tcpdump), 7);
        assert_eq!(lost("nothing\n"), 0);
    }
}
