//! The tracer's capabilities(7): those that attaching needs, and the few that tracing keeps.
//!
//! Capabilities and the user belong to a thread, and a new thread inherits them from its creator. So once the
//! tracer is attached, each remaining thread drops its own capabilities, and becomes the caller.

use std::{io, sync::OnceLock};

use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set, set_capabilities,
    set_keep_capabilities, set_no_new_privs,
};
use tracing::warn;

use crate::caller::User;

/// The user that threads become when they drop their capabilities.
static CALLER: OnceLock<User> = OnceLock::new();

/// The capabilities that attaching needs.
const TO_ATTACH: [(CapabilitySet, &str); 3] = [
    (CapabilitySet::BPF, "CAP_BPF"),
    (CapabilitySet::PERFMON, "CAP_PERFMON"),
    (CapabilitySet::NET_ADMIN, "CAP_NET_ADMIN"),
];

/// To inspect other users' processes and other network namespaces.
const FOR_OTHERS: [(CapabilitySet, &str); 3] = [
    (CapabilitySet::SYS_PTRACE, "CAP_SYS_PTRACE"),
    (CapabilitySet::DAC_READ_SEARCH, "CAP_DAC_READ_SEARCH"),
    (CapabilitySet::SYS_ADMIN, "CAP_SYS_ADMIN"),
];

/// To send signals to a command that runs as another user.
pub const FOR_COMMAND: CapabilitySet = CapabilitySet::KILL;

/// Until Linux 5.19, reading an open map needs CAP_BPF if `unprivileged_bpf_disabled` is set (kernel
/// commit c8644cd0efe7).
const TO_READ_MAPS: CapabilitySet = CapabilitySet::BPF;

/// The capabilities that attaching needs and the calling thread lacks, by name.
#[must_use]
pub fn lacking() -> Vec<&'static str> {
    // CAP_SYS_ADMIN implies all three (`bpf_capable`, `perfmon_capable`, `bpf_net_capable`).
    if effective().contains(CapabilitySet::SYS_ADMIN) {
        return Vec::new();
    }
    lacking_of(&TO_ATTACH)
}

/// The capabilities that the calling thread lacks to look into other users' processes and other
/// network namespaces, by name.
#[must_use]
pub fn lacking_for_others() -> Vec<&'static str> {
    lacking_of(&FOR_OTHERS)
}

fn lacking_of(wanted: &[(CapabilitySet, &'static str)]) -> Vec<&'static str> {
    let mine = effective();
    wanted
        .iter()
        .filter(|(capability, _)| !mine.contains(*capability))
        .map(|(_, name)| *name)
        .collect()
}

fn effective() -> CapabilitySet {
    capabilities(None).map_or(CapabilitySet::empty(), |sets| sets.effective)
}

/// Capabilities that the thread which reads the kernel's records keeps, besides those of its outputs.
#[must_use]
pub fn for_reading() -> CapabilitySet {
    match kernel_version() {
        Some(version) if version >= (5, 19) => CapabilitySet::empty(),
        _ => TO_READ_MAPS,
    }
}

/// The running kernel's version, such as (6, 12); `None` if it is not numeric.
#[must_use]
pub fn kernel_version() -> Option<(u32, u32)> {
    version(rustix::system::uname().release().to_str().ok()?)
}

/// From now on, threads that [drop their capabilities](keep) become this user: root without a capability still
/// owns the files of the system, and may send signals to its processes.
pub fn leave_to(caller: User) {
    let _ = CALLER.set(caller);
}

/// Drops all capabilities of the calling thread, as [`keep`] does.
pub fn drop_all() {
    keep(CapabilitySet::empty());
}

/// Drops all other capabilities of the calling thread, for good: a program that it executes does not
/// regain any. The thread becomes the caller.
pub fn keep(kept: CapabilitySet) {
    if let Err(error) = keep_only(kept) {
        warn!(%error, "cannot drop capabilities that are no longer needed");
    }
}

fn keep_only(kept: CapabilitySet) -> io::Result<()> {
    let mine = capabilities(None)?;
    set_no_new_privs(true)?;
    if let Some(caller) = CALLER.get() {
        // Else the kernel would clear those that are kept.
        set_keep_capabilities(true)?;
        caller.take_ids()?;
        set_keep_capabilities(false)?;
    }
    clear_ambient_capability_set()?;
    set_capabilities(
        None,
        CapabilitySets {
            effective: mine.effective & kept,
            permitted: mine.permitted & kept,
            inheritable: CapabilitySet::empty(),
        },
    )?;
    Ok(())
}

/// The first two numbers of `uname -r`.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|byte: char| !byte.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use std::thread;

    use rustix::thread::{CapabilitySet, capabilities, no_new_privs};

    use super::{TO_ATTACH, keep, version};

    #[test]
    fn versions() {
        let check = |release, expected| assert_eq!(version(release), expected, "{release}");
        check("6.18.44-fc-v669", Some((6, 18)));
        check("6.1.0-38-cloud-amd64", Some((6, 1)));
        check("5.15-rc1", Some((5, 15)));
        check("5.4", Some((5, 4)));
        check("unknown", None);
    }

    #[test]
    fn the_service_has_what_attaching_needs() {
        let service = include_str!("../tracer.service");
        let names = TO_ATTACH.map(|(_, name)| name).join(" ");
        for key in ["AmbientCapabilities", "CapabilityBoundingSet"] {
            let line = format!("{key}={names}");
            assert!(service.lines().any(|found| found == line), "{line}");
        }
    }

    #[test]
    fn the_daemon_set_has_what_attaching_needs() {
        let manifest = include_str!("../deploy/daemonset.yaml");
        let names = TO_ATTACH.map(|(_, name)| format!("{:?}", name.trim_start_matches("CAP_")));
        let line = format!("add: [{}]", names.join(", "));
        assert!(manifest.lines().any(|found| found.trim() == line), "{line}");
    }

    #[test]
    fn only_the_calling_thread_drops_capabilities() {
        let before = capabilities(None).unwrap();
        let kept = CapabilitySet::KILL | CapabilitySet::CHOWN;
        let after = thread::spawn(move || {
            keep(kept);
            assert!(no_new_privs().unwrap());
            thread::spawn(|| capabilities(None)).join().unwrap()
        });
        let after = after.join().unwrap().unwrap();
        assert_eq!(after.permitted, before.permitted & kept);
        assert_eq!(after.effective, before.effective & kept);
        assert_eq!(after.inheritable, CapabilitySet::empty());
        assert_eq!(capabilities(None).unwrap(), before);
        assert!(!no_new_privs().unwrap());
    }
}
