//! The kernel, its type information, and the permissions of this process.

use std::{fs, io::ErrorKind};

use aya::{maps::MapType, sys::is_map_supported};
use rustix::{
    process::{Resource, getrlimit},
    system::uname,
};
use tracer_ebpf::hook::Hook;

use super::Finding;
use crate::{
    kernel::{Inventory, Missing, cgroups::CgroupRoot, inventory, pid_namespace::PidNamespace},
    privileges,
};

const LOCKDOWN: &str = "/sys/kernel/security/lockdown";
/// More than the programs and their maps take.
const LOCKED_BYTES: u64 = 64 << 20;

pub(super) fn examine() -> Vec<Finding> {
    let mut findings = vec![kernel(), capabilities(), other_users(), pid_namespace()];
    findings.extend(type_information());
    findings.extend([cgroup(), ring_buffer(), lockdown(), locked_memory()]);
    findings
}

fn kernel() -> Finding {
    let system = uname();
    let [name, release, machine] = [system.sysname(), system.release(), system.machine()];
    Finding::ok(
        "kernel",
        format!(
            "{} {} on {}",
            name.to_string_lossy(),
            release.to_string_lossy(),
            machine.to_string_lossy()
        ),
    )
}

fn capabilities() -> Finding {
    const CHECK: &str = "capabilities";
    match &*privileges::lacking() {
        [] => Finding::ok(
            CHECK,
            "CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN, or equivalent",
        ),
        lacking => Finding::missing(
            CHECK,
            format!(
                "{}: run the tracer as root (sudo), or grant them with setcap",
                lacking.join(", ")
            ),
        ),
    }
}

fn other_users() -> Finding {
    const CHECK: &str = "others' sockets";
    match &*privileges::lacking_for_others() {
        [] => Finding::ok(
            CHECK,
            "processes and network namespaces of other users can be read",
        ),
        lacking => Finding::degraded(
            CHECK,
            format!(
                "without {}, connections opened before the tracer may be missing or have no owner",
                lacking.join(", ")
            ),
        ),
    }
}

fn pid_namespace() -> Finding {
    const CHECK: &str = "PID namespace";
    match PidNamespace::shown() {
        PidNamespace::Initial => Finding::ok(CHECK, "the machine's"),
        PidNamespace::Nested(_) => Finding::ok(
            CHECK,
            "a container's: process ids are those of the container; processes outside have a name and no id",
        ),
        PidNamespace::Foreign => Finding::degraded(
            CHECK,
            "/proc is not of the tracer's PID namespace, so process ids are unknown, and --pid and a command are refused; `mount -t proc proc /proc` mounts the right one",
        ),
    }
}

fn type_information() -> Vec<Finding> {
    const CHECK: &str = "BTF";
    let Inventory {
        tracepoints,
        members,
        missing,
    } = match inventory() {
        Ok(found) => found,
        Err(error) => return vec![Finding::missing(CHECK, error.to_string())],
    };
    let mut findings = vec![Finding::ok(
        CHECK,
        format!("found {members} struct members that the programs read"),
    )];
    for part in missing {
        findings.push(Finding::degraded("type information", without(&part)));
    }
    for (hook, exists) in tracepoints {
        findings.push(tracepoint(hook, exists));
    }
    findings
}

fn tracepoint(hook: &'static Hook, exists: bool) -> Finding {
    const CHECK: &str = "tracepoint";
    let name = hook.tracepoint().unwrap_or_default();
    let functions: Vec<&str> = hook.replacements().filter_map(Hook::function).collect();
    if exists {
        Finding::ok(CHECK, name)
    } else if functions.is_empty() {
        let text = format!("{} (Linux {})", without(&Missing::Hook(hook)), hook.since);
        Finding::degraded(CHECK, text)
    } else {
        // Whether this kernel can attach programs there, the programs' own check finds out.
        Finding::ok(
            CHECK,
            format!(
                "no {name} (Linux {}): of the functions {}, those that this kernel has take its place",
                hook.since,
                functions.join(", ")
            ),
        )
    }
}

pub(super) fn without(part: &Missing) -> String {
    format!("no {}, so {} will be unknown", part.what(), part.loses())
}

fn cgroup() -> Finding {
    const CHECK: &str = "cgroup v2";
    match CgroupRoot::find() {
        Ok(Some(root)) if !root.is_whole => Finding::degraded(
            CHECK,
            "a container's part of it is all that is visible, so segments, TLS and HTTP of processes outside are not seen; start the container with --cgroupns=host and --pid=host, or run the tracer outside",
        ),
        Ok(Some(root)) if !root.is_mounted => Finding::ok(
            CHECK,
            "not mounted here (`ip netns exec` hides it): the tracer mounts it for itself, where no path leads",
        ),
        Ok(Some(root)) => Finding::ok(CHECK, format!("mounted at {}", root.path().display())),
        Ok(None) => Finding::degraded(
            CHECK,
            "not mounted, so segments, TLS and HTTP are not seen; `mount -t cgroup2 none DIRECTORY` mounts it",
        ),
        Err(error) => Finding::degraded(CHECK, format!("not found: {error:#}")),
    }
}

fn ring_buffer() -> Finding {
    const CHECK: &str = "ring buffer";
    if privileges::lacking().contains(&"CAP_BPF") {
        return Finding::degraded(CHECK, "cannot be checked without CAP_BPF");
    }
    match is_map_supported(MapType::RingBuf) {
        Ok(true) => Finding::ok(CHECK, "BPF_MAP_TYPE_RINGBUF"),
        Ok(false) => Finding::missing(
            CHECK,
            "this kernel has none; the tracer needs Linux 5.12 or later",
        ),
        Err(error) => Finding::degraded(CHECK, format!("cannot be checked: {error}")),
    }
}

/// `none [integrity] confidentiality`: the one in brackets.
fn lockdown() -> Finding {
    const CHECK: &str = "lockdown";
    match fs::read_to_string(LOCKDOWN) {
        Ok(text) if text.contains("[confidentiality]") => Finding::missing(
            CHECK,
            "confidentiality: the kernel lets no eBPF program read its memory; boot without lockdown=confidentiality",
        ),
        Ok(text) => Finding::ok(CHECK, text.trim()),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Finding::ok(CHECK, format!("none (no {LOCKDOWN})"))
        }
        Err(error) => Finding::degraded(CHECK, format!("{LOCKDOWN} cannot be read: {error}")),
    }
}

fn locked_memory() -> Finding {
    const CHECK: &str = "locked memory";
    let limit = getrlimit(Resource::Memlock).current;
    let shown = limit.map_or("unlimited".to_owned(), |bytes| format!("{bytes} bytes"));
    let is_counted = privileges::kernel_version().is_none_or(|version| version < (5, 11));
    match limit {
        Some(bytes) if is_counted && bytes < LOCKED_BYTES => Finding::missing(
            CHECK,
            format!(
                "{shown}, which limits eBPF maps before Linux 5.11: raise it with `ulimit -l unlimited`"
            ),
        ),
        _ if is_counted => Finding::ok(CHECK, shown),
        _ => Finding::ok(
            CHECK,
            format!("{shown}, which does not limit eBPF maps since Linux 5.11"),
        ),
    }
}
