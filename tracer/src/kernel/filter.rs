//! The filter of the command line, and how it gets into the programs' maps.

use std::io;

use anyhow::{Context as _, Result, bail};
use aya::{
    Ebpf,
    maps::{Array, HashMap, MapData, MapError, PerCpuArray},
};
use rustix::io::Errno;
use tracer_ebpf::filter::{
    ALONE, BY_CGROUP, BY_COMM, BY_COOKIE, BY_PID, BY_PORT, FAMILY, HAS_EXPECTED, HAS_NAMED,
    Listener, REFUSED_ACCEPT, REFUSED_CHILD, REFUSED_CONNECT, REFUSED_OTHER,
};

use super::{attach::Needs, cgroups::Cgroup};

/// Which connections to trace. Values of one kind are alternatives; where several kinds are set, one
/// of each must match. A socket named by its cookie is traced in any case. Empty: every connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Of either end.
    pub ports: Vec<u16>,
    /// Processes, by their ids in the PID namespace of `/proc`: connections they open, and those
    /// accepted where they listen.
    pub pids: Vec<u32>,
    /// A process whose future descendants are traced, too.
    pub ancestor: Option<u32>,
    /// Process names, as the kernel keeps them: 15 bytes at most.
    pub comms: Vec<String>,
    /// Cgroups, with all below them.
    pub cgroups: Vec<Cgroup>,
    /// Where traced processes listen already, once per socket.
    pub listeners: Vec<Listener>,
    pub cookies: Vec<u64>,
    /// Whether connections in front of the chosen ones are traced, too. Takes ports, and nothing else.
    pub follow: bool,
    /// Where the tracer itself listens. Connections there are left out where every connection is traced.
    pub own: Option<Listener>,
}

/// Connections that the filter refused when they were opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refused {
    /// Opened by the chosen processes, from and to other ports.
    pub connects: u64,
    /// Accepted where the chosen processes listen, from and to other ports.
    pub accepts: u64,
    /// Opened by children of processes that are chosen without their children.
    pub by_children: u64,
    /// Opened by any other process.
    pub others: u64,
}

impl Refused {
    pub(super) fn read(ebpf: &Ebpf) -> Result<Self> {
        let map = ebpf
            .map("REFUSED")
            .context("the eBPF object has no map REFUSED")?;
        let counts: PerCpuArray<_, u64> = PerCpuArray::try_from(map)?;
        let sum = |which: u32| -> Result<u64> { Ok(counts.get(&which, 0)?.iter().sum()) };
        Ok(Self {
            connects: sum(REFUSED_CONNECT)?,
            accepts: sum(REFUSED_ACCEPT)?,
            by_children: sum(REFUSED_CHILD)?,
            others: sum(REFUSED_OTHER)?,
        })
    }
}

/// For the system call bpf(2): adds an element, and changes none.
const BPF_NOEXIST: u64 = 1;

/// Longest process name, without the NUL that ends it (`TASK_COMM_LEN`).
const COMM_BYTES: usize = 15;

impl Filter {
    /// The kinds that are set: the `BY_` bits.
    pub(super) fn kinds(&self) -> u32 {
        let bit = |set: bool, bit: u32| if set { bit } else { 0 };
        bit(!self.ports.is_empty(), BY_PORT)
            | bit(!self.pids.is_empty() || self.ancestor.is_some(), BY_PID)
            | bit(!self.comms.is_empty(), BY_COMM)
            | bit(!self.cgroups.is_empty(), BY_CGROUP)
            | bit(!self.cookies.is_empty(), BY_COOKIE)
    }

    /// This port in the network namespace of the calling thread.
    ///
    /// # Errors
    /// When `/proc` does not have the namespace.
    pub fn own(port: u16) -> Result<Listener> {
        Ok(Listener {
            netns: super::sockets::own_netns()?,
            port: u32::from(port),
        })
    }

    /// The kernel uses the id of a process again, so exits matter.
    pub(super) fn needs(&self, samples: bool) -> Needs {
        let names_ids = !self.pids.is_empty() || self.ancestor.is_some();
        Needs {
            descendants: names_ids,
            exits: names_ids || self.follows_fronts(),
            samples,
        }
    }

    /// Whether processes that connect to the chosen ports are followed to the connections that they accept.
    #[must_use]
    pub fn follows_fronts(&self) -> bool {
        self.follow && self.kinds() == BY_PORT
    }

    /// The depths in the hierarchy at which the cgroups are, a bit each.
    pub(super) fn cgroup_levels(&self) -> u32 {
        let bit = |cgroup: &Cgroup| 1_u32.checked_shl(cgroup.level).unwrap_or_default();
        self.cgroups.iter().map(bit).fold(0, |bits, bit| bits | bit)
    }

    /// Fills the maps. Must happen before the programs are attached. `initial_ids` translates process
    /// ids into those of the initial PID namespace.
    pub(super) fn write(
        &self,
        ebpf: &mut Ebpf,
        initial_ids: impl Fn(&mut Ebpf, &[u32]) -> Result<Vec<u32>>,
    ) -> Result<()> {
        insert_all(ebpf, "PORTS", &self.ports, |_| 1_u8)?;
        let pids = initial_ids(ebpf, &self.pids)?;
        insert_all(ebpf, "PIDS", &pids, |_| ALONE)?;
        let ancestor = initial_ids(ebpf, self.ancestor.as_slice())?;
        insert_all(ebpf, "PIDS", &ancestor, |_| FAMILY)?;
        let comms: Vec<[u8; COMM_BYTES + 1]> = self.comms.iter().map(|comm| key(comm)).collect();
        insert_all(ebpf, "COMMS", &comms, |_| 1_u8)?;
        let cgroups: Vec<u64> = self.cgroups.iter().map(|cgroup| cgroup.id).collect();
        insert_all(ebpf, "CGROUPS", &cgroups, |_| 1_u8)?;
        let listeners: Vec<ListenerKey> = self.listeners.iter().copied().map(ListenerKey).collect();
        let sockets = |key: &ListenerKey| {
            let same = self.listeners.iter().filter(|other| **other == key.0);
            u32::try_from(same.count()).unwrap_or(u32::MAX)
        };
        insert_all(ebpf, "LISTENERS", &listeners, sockets)?;
        if !listeners.is_empty() {
            mark_filled(ebpf, HAS_EXPECTED)?;
        }
        if remember(ebpf, &self.cookies)? < self.cookies.len() {
            bail!("there are too many cookies");
        }
        Ok(())
    }
}

/// See [`Probe::remember`](super::Probe::remember).
pub(super) fn remember(ebpf: &mut Ebpf, cookies: &[u64]) -> Result<usize> {
    if cookies.is_empty() {
        return Ok(0);
    }
    let mut named: HashMap<_, u64, u8> = hash_map(ebpf, "NAMED")?;
    let mut taken = 0;
    for cookie in cookies {
        match named.insert(cookie, 1, 0) {
            Ok(()) => taken += 1,
            Err(MapError::SyscallError(error)) if is_full(&error.io_error) => break,
            Err(error) => return Err(error).context("adding a socket to the map NAMED"),
        }
    }
    mark_filled(ebpf, HAS_NAMED)?;
    Ok(taken)
}

/// See [`Probe::listening`](super::Probe::listening).
pub(super) fn add_listening(ebpf: &mut Ebpf, listeners: &[Listener]) -> Result<()> {
    let mut map: HashMap<_, ListenerKey, u32> = hash_map(ebpf, "LISTENING")?;
    for listener in listeners.iter().copied().map(ListenerKey) {
        match map.insert(listener, 0, BPF_NOEXIST) {
            Ok(()) => {}
            // It began to listen meanwhile, or several sockets do there.
            Err(MapError::SyscallError(error)) if is_there(&error.io_error) => {}
            Err(error) => return Err(error).context("adding a listener to the map LISTENING"),
        }
    }
    Ok(())
}

fn is_there(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::EXIST.raw_os_error())
}

fn is_full(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::TOOBIG.raw_os_error())
}

fn mark_filled(ebpf: &mut Ebpf, which: u32) -> Result<()> {
    let filled = ebpf
        .map_mut("FILLED")
        .context("the eBPF object has no map FILLED")?;
    Array::try_from(filled)?.set(which, 1_u32, 0)?;
    Ok(())
}

/// A name as `task_struct` holds it, ended by a NUL.
fn key(comm: &str) -> [u8; COMM_BYTES + 1] {
    let mut key = [0; COMM_BYTES + 1];
    for (byte, from) in key.iter_mut().zip(comm.bytes().take(COMM_BYTES)) {
        *byte = from;
    }
    key
}

/// aya takes keys of its own trait.
#[derive(Clone, Copy)]
#[repr(transparent)]
struct ListenerKey(Listener);

// SAFETY: `Listener` is `#[repr(C)]` and holds integers without padding between them.
#[expect(unsafe_code, reason = "aya asks for this promise")]
unsafe impl aya::Pod for ListenerKey {}

fn insert_all<K: aya::Pod, V: aya::Pod>(
    ebpf: &mut Ebpf,
    name: &str,
    keys: &[K],
    value: impl Fn(&K) -> V,
) -> Result<()> {
    let mut map: HashMap<_, K, V> = hash_map(ebpf, name)?;
    for key in keys {
        map.insert(key, value(key), 0).with_context(|| {
            format!("the filter has more values than the map {name} has room for")
        })?;
    }
    Ok(())
}

fn hash_map<'a, K: aya::Pod, V: aya::Pod>(
    ebpf: &'a mut Ebpf,
    name: &str,
) -> Result<HashMap<&'a mut MapData, K, V>> {
    let map = ebpf
        .map_mut(name)
        .with_context(|| format!("the eBPF object has no map {name}"))?;
    Ok(HashMap::try_from(map)?)
}
