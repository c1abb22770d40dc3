//! Makes a capture of many short uploads: the load of churn, with a body in each request, over a loopback
//! device with frames of 1500 bytes, in a network namespace of its own.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use rustix::fs::statvfs;

use crate::bench::{
    Bench,
    captured_output::CapturedOutput,
    load::Load,
    namespace::{Namespace, configure, without_offloads},
    process::Process,
};
use xtask::command::log;

const PATIENCE: Duration = Duration::from_secs(20);
/// wrk runs for so long at a time.
const SECONDS: u32 = 1;
/// Of each connection, what is no body: handshake, heads, end.
const HEADS: u64 = 800;
/// Frames and acknowledgments for 100 bytes of a body.
const HUNDRED: u64 = 106;
/// A capture without a packet.
const HEADER: u64 = 24;

/// A capture that was made, or that the user named.
pub(super) struct Capture {
    pub(super) file: PathBuf,
    pub(super) bytes: u64,
}

/// What to make.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub(super) megabytes: u64,
    pub(super) connections: u64,
}

impl Capture {
    /// A capture that is there.
    pub(super) fn existing(file: &Path) -> Result<Self> {
        let about = fs::metadata(file).with_context(|| file.display().to_string())?;
        Ok(Self {
            file: file.to_owned(),
            bytes: about.len(),
        })
    }

    /// Makes one, smaller where there is no room for it twice.
    pub(super) fn make(bench: &Bench, wanted: Wanted) -> Result<Self> {
        let folder = bench.scratch.path();
        let room = statvfs(folder)?;
        let wanted = wanted.within(room.f_bavail * room.f_frsize / 2_000_000);
        let script = folder.join("upload.lua");
        let body = wanted.body();
        let text = format!("wrk.method = \"PUT\"\nwrk.body = string.rep(\"x\", {body})\n");
        fs::write(&script, text)?;
        let file = folder.join("uploads.pcap");
        let namespace = Namespace::new()?;
        namespace.within(|| {
            configure(Command::new("ip").args(["link", "set", "lo", "up", "mtu", "1500"]))?;
            without_offloads("lo")?;
            let load = Load::start(bench)?;
            let stderr = CapturedOutput::new(folder)?;
            let tcpdump = start(&file, &load, &stderr, bench)?;
            let mut connections = 0.0;
            while connections < wanted.connections as f64 {
                let churned = load.run_script(SECONDS, Some(&script), &bench.stop)?;
                connections += churned.connections;
            }
            tcpdump.interrupt()?;
            tcpdump.finish(PATIENCE, &bench.stop)?;
            log(&format!("read: {connections} uploads of {body} bytes"));
            for line in stderr.text()?.lines() {
                log(&format!("read: {line}"));
            }
            Ok(())
        })?;
        Self::existing(&file)
    }
}

impl Wanted {
    /// As large as there is room for, with fewer connections accordingly.
    fn within(self, megabytes: u64) -> Self {
        if self.megabytes <= megabytes {
            return self;
        }
        log(&format!(
            "read: there is room for {megabytes} MB: the capture is made smaller"
        ));
        Self {
            megabytes,
            connections: self.connections * megabytes / self.megabytes,
        }
    }

    /// The body of each upload, in bytes.
    fn body(self) -> u64 {
        let each = self.megabytes * 1_000_000 / self.connections.max(1);
        each.saturating_sub(HEADS) * 100 / HUNDRED
    }
}

/// Starts tcpdump, and waits until it has written a packet.
fn start(file: &Path, load: &Load, stderr: &CapturedOutput, bench: &Bench) -> Result<Process> {
    let mut command = Command::new("tcpdump");
    // Only root may write where the file is.
    command
        .args(["-i", "lo", "-s", "0", "-B", "262144", "-Z", "root", "-w"])
        .arg(file)
        .arg("tcp")
        .stdout(Stdio::null())
        .stderr(stderr.stdio()?);
    let tcpdump = Process::start("tcpdump", &mut command)?;
    let begun = Instant::now();
    while !fs::metadata(file).is_ok_and(|file| file.len() > HEADER) {
        if tcpdump.check().is_err() {
            bail!("tcpdump: {}", stderr.reason()?);
        }
        if begun.elapsed() > PATIENCE {
            bail!("tcpdump captured nothing in {PATIENCE:?}");
        }
        bench.stop.check()?;
        load.connect(8)?;
    }
    Ok(tcpdump)
}

#[cfg(test)]
mod tests {
    use super::Wanted;

    #[test]
    fn a_capture_fits() {
        let wanted = Wanted {
            megabytes: 1000,
            connections: 100_000,
        };
        let check = |room, (megabytes, connections, body)| {
            let fits = wanted.within(room);
            let found = (fits.megabytes, fits.connections, fits.body());
            assert_eq!(found, (megabytes, connections, body));
        };
        check(5000, (1000, 100_000, 8679));
        check(100, (100, 10_000, 8679));
        check(0, (0, 0, 0));
    }
}
