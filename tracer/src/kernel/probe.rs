//! Loads the programs, hands them the layout and the filter, attaches them. Dropping a [`Probe`]
//! detaches: the links are file descriptors, nothing is pinned, so that the kernel detaches however
//! the tracer ends.

use std::{
    fs::File,
    os::fd::{AsFd as _, AsRawFd as _, OwnedFd, RawFd},
    path::Path,
    time::{Duration, Instant},
};

use crate::input::ProgramCost;
use anyhow::{Context as _, Result};
use aya::{
    Btf, BtfError, Ebpf, EbpfLoader, VerifierLogLevel, include_bytes_aligned,
    maps::{MapData, PerCpuArray, RingBuf},
    programs::{
        BtfTracePoint, CgroupAttachMode, CgroupSkb, CgroupSkbAttachType, CgroupSock, ProgramError,
        ProgramFd, ProgramInfo, loaded_programs,
    },
};
use aya_log::EbpfLogger;
use tokio::io::unix::AsyncFd;
use tracing::{debug, warn};

use super::{
    Filter, Lost,
    attach_error::{AttachError, is_permission, refused, release},
    filter,
    layout::Layout,
    loss::Counters,
};

const BTF: &str = "/sys/kernel/btf/vmlinux";

/// Everything rests on this tracepoint; the others add to what is known and may be missing.
const GROUND: &str = "inet_sock_set_state";

/// Each program and the tracepoint it belongs to.
const PROGRAMS: &[(&str, &str)] = &[
    ("tracer_state", GROUND),
    ("tracer_read", "tcp_rcv_space_adjust"),
    ("tracer_send", "sock_send_length"),
    ("tracer_retrans", "tcp_retransmit_skb"),
    ("tracer_synack", "tcp_retransmit_synack"),
    ("tracer_rst_sent", "tcp_send_reset"),
    ("tracer_rst_recv", "tcp_receive_reset"),
    ("tracer_error", "inet_sk_error_report"),
];

/// The programs that keep account of wanted processes, where they are named by their ids.
const PROCESS_PROGRAMS: &[(&str, &str)] = &[
    ("tracer_fork", "sched_process_fork"),
    ("tracer_exit", "sched_process_free"),
];

/// The program that sees who lets go of a socket.
const RELEASE_PROGRAM: &str = "tracer_release";

/// The programs that see segments, and where they are attached.
const SEGMENT_PROGRAMS: &[(&str, CgroupSkbAttachType)] = &[
    ("tracer_in", CgroupSkbAttachType::Ingress),
    ("tracer_out", CgroupSkbAttachType::Egress),
];

/// The attached programs and their ring buffer.
pub struct Probe {
    ring: RingBuf<MapData>,
    counters: Counters,
    logger: Option<EbpfLogger<&'static dyn log::Log>>,
    ids: Vec<u32>,
    /// Holds the programs and their links.
    ebpf: Ebpf,
}

impl Probe {
    /// Loads and attaches everything; the ring buffer holds `ring_bytes`, rounded up to a power of
    /// two of at least one page. With `every_segment` each segment is a record, else only those
    /// that open or close a connection or change the direction of its data.
    ///
    /// # Errors
    /// [`AttachError`]; nothing stays attached then.
    pub fn attach(
        filter: &Filter,
        ring_bytes: u32,
        every_segment: bool,
    ) -> Result<Self, AttachError> {
        let layout = Layout::resolve(&read_layout_btf()?);
        let missing = layout
            .missing()
            .map(|member| format!("struct member {}.{}", member.of, member.path));
        let mut missing: Vec<String> = missing.collect();
        let mut ebpf = load(&layout, filter, ring_bytes, every_segment)?;
        filter.write(&mut ebpf)?;
        let process_programs = if filter.follows_processes() {
            PROCESS_PROGRAMS
        } else {
            &[]
        };
        let mut attached = attach_tracepoints(&mut ebpf, process_programs, &mut missing)?;
        attached.extend(attach_tracepoints(&mut ebpf, PROGRAMS, &mut missing)?);
        attached.extend(attach_to_cgroup(&mut ebpf, &mut missing)?);
        for part in &missing {
            warn!("this kernel has no {part}; what rests on it stays unknown");
        }
        let ring = take_map(&mut ebpf, "EVENTS")?;
        let lost = take_map(&mut ebpf, "LOST")?;
        Ok(Self {
            ring: RingBuf::try_from(ring).context("opening the ring buffer")?,
            counters: Counters::new(
                PerCpuArray::try_from(lost).context("opening the loss counters")?,
                attached.iter().map(Attached::fdinfo).collect(),
            ),
            logger: kernel_logger(&mut ebpf),
            ids: attached.iter().map(|program| program.id).collect(),
            ebpf,
        })
    }

    /// Hands every record that waits to `each`, and writes out what the programs logged.
    pub fn drain(&mut self, mut each: impl FnMut(&[u8])) {
        while let Some(record) = self.ring.next() {
            each(&record);
        }
        if let Some(logger) = &mut self.logger {
            logger.flush();
        }
    }

    /// Traces these sockets, too, whatever the filter says.
    ///
    /// # Errors
    /// When there are too many.
    pub fn remember(&mut self, cookies: &[u64]) -> Result<()> {
        filter::remember(&mut self.ebpf, cookies)
    }

    /// What each program cost so far, where the kernel counts it (`kernel.bpf_stats_enabled`).
    #[must_use]
    pub fn cost(&self) -> Vec<ProgramCost> {
        self.ebpf
            .programs()
            .filter_map(|(name, program)| {
                let info = program.info().ok()?;
                let run_ns = u64::try_from(info.run_time().as_nanos()).ok()?;
                (info.run_count() > 0).then(|| ProgramCost {
                    name: name.to_owned(),
                    runs: info.run_count(),
                    run_ns,
                })
            })
            .collect()
    }

    /// What was lost so far.
    ///
    /// # Errors
    /// When the kernel's counters cannot be read.
    pub fn lost(&self) -> Result<Lost> {
        self.counters.read()
    }

    /// Detaches, and waits until the kernel has let go of the programs.
    pub fn detach(self) {
        let ids = self.ids;
        drop((self.ring, self.counters, self.logger, self.ebpf));
        // The kernel frees them after a grace period and tells nobody.
        let deadline = Instant::now() + Duration::from_secs(1);
        while Instant::now() < deadline && is_any_loaded(&ids) {
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Becomes readable when the ring buffer is half full.
    ///
    /// # Errors
    /// When the descriptor cannot be watched.
    #[expect(
        unsafe_code,
        reason = "tokio's promise about the descriptor, which an OwnedFd keeps"
    )]
    pub fn half_full(&self) -> Result<AsyncFd<OwnedFd>> {
        let ring = self.ring.as_fd().try_clone_to_owned()?;
        // SAFETY: an `OwnedFd` stays open, and the same, until it is dropped.
        unsafe { AsyncFd::register(ring) }
            .map_err(std::io::Error::from)
            .context("watching the ring buffer")
    }
}

fn read_layout_btf() -> Result<btf_rs::Btf, AttachError> {
    if !Path::new(BTF).exists() {
        return Err(AttachError::NoBtf { path: BTF });
    }
    // Only a few structs of many thousand are wanted. Older kernels do not let the file be mapped.
    btf_rs::Btf::from_file_with_backend(BTF, btf_rs::Backend::Mmap)
        .or_else(|_| btf_rs::Btf::from_file(BTF))
        .map_err(|error| AttachError::BadBtf {
            path: BTF,
            reason: error.to_string(),
        })
}

fn load(
    layout: &Layout,
    filter: &Filter,
    ring_bytes: u32,
    every_segment: bool,
) -> Result<Ebpf, AttachError> {
    let ring_bytes = ring_bytes.max(4096).next_power_of_two();
    let wake_at_bytes = u64::from(ring_bytes / 2);
    let filter_by = filter.kinds();
    let cgroup_levels = filter.cgroup_levels();
    let log_level = kernel_log_level();
    let every_segment = u8::from(every_segment);
    let retransmit_has_error = u8::from(layout.retransmit_has_error);
    let globals: Vec<(&str, u32)> = layout.globals().collect();
    let mut loader = EbpfLoader::new();
    loader
        .verifier_log_level(verifier_log_level())
        .map_max_entries("EVENTS", ring_bytes)
        .override_global("WAKE_AT_BYTES", &wake_at_bytes, true)
        .override_global("FILTER_BY", &filter_by, true)
        .override_global("CGROUP_LEVELS", &cgroup_levels, true)
        .override_global("EVERY_SEGMENT", &every_segment, true)
        .override_global("RETRANSMIT_HAS_ERROR", &retransmit_has_error, true)
        .override_global(aya_log::LEVEL, &log_level, false);
    for (name, value) in &globals {
        loader.override_global(name, value, true);
    }
    loader
        .load(include_bytes_aligned!(concat!(
            env!("OUT_DIR"),
            "/programs"
        )))
        .map_err(|error| {
            if is_permission(&error) {
                AttachError::NotPermitted
            } else {
                AttachError::Other(anyhow::Error::new(error).context("loading the eBPF object"))
            }
        })
}

/// An attached program.
struct Attached {
    id: u32,
    fd: RawFd,
}

impl Attached {
    fn new(
        info: Result<ProgramInfo, ProgramError>,
        fd: Result<&ProgramFd, ProgramError>,
    ) -> Result<Self> {
        Ok(Self {
            id: info.context("a loaded program has an id")?.id(),
            fd: fd
                .context("a loaded program has a descriptor")?
                .as_fd()
                .as_raw_fd(),
        })
    }

    fn fdinfo(&self) -> String {
        format!("/proc/self/fdinfo/{}", self.fd)
    }
}

/// Loads and attaches each program whose tracepoint exists.
fn attach_tracepoints(
    ebpf: &mut Ebpf,
    programs: &[(&'static str, &'static str)],
    missing: &mut Vec<String>,
) -> Result<Vec<Attached>, AttachError> {
    let btf = Btf::from_sys_fs().map_err(|error| AttachError::BadBtf {
        path: BTF,
        reason: error.to_string(),
    })?;
    let mut attached = Vec::new();
    for &(name, tracepoint) in programs {
        let program: &mut BtfTracePoint = ebpf
            .program_mut(name)
            .with_context(|| format!("the eBPF object has no program {name}"))?
            .try_into()
            .context("not a BTF tracepoint")?;
        match program.load(tracepoint, &btf) {
            Err(ProgramError::Btf(BtfError::UnknownBtfTypeName { .. })) => {
                if tracepoint == GROUND {
                    let release = release();
                    return Err(AttachError::NoTracepoint {
                        tracepoint,
                        release,
                    });
                }
                missing.push(format!("tracepoint {tracepoint}"));
                continue;
            }
            loaded => loaded.map_err(|error| refused(name, &error))?,
        }
        program.attach().map_err(|error| refused(name, &error))?;
        attached.push(Attached::new(program.info(), program.fd())?);
    }
    Ok(attached)
}

/// Loads and attaches what the root cgroup sees, where there is a cgroup v2 hierarchy: segments, and
/// who lets go of sockets.
fn attach_to_cgroup(
    ebpf: &mut Ebpf,
    missing: &mut Vec<String>,
) -> Result<Vec<Attached>, AttachError> {
    let Some(root) = crate::process::cgroup2_root()? else {
        missing.push("cgroup v2 hierarchy (mounted)".to_owned());
        return Ok(Vec::new());
    };
    let root = File::open(&root).with_context(|| format!("opening {}", root.display()))?;
    let mut attached = Vec::new();
    for &(name, direction) in SEGMENT_PROGRAMS {
        let program: &mut CgroupSkb = ebpf
            .program_mut(name)
            .with_context(|| format!("the eBPF object has no program {name}"))?
            .try_into()
            .context("not a cgroup_skb program")?;
        program
            .load()
            .and_then(|()| program.attach(&root, direction, CgroupAttachMode::Single))
            .map_err(|error| refused(name, &error))?;
        attached.push(Attached::new(program.info(), program.fd())?);
    }
    let program: &mut CgroupSock = ebpf
        .program_mut(RELEASE_PROGRAM)
        .with_context(|| format!("the eBPF object has no program {RELEASE_PROGRAM}"))?
        .try_into()
        .context("not a cgroup_sock program")?;
    match program
        .load()
        .and_then(|()| program.attach(&root, CgroupAttachMode::Single))
    {
        Ok(_) => attached.push(Attached::new(program.info(), program.fd())?),
        Err(error) => {
            debug!(%error, "refused");
            missing.push("hook cgroup/sock_release with these helpers".to_owned());
        }
    }
    Ok(attached)
}

fn is_any_loaded(ids: &[u32]) -> bool {
    loaded_programs().any(|program| program.is_ok_and(|program| ids.contains(&program.id())))
}

fn take_map(ebpf: &mut Ebpf, name: &str) -> Result<aya::maps::Map> {
    ebpf.take_map(name)
        .with_context(|| format!("the eBPF object has no map {name}"))
}

/// The kernel writes its log while it verifies, which costs time: only for who asked (`-vv`).
fn verifier_log_level() -> VerifierLogLevel {
    if log::log_enabled!(log::Level::Debug) {
        VerifierLogLevel::default()
    } else {
        VerifierLogLevel::DISABLE
    }
}

/// The programs' own log, where somebody asked for it (`-vv`); without, its code is not even loaded.
fn kernel_log_level() -> u8 {
    if log::log_enabled!(log::Level::Debug) {
        4
    } else {
        0
    }
}

fn kernel_logger(ebpf: &mut Ebpf) -> Option<EbpfLogger<&'static dyn log::Log>> {
    if kernel_log_level() == 0 {
        return None;
    }
    EbpfLogger::init(ebpf)
        .inspect_err(|error| warn!(%error, "no log of the eBPF programs"))
        .ok()
}
