//! The kernel's own printed trace of changes of state: an ftrace instance of its own, removed at the
//! end, in a tracefs mount that no path leads to.

use std::{
    fs, io,
    os::fd::{AsRawFd as _, OwnedFd},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};

const EVENT: &str = "events/sock/inet_sock_set_state";

pub(super) struct Printed {
    instance: PathBuf,
    _tracefs: OwnedFd,
}

/// A change of state as the kernel prints it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Change {
    /// Ends and states, in the kernel's words: `sport=… dport=… … newstate=…`.
    pub(super) words: String,
    /// CLOCK_MONOTONIC, in microseconds.
    pub(super) at_us: u64,
}

impl Printed {
    /// Starts to print the changes of sockets with this port.
    pub(super) fn begin(port: u16) -> Result<Self> {
        let tracefs = mount().context("mounting tracefs")?;
        let root = PathBuf::from(format!("/proc/self/fd/{}", tracefs.as_raw_fd()));
        let name = format!("tracer-doctor-{}", std::process::id());
        let instance = root.join("instances").join(name);
        fs::create_dir(&instance).context("making an ftrace instance")?;
        let printed = Self {
            instance,
            _tracefs: tracefs,
        };
        printed.write("trace_clock", "mono")?;
        let filter = format!("sport == {port} || dport == {port}");
        printed.write(&format!("{EVENT}/filter"), &filter)?;
        printed.write(&format!("{EVENT}/enable"), "1")?;
        Ok(printed)
    }

    /// Everything printed until now.
    pub(super) fn read(&self) -> Result<Vec<Change>> {
        let text = fs::read_to_string(self.instance.join("trace"));
        let text = text.context("reading the kernel's printed trace")?;
        text.lines()
            .filter(|line| !line.starts_with('#'))
            .map(|line| parse(line).with_context(|| format!("parsing `{line}`")))
            .collect()
    }

    fn write(&self, file: &str, text: &str) -> Result<()> {
        let path: &Path = Path::new(file);
        fs::write(self.instance.join(path), text)
            .with_context(|| format!("setting ftrace's {file} to {text}"))
    }
}

impl Drop for Printed {
    fn drop(&mut self) {
        let _ = self.write(&format!("{EVENT}/enable"), "0");
        let _ = fs::remove_dir(&self.instance);
    }
}

/// The mount has no path, and ends with the descriptor.
fn mount() -> io::Result<OwnedFd> {
    let context = fsopen("tracefs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_create(&context)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NOEXEC
        | MountAttrFlags::MOUNT_ATTR_NODEV;
    Ok(fsmount(
        &context,
        FsMountFlags::FSMOUNT_CLOEXEC,
        attributes,
    )?)
}

/// `curl-15400 [000] ..... 28911.571302: inet_sock_set_state: family=AF_INET … sport=… newstate=…`
fn parse(line: &str) -> Option<Change> {
    let (before, fields) = line.split_once(": inet_sock_set_state: ")?;
    let (seconds, micros) = before.rsplit(' ').next()?.split_once('.')?;
    let seconds: u64 = seconds.parse().ok()?;
    let micros: u64 = micros.parse().ok()?;
    let wanted = ["sport", "dport", "saddr", "daddr", "oldstate", "newstate"];
    let words = fields
        .split(' ')
        .filter(|field| {
            field
                .split_once('=')
                .is_some_and(|(name, _)| wanted.contains(&name))
        })
        .collect::<Vec<_>>();
    (words.len() == wanted.len()).then(|| Change {
        words: words.join(" "),
        at_us: seconds * 1_000_000 + micros,
    })
}

#[cfg(test)]
mod tests {
    use super::{Change, parse};

    #[test]
    fn a_printed_change() {
        let line = "            curl-15400   [000] ..... 28911.571302: inet_sock_set_state: family=AF_INET protocol=IPPROTO_TCP sport=0 dport=1 saddr=127.0.0.1 daddr=127.0.0.1 saddrv6=::ffff:127.0.0.1 daddrv6=::ffff:127.0.0.1 oldstate=TCP_CLOSE newstate=TCP_SYN_SENT";
        let change = Change {
            words: "sport=0 dport=1 saddr=127.0.0.1 daddr=127.0.0.1 oldstate=TCP_CLOSE newstate=TCP_SYN_SENT".to_owned(),
            at_us: 28_911_571_302,
        };
        assert_eq!(parse(line), Some(change));
        assert_eq!(parse("CPU:1 [LOST 12 EVENTS]"), None);
    }
}
