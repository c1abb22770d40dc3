//! Loads the programs with the layout and the filter, and attaches them. Dropping a [`Probe`]
//! detaches them. Nothing is pinned: the links are file descriptors, so that the kernel detaches the
//! programs however the tracer ends.

use std::{io::Read as _, ops::ControlFlow, os::fd::OwnedFd};

use anyhow::{Context as _, Result};
use aya::{Ebpf, EbpfLoader, VerifierLogLevel, maps::PerCpuArray};
use aya_log::EbpfLogger;
use flate2::read::ZlibDecoder;
use rustix::thread::{MembarrierCommand, membarrier};
use tokio::io::unix::AsyncFd;
use tracer_ebpf::{filter::Listener, record::MAX_RESET_REASONS};
use tracing::{debug, warn};

use super::{
    Filter, Lost, Missing, Refused,
    attach::{AttachedProgram, attach},
    attach_error::{AttachError, is_permission},
    btf, filter,
    layout::Layout,
    loss::Counters,
    pid_namespace::{self, PidNamespace},
    rings::{Rings, Sizes},
};
use crate::{core::input::ProgramCost, privileges::kernel_version};

/// The attached programs and their ring buffers.
pub struct Probe {
    rings: Rings,
    counters: Counters,
    logger: Option<EbpfLogger<&'static dyn log::Log>>,
    attached: Vec<AttachedProgram>,
    missing: Vec<Missing>,
    /// Holds the programs.
    ebpf: Ebpf,
}

/// Which records the programs make, beside those that they always make.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Records {
    /// Of each segment; else only of those that open or close a connection or change the direction of its data.
    pub every_segment: bool,
    /// Samples of sockets that carry much.
    pub samples: bool,
    /// The programs count every record that they make.
    pub audit: bool,
}

impl Probe {
    /// Loads and attaches everything. The ring buffers hold at least `ring_bytes`, rounded up to a power of two of at
    /// least one page.
    ///
    /// # Errors
    /// [`AttachError`]; nothing stays attached then.
    pub fn attach(filter: &Filter, ring_bytes: u32, records: Records) -> Result<Self, AttachError> {
        let btf = btf::read()?;
        let layout = Layout::resolve(&btf::parse(&btf)?);
        let namespace = PidNamespace::shown();
        let sizes = Sizes::of(ring_bytes, kernel_version());
        let mut ebpf = load(&layout, filter, namespace, sizes, records)?;
        filter.write(&mut ebpf, |ebpf, ids| {
            pid_namespace::initial_ids(namespace, ebpf, &btf, ids)
        })?;
        let (attached, mut missing) = attach(&mut ebpf, &btf, filter.needs(records.samples))?;
        missing.extend(layout.missing());
        if namespace == PidNamespace::Foreign {
            missing.push(Missing::Proc);
        }
        let first = take_map(&mut ebpf, "EVENTS")?;
        let overflow = take_map(&mut ebpf, "OVERFLOW")?;
        let lost = take_map(&mut ebpf, "LOST")?;
        let emitted = take_map(&mut ebpf, "EMITTED")?;
        Ok(Self {
            rings: Rings::open(first, overflow, sizes)?,
            counters: Counters::open(
                PerCpuArray::try_from(lost).context("opening the loss counters")?,
                PerCpuArray::try_from(emitted).context("opening the counters of records")?,
                attached
                    .iter()
                    .filter(|program| program.hook.may_be_skipped())
                    .map(AttachedProgram::fdinfo),
            )?,
            logger: kernel_logger(&mut ebpf),
            attached,
            missing,
            ebpf,
        })
    }

    /// What this kernel lacks of what the tracer uses.
    #[must_use]
    pub fn missing(&self) -> &[Missing] {
        &self.missing
    }

    /// Hands the waiting records to `each` until that breaks, and writes out the programs' log.
    ///
    /// # Errors
    /// When the kernel's counters cannot be read, or it does not map the second ring buffer.
    pub fn drain(&mut self, each: impl FnMut(&[u8]) -> ControlFlow<()>) -> Result<()> {
        self.rings.drain(&self.counters, each)?;
        if let Some(logger) = &mut self.logger {
            logger.flush();
        }
        Ok(())
    }

    /// Traces these sockets as well, outside the filter: the first of them, as many as there is room
    /// for. Returns how many.
    ///
    /// # Errors
    /// When the kernel refuses one for another reason.
    pub fn remember(&mut self, cookies: &[u64]) -> Result<usize> {
        filter::remember(&mut self.ebpf, cookies)
    }

    /// Makes known where sockets listen already: what a followed process does there is traced. Of more than the
    /// kernel has room for, those that are not used are forgotten.
    ///
    /// # Errors
    /// When the kernel refuses one.
    pub fn listening(&mut self, listeners: &[Listener]) -> Result<()> {
        filter::add_listening(&mut self.ebpf, listeners)
    }

    /// What each program has cost, where the kernel counts it (`kernel.bpf_stats_enabled`).
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

    /// What has been lost.
    ///
    /// # Errors
    /// When the kernel's counters cannot be read.
    pub fn lost(&self) -> Result<Lost> {
        self.counters.read()
    }

    /// How many connections the filter refused.
    ///
    /// # Errors
    /// When the kernel's counters cannot be read.
    pub fn refused(&self) -> Result<Refused> {
        Refused::read(&self.ebpf)
    }

    /// How many records were made with an audit, those without room in the ring included.
    ///
    /// # Errors
    /// When the kernel's counters cannot be read.
    pub fn emitted(&self) -> Result<u64> {
        self.counters.emitted()
    }

    /// Detaches the programs, and waits until none of them runs any longer. No record and no count
    /// comes after that.
    pub fn detach(&mut self) {
        for program in &mut self.attached {
            program.detach();
        }
        // A program runs in a read-side critical section of RCU. This waits for those that have begun
        // (membarrier(2)).
        if let Err(error) = membarrier(MembarrierCommand::Global) {
            debug!(%error, "the last records may be missed");
        }
    }

    /// Becomes readable when the first ring buffer is half full.
    ///
    /// # Errors
    /// When the descriptor cannot be watched.
    #[expect(
        unsafe_code,
        reason = "tokio's promise about the descriptor, which an OwnedFd keeps"
    )]
    pub fn half_full(&self) -> Result<AsyncFd<OwnedFd>> {
        let ring = self.rings.as_fd().try_clone_to_owned()?;
        // SAFETY: an `OwnedFd` stays open, and the same, until it is dropped.
        unsafe { AsyncFd::register(ring) }
            .map_err(std::io::Error::from)
            .context("watching the ring buffer")
    }
}

fn load(
    layout: &Layout,
    filter: &Filter,
    namespace: PidNamespace,
    sizes: Sizes,
    records: Records,
) -> Result<Ebpf, AttachError> {
    let pid_namespace = namespace.global();
    let wake_at_bytes = u64::from(sizes.first / 2);
    let has_overflow = u8::from(sizes.overflow.is_some());
    let filter_by = filter.kinds();
    let cgroup_levels = filter.cgroup_levels();
    let log_level = kernel_log_level();
    let follows = u8::from(filter.follows_fronts());
    let own = filter.own.unwrap_or(Listener { netns: 0, port: 0 });
    let every_segment = u8::from(records.every_segment);
    let audit = u8::from(records.audit);
    let retransmit_has_error = u8::from(layout.retransmit_has_error);
    let reset_has_reason = u8::from(layout.reset_reasons.is_some());
    let reset_reasons = layout.reset_reasons.unwrap_or([0; MAX_RESET_REASONS]);
    let has_mptcp = u8::from(layout.has_mptcp);
    let globals: Vec<(&str, u32)> = layout.globals().collect();
    let mut loader = EbpfLoader::new();
    loader
        .verifier_log_level(verifier_log_level())
        .map_max_entries("EVENTS", sizes.first)
        .map_max_entries("OVERFLOW", sizes.of_overflow())
        .override_global("WAKE_AT_BYTES", &wake_at_bytes, true)
        .override_global("HAS_OVERFLOW", &has_overflow, true)
        .override_global("FILTER_BY", &filter_by, true)
        .override_global("FOLLOWS", &follows, true)
        .override_global("OWN_PORT", &own.port, true)
        .override_global("OWN_NETNS", &own.netns, true)
        .override_global("PID_NAMESPACE", &pid_namespace, true)
        .override_global("CGROUP_LEVELS", &cgroup_levels, true)
        .override_global("AUDIT", &audit, true)
        .override_global("EVERY_SEGMENT", &every_segment, true)
        .override_global("RETRANSMIT_HAS_ERROR", &retransmit_has_error, true)
        .override_global("RESET_HAS_REASON", &reset_has_reason, true)
        .override_global("RESET_REASONS", &reset_reasons, true)
        .override_global("HAS_MPTCP", &has_mptcp, true)
        .override_global(aya_log::LEVEL, &log_level, false);
    for (name, value) in &globals {
        loader.override_global(name, value, true);
    }
    loader.load(&object()?).map_err(|error| {
        if is_permission(&error) {
            AttachError::not_permitted()
        } else {
            AttachError::Other(anyhow::Error::new(error).context("loading the eBPF object"))
        }
    })
}

/// The object, which the build has compressed.
fn object() -> Result<Vec<u8>> {
    const PACKED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/programs.zlib"));
    let mut object = Vec::new();
    ZlibDecoder::new(PACKED)
        .read_to_end(&mut object)
        .context("unpacking the eBPF object")?;
    Ok(object)
}

fn take_map(ebpf: &mut Ebpf, name: &str) -> Result<aya::maps::Map> {
    ebpf.take_map(name)
        .with_context(|| format!("the eBPF object has no map {name}"))
}

/// The verifier's log costs time: only with `-vv`. Without any, the kernel answers EINVAL where aya asks why a program
/// was refused.
fn verifier_log_level() -> VerifierLogLevel {
    if log::log_enabled!(log::Level::Debug) {
        VerifierLogLevel::default()
    } else {
        VerifierLogLevel::STATS
    }
}

/// The programs' own log, with `-vv`. Without it, the verifier removes the code as dead.
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
