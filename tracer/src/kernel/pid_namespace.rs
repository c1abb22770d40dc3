//! Process ids in the PID namespace that `/proc` shows: those that `ps` prints and that people name.
//! The kernel's hooks have the ids of the initial namespace, which a container cannot see.

use std::{
    collections::HashMap,
    fs,
    io::{self, Read as _},
    os::unix::fs::MetadataExt as _,
    path::Path,
};

use anyhow::{Context as _, Result};
use aya::{Btf, Ebpf, Endianness, programs::Iter};
use tracer_ebpf::filter::ProcessIds;

use super::{attach::typed, btf::unreadable};

/// `PID_NS_INIT_INO` (`linux/nsfs.h`).
const INITIAL: u64 = 0xEFFF_FFFC;

/// Which PID namespace `/proc` shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PidNamespace {
    /// The machine's own.
    Initial,
    /// A container's, with this inode number.
    Nested(u32),
    /// Not the tracer's, nor one that the tracer's is within. Or `/proc` is not mounted.
    Foreign,
}

/// A process that cannot be followed, because its id in the initial PID namespace is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoProcess {
    #[error("there is no process {0} in the tracer's PID namespace")]
    NotFound(u32),
    #[error(
        "/proc does not show the tracer's PID namespace, so no process can be found by its id: mount it (`mount -t proc proc /proc`), or choose by --port, --comm or --cgroup"
    )]
    ForeignProc,
}

impl PidNamespace {
    /// The namespace of `/proc` as it is mounted now.
    #[must_use]
    pub fn shown() -> Self {
        // The link is empty where this process has no id in the namespace of `/proc`.
        if own_id().is_err() {
            return Self::Foreign;
        }
        match inode() {
            Ok(INITIAL) => Self::Initial,
            Ok(inode) => u32::try_from(inode).map_or(Self::Foreign, Self::Nested),
            Err(_) => Self::Foreign,
        }
    }

    /// The value of the programs' global `PID_NAMESPACE`.
    pub(super) const fn global(self) -> u32 {
        match self {
            Self::Initial => 0,
            Self::Nested(inode) => inode,
            // No namespace has this number, so no process has an id.
            Self::Foreign => u32::MAX,
        }
    }
}

/// The id of this process in the namespace of `/proc`.
///
/// # Errors
/// When it has none there.
pub fn own_id() -> io::Result<u32> {
    let link = fs::read_link("/proc/self")?;
    let id = link.to_str().and_then(|id| id.parse().ok());
    id.ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// The namespace's inode number. Where it is not the own one, a process that has one id in `/proc` is in
/// it; who may look at none of them does not know the number.
fn inode() -> io::Result<u64> {
    let own = inode_of(Path::new("/proc/self"))?;
    if own == INITIAL || ids(Path::new("/proc/self"))? == 1 {
        return Ok(own);
    }
    let processes = fs::read_dir("/proc")?.flatten().map(|entry| entry.path());
    let mut outer = processes.filter(|process| ids(process).is_ok_and(|ids| ids == 1));
    let inode = outer.find_map(|process| inode_of(&process).ok());
    inode.ok_or_else(|| io::ErrorKind::PermissionDenied.into())
}

fn inode_of(process: &Path) -> io::Result<u64> {
    Ok(fs::metadata(process.join("ns/pid"))?.ino())
}

/// How many ids a process has: one for each namespace from that of `/proc` down to its own.
fn ids(process: &Path) -> io::Result<usize> {
    let status = fs::read_to_string(process.join("status"))?;
    let ids = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
    Ok(ids
        .ok_or(io::ErrorKind::NotFound)?
        .split_whitespace()
        .count())
}

/// The ids in the initial namespace of the processes with these ids in that of `/proc`.
///
/// # Errors
/// [`NoProcess`], or when the kernel refuses the iterator over its tasks.
pub(super) fn initial_ids(
    namespace: PidNamespace,
    ebpf: &mut Ebpf,
    btf: &[u8],
    ids: &[u32],
) -> Result<Vec<u32>> {
    match namespace {
        PidNamespace::Initial => Ok(ids.to_vec()),
        _ if ids.is_empty() => Ok(Vec::new()),
        PidNamespace::Foreign => Err(NoProcess::ForeignProc.into()),
        PidNamespace::Nested(_) => {
            let known = processes(ebpf, btf).context("asking the kernel for its processes")?;
            ids.iter()
                .map(|id| {
                    let initial = known.get(id).copied();
                    initial.ok_or_else(|| NoProcess::NotFound(*id).into())
                })
                .collect()
        }
    }
}

/// The id in the initial namespace of each process that this one can see.
fn processes(ebpf: &mut Ebpf, btf: &[u8]) -> Result<HashMap<u32, u32>> {
    let btf = Btf::parse(btf, Endianness::default()).map_err(unreadable)?;
    let program = ebpf
        .program_mut("tracer_tasks")
        .context("the eBPF object has no program tracer_tasks")?;
    let program: &mut Iter = typed(program)?;
    program.load("task", &btf)?;
    let link = program.attach()?;
    let mut bytes = Vec::new();
    program
        .take_link(link)?
        .into_file()?
        .read_to_end(&mut bytes)?;
    program.unload()?;
    let (records, _) = bytes.as_chunks::<{ size_of::<ProcessIds>() }>();
    Ok(records.iter().map(shown_and_initial).collect())
}

fn shown_and_initial(record: &[u8; size_of::<ProcessIds>()]) -> (u32, u32) {
    let [s0, s1, s2, s3, i0, i1, i2, i3] = *record;
    (
        u32::from_ne_bytes([s0, s1, s2, s3]),
        u32::from_ne_bytes([i0, i1, i2, i3]),
    )
}
