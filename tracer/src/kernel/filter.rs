//! The filter as the command line states it, and its way into the programs' maps.

use anyhow::{Context as _, Result};
use aya::{Ebpf, maps::HashMap};
use tracer_ebpf::filter::{BY_COOKIE, BY_PID, BY_PORT, Remembered};

/// Which connections to trace. Values of one kind are alternatives, different kinds must all hold;
/// a socket named by its cookie is traced in any case. Empty: every connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Ports, of either end.
    pub ports: Vec<u16>,
    /// Processes: connections they open, and those accepted on ports they listen on.
    pub pids: Vec<u32>,
    /// Local ports on which `pids` listen.
    pub listeners: Vec<u16>,
    /// Socket cookies.
    pub cookies: Vec<u64>,
}

impl Filter {
    /// The kinds of condition that are set, as the programs take them.
    pub(super) fn kinds(&self) -> u32 {
        let bit = |set: bool, bit: u32| if set { bit } else { 0 };
        bit(!self.ports.is_empty(), BY_PORT)
            | bit(!self.pids.is_empty(), BY_PID)
            | bit(!self.cookies.is_empty(), BY_COOKIE)
    }

    /// Fills the maps; to be done before the programs are attached.
    pub(super) fn write(&self, ebpf: &mut Ebpf) -> Result<()> {
        let listed = &[1_u8];
        insert_all(ebpf, "PORTS", &self.ports, listed)?;
        insert_all(ebpf, "PIDS", &self.pids, listed)?;
        insert_all(ebpf, "LISTENERS", &self.listeners, listed)?;
        insert_all(
            ebpf,
            "SOCKETS",
            &self.cookies,
            &[NewSocket(Remembered::NEW)],
        )
    }
}

/// What is remembered of a socket at first, as aya takes it.
#[derive(Clone, Copy)]
#[repr(transparent)]
struct NewSocket(Remembered);

// SAFETY: `Remembered` is `#[repr(C)]` and holds integers without padding between them.
#[expect(unsafe_code, reason = "aya asks for this promise")]
unsafe impl aya::Pod for NewSocket {}

fn insert_all<K: aya::Pod, V: aya::Pod>(
    ebpf: &mut Ebpf,
    name: &str,
    keys: &[K],
    value: &[V; 1],
) -> Result<()> {
    let map = ebpf
        .map_mut(name)
        .with_context(|| format!("the eBPF object has no map {name}"))?;
    let mut map: HashMap<_, K, V> = HashMap::try_from(map)?;
    for key in keys {
        map.insert(key, value[0], 0)
            .with_context(|| format!("the filter has too many conditions for the map {name}"))?;
    }
    Ok(())
}
