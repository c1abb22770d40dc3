//! The kernel, its type information, and what this process may do.

use std::{fs, io::ErrorKind};

use aya::{maps::MapType, sys::is_map_supported};
use rustix::{
    process::{Resource, getrlimit},
    system::uname,
};

use super::Finding;
use crate::{
    kernel::{Inventory, cgroups::cgroup2_root, inventory},
    privileges,
};

const LOCKDOWN: &str = "/sys/kernel/security/lockdown";
/// What the programs and their maps take, generously.
const LOCKED_BYTES: u64 = 64 << 20;

pub(super) fn examine() -> Vec<Finding> {
    let mut findings = vec![kernel(), capabilities(), others()];
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
    const WHAT: &str = "capabilities";
    match &*privileges::lacking() {
        [] => Finding::ok(WHAT, "CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN, or as good"),
        lacking => Finding::missing(
            WHAT,
            format!(
                "{}: run the tracer as root (sudo), or give them to it with setcap",
                lacking.join(", ")
            ),
        ),
    }
}

fn others() -> Finding {
    const WHAT: &str = "others' sockets";
    match &*privileges::lacking_for_others() {
        [] => Finding::ok(
            WHAT,
            "processes and network namespaces of others may be looked into",
        ),
        lacking => Finding::degraded(
            WHAT,
            format!(
                "{} would be needed: of connections that are open when the tracer begins, some may be missing, or whose they are",
                lacking.join(", ")
            ),
        ),
    }
}

fn type_information() -> Vec<Finding> {
    const WHAT: &str = "BTF";
    let Inventory {
        tracepoints,
        members,
        lacking,
    } = match inventory() {
        Ok(found) => found,
        Err(error) => return vec![Finding::missing(WHAT, error.to_string())],
    };
    let mut findings = vec![Finding::ok(
        WHAT,
        format!("{members} struct members found that the programs read"),
    )];
    for part in lacking {
        let text = format!("no {}; unknown stays: {}", part.what, part.lost);
        findings.push(Finding::degraded("type information", text));
    }
    for (name, lost) in tracepoints {
        findings.push(match lost {
            None => Finding::ok("tracepoint", name),
            Some(lost) => {
                Finding::degraded("tracepoint", format!("no {name}; unknown stays: {lost}"))
            }
        });
    }
    findings
}

fn cgroup() -> Finding {
    const WHAT: &str = "cgroup v2";
    match cgroup2_root() {
        Ok(Some(root)) => Finding::ok(WHAT, format!("mounted at {}", root.display())),
        Ok(None) => Finding::degraded(
            WHAT,
            "not mounted: no segments, no TLS, no HTTP; `mount -t cgroup2 none DIRECTORY` mounts it",
        ),
        Err(error) => Finding::degraded(WHAT, format!("not found: {error:#}")),
    }
}

fn ring_buffer() -> Finding {
    const WHAT: &str = "ring buffer";
    if privileges::lacking().contains(&"CAP_BPF") {
        return Finding::degraded(WHAT, "cannot be asked for without CAP_BPF");
    }
    match is_map_supported(MapType::RingBuf) {
        Ok(true) => Finding::ok(WHAT, "BPF_MAP_TYPE_RINGBUF"),
        Ok(false) => Finding::missing(
            WHAT,
            "this kernel has none: the tracer needs Linux 5.8 or later",
        ),
        Err(error) => Finding::degraded(WHAT, format!("cannot be asked for: {error}")),
    }
}

/// `none [integrity] confidentiality`: the one in brackets.
fn lockdown() -> Finding {
    const WHAT: &str = "lockdown";
    match fs::read_to_string(LOCKDOWN) {
        Ok(text) if text.contains("[confidentiality]") => Finding::missing(
            WHAT,
            "confidentiality: the kernel lets no program read its memory; boot without lockdown=confidentiality",
        ),
        Ok(text) => Finding::ok(WHAT, text.trim()),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Finding::ok(WHAT, format!("none to be seen (no {LOCKDOWN})"))
        }
        Err(error) => Finding::degraded(WHAT, format!("{LOCKDOWN} cannot be read: {error}")),
    }
}

fn locked_memory() -> Finding {
    const WHAT: &str = "locked memory";
    let limit = getrlimit(Resource::Memlock).current;
    let shown = limit.map_or("unlimited".to_owned(), |bytes| format!("{bytes} bytes"));
    let is_counted = privileges::kernel_version().is_none_or(|version| version < (5, 11));
    match limit {
        Some(bytes) if is_counted && bytes < LOCKED_BYTES => Finding::missing(
            WHAT,
            format!(
                "{shown}, which eBPF maps count against before Linux 5.11: `ulimit -l unlimited`"
            ),
        ),
        _ if is_counted => Finding::ok(WHAT, shown),
        _ => Finding::ok(
            WHAT,
            format!("{shown}, which eBPF maps do not count against from Linux 5.11 on"),
        ),
    }
}
