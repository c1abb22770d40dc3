//! Attaches the programs, each where it belongs. What this kernel lacks or refuses switches off what
//! rests on it, not the run; only the tracepoint that everything rests on must be there.

use std::{
    fs::File,
    os::fd::{AsFd as _, AsRawFd as _, RawFd},
};

use anyhow::{Context as _, Result};
use aya::{
    Btf, BtfError, Ebpf, Endianness,
    programs::{
        BtfTracePoint, CgroupAttachMode, CgroupSkb, CgroupSkbAttachType, CgroupSock, FEntry,
        Program, ProgramError, ProgramFd,
    },
};
use tracing::debug;

use super::{
    attach_error::{AttachError, is_permission, refused, release},
    btf::unreadable,
};
use crate::{core::input::Missing, kernel::cgroups::cgroup2_root};

/// Everything rests on this tracepoint; the others add to what is known and may be missing.
pub(super) const GROUND: &str = "inet_sock_set_state";

/// Each program and the tracepoint it belongs to.
const PROGRAMS: &[(&str, &str)] = &[
    ("tracer_state", GROUND),
    ("tracer_read", "tcp_rcv_space_adjust"),
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

/// The program that sees who sends, and its tracepoint, which is there from Linux 6.3 on.
const SEND_PROGRAM: (&str, &str) = ("tracer_send", "sock_send_length");

/// Before, the programs that see the same, and the kernel's functions that they are called at the
/// start of.
const SEND_FUNCTIONS: &[(&str, &str)] = &[
    ("tracer_sendmsg", "tcp_sendmsg"),
    ("tracer_sendpage", "tcp_sendpage"),
];

/// The program that sees who lets go of a socket.
const RELEASE_PROGRAM: &str = "tracer_release";

/// The programs that see segments, and where they are attached.
const SEGMENT_PROGRAMS: &[(&str, CgroupSkbAttachType)] = &[
    ("tracer_in", CgroupSkbAttachType::Ingress),
    ("tracer_out", CgroupSkbAttachType::Egress),
];

/// What came of it.
pub(super) struct Attached {
    /// At tracepoints, and at functions: a program that is interrupted by what would call it once
    /// more is not called.
    pub(super) programs: Vec<AttachedProgram>,
    /// At the root cgroup: called each time.
    pub(super) cgroup_programs: Vec<AttachedProgram>,
    pub(super) missing: Vec<Missing>,
}

/// An attached program.
pub(super) struct AttachedProgram {
    fd: RawFd,
    /// Dropped, it detaches.
    link: Option<Box<dyn Send>>,
}

impl AttachedProgram {
    /// A program that was attached with this link, if it was.
    fn of(
        done: Result<impl Send + 'static, ProgramError>,
        fd: Result<&ProgramFd, ProgramError>,
    ) -> Result<Result<Self, ProgramError>> {
        let link = match done {
            Ok(link) => link,
            Err(error) => return Ok(Err(error)),
        };
        Ok(Ok(Self {
            fd: fd
                .context("a loaded program has a descriptor")?
                .as_fd()
                .as_raw_fd(),
            link: Some(Box::new(link)),
        }))
    }

    pub(super) fn detach(&mut self) {
        self.link = None;
    }

    pub(super) fn fdinfo(&self) -> String {
        format!("/proc/self/fdinfo/{}", self.fd)
    }
}

/// Attaches everything that this kernel has a place for.
pub(super) fn attach(
    ebpf: &mut Ebpf,
    btf: &[u8],
    follows_processes: bool,
) -> Result<Attached, AttachError> {
    let mut attaching = Attaching {
        btf: Btf::parse(btf, Endianness::default()).map_err(unreadable)?,
        ebpf,
        attached: Attached {
            programs: Vec::new(),
            cgroup_programs: Vec::new(),
            missing: Vec::new(),
        },
    };
    if follows_processes {
        attaching.tracepoints(PROCESS_PROGRAMS)?;
    }
    attaching.tracepoints(PROGRAMS)?;
    attaching.send()?;
    attaching.cgroup()?;
    Ok(attaching.attached)
}

struct Attaching<'a> {
    ebpf: &'a mut Ebpf,
    btf: Btf,
    attached: Attached,
}

impl Attaching<'_> {
    fn tracepoints(
        &mut self,
        programs: &[(&'static str, &'static str)],
    ) -> Result<(), AttachError> {
        for &(name, tracepoint) in programs {
            let done = self.tracepoint(name, tracepoint)?;
            let unknown = matches!(
                done,
                Err(ProgramError::Btf(BtfError::UnknownBtfTypeName { .. }))
            );
            if unknown && tracepoint == GROUND {
                return Err(AttachError::NoTracepoint {
                    tracepoint,
                    release: release(),
                });
            }
            match done {
                Ok(()) => {}
                Err(_) if unknown => self.miss(Missing::tracepoint(tracepoint)),
                Err(error) if tracepoint == GROUND => return Err(refused(name, &error)),
                Err(error) => self.note_refused(name, &error)?,
            }
        }
        Ok(())
    }

    /// Who sends: at the tracepoint, or at the functions that did the same before it was there.
    fn send(&mut self) -> Result<(), AttachError> {
        let (name, tracepoint) = SEND_PROGRAM;
        match self.tracepoint(name, tracepoint)? {
            Ok(()) => return Ok(()),
            Err(ProgramError::Btf(BtfError::UnknownBtfTypeName { .. })) => {}
            Err(error) => return self.note_refused(name, &error),
        }
        let mut any = false;
        for &(name, function) in SEND_FUNCTIONS {
            match self.function(name, function)? {
                Ok(()) => any = true,
                // Some kernels have no trampolines, and say so in ways that differ.
                Err(error) => debug!(%error, function, "not attached"),
            }
        }
        if !any {
            self.miss(Missing::tracepoint(tracepoint));
        }
        Ok(())
    }

    /// What the root cgroup sees, where there is a cgroup v2 hierarchy: segments, and who lets go of
    /// sockets.
    fn cgroup(&mut self) -> Result<(), AttachError> {
        let Some(root) = cgroup2_root()? else {
            self.miss(Missing::cgroup());
            return Ok(());
        };
        let root = File::open(&root).with_context(|| format!("opening {}", root.display()))?;
        for &(name, direction) in SEGMENT_PROGRAMS {
            let program: &mut CgroupSkb = find(self.ebpf, name)?
                .try_into()
                .context("not a cgroup_skb program")?;
            let done = program
                .load()
                .and_then(|()| program.attach(&root, direction, CgroupAttachMode::Single))
                .and_then(|link| program.take_link(link));
            let done = AttachedProgram::of(done, program.fd())?;
            self.note(name, done)?;
        }
        let program: &mut CgroupSock = find(self.ebpf, RELEASE_PROGRAM)?
            .try_into()
            .context("not a cgroup_sock program")?;
        let done = program
            .load()
            .and_then(|()| program.attach(&root, CgroupAttachMode::Single))
            .and_then(|link| program.take_link(link));
        let done = AttachedProgram::of(done, program.fd())?;
        self.note(RELEASE_PROGRAM, done)
    }

    fn tracepoint(
        &mut self,
        name: &'static str,
        tracepoint: &str,
    ) -> Result<Result<(), ProgramError>, AttachError> {
        let program: &mut BtfTracePoint = find(self.ebpf, name)?
            .try_into()
            .context("not a BTF tracepoint")?;
        let done = program
            .load(tracepoint, &self.btf)
            .and_then(|()| program.attach())
            .and_then(|link| program.take_link(link));
        let done = AttachedProgram::of(done, program.fd())?;
        Ok(done.map(|program| self.attached.programs.push(program)))
    }

    fn function(
        &mut self,
        name: &'static str,
        function: &str,
    ) -> Result<Result<(), ProgramError>, AttachError> {
        let program: &mut FEntry = find(self.ebpf, name)?
            .try_into()
            .context("not at a function's start")?;
        let done = program
            .load(function, &self.btf)
            .and_then(|()| program.attach())
            .and_then(|link| program.take_link(link));
        let done = AttachedProgram::of(done, program.fd())?;
        Ok(done.map(|program| self.attached.programs.push(program)))
    }

    fn note(
        &mut self,
        name: &'static str,
        done: Result<AttachedProgram, ProgramError>,
    ) -> Result<(), AttachError> {
        match done {
            Ok(program) => {
                self.attached.cgroup_programs.push(program);
                Ok(())
            }
            Err(error) => self.note_refused(name, &error),
        }
    }

    /// Who may not load programs at all is to know; what the verifier takes exception to is missing.
    fn note_refused(
        &mut self,
        name: &'static str,
        error: &ProgramError,
    ) -> Result<(), AttachError> {
        let refused = refused(name, error);
        if is_permission(error) {
            return Err(refused);
        }
        self.miss(Missing::program(name, &refused));
        Ok(())
    }

    fn miss(&mut self, missing: Missing) {
        self.attached.missing.push(missing);
    }
}

fn find<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut Program> {
    ebpf.program_mut(name)
        .with_context(|| format!("the eBPF object has no program {name}"))
}
