//! Attaches the programs of [`HOOKS`], each at its hook. A hook that this kernel lacks, or a program
//! that it refuses, costs what depends on it and no more; only a required one ends the run.

mod load;

use std::{
    fs::File,
    os::fd::{AsFd as _, AsRawFd as _, RawFd},
};

use anyhow::{Context as _, Result};
use aya::{
    Btf, BtfError, Ebpf, Endianness,
    programs::{
        BtfTracePoint, CgroupAttachMode, CgroupSkb, CgroupSkbAttachType, CgroupSock, FEntry,
        Program, ProgramError,
    },
};
use tracer_ebpf::hook::{HOOKS, Hook, Need, Point};
use tracing::debug;

use self::load::{Loaded, load};
use super::{
    Missing,
    attach_error::{AttachError, is_permission, refused, release},
    btf::unreadable,
    cgroups::CgroupRoot,
    required_helpers,
};

/// What the filter and the outputs ask for besides the programs that are always attached.
#[derive(Clone, Copy)]
pub(super) struct Needs {
    /// The children of processes.
    pub(super) descendants: bool,
    /// The ends of processes.
    pub(super) exits: bool,
    /// Samples of sockets.
    pub(super) samples: bool,
}

/// An attached program. Dropped, it is detached.
pub(super) struct AttachedProgram {
    pub(super) hook: &'static Hook,
    fd: RawFd,
    link: Option<Box<dyn Send>>,
}

impl AttachedProgram {
    pub(super) fn detach(&mut self) {
        self.link = None;
    }

    pub(super) fn fdinfo(&self) -> String {
        format!("/proc/self/fdinfo/{}", self.fd)
    }
}

/// Why a program is not attached.
enum Failure {
    /// The kernel has no such hook.
    NoHook,
    /// The kernel refuses the program.
    Refused(ProgramError),
    /// Something else is wrong.
    Other(anyhow::Error),
}

impl From<ProgramError> for Failure {
    fn from(error: ProgramError) -> Self {
        match error {
            ProgramError::Btf(BtfError::UnknownBtfTypeName { .. }) => Self::NoHook,
            error => Self::Refused(error),
        }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Other(error)
    }
}

/// Attaches every program that this kernel has a hook for. Returns what is missing, too.
pub(super) fn attach(
    ebpf: &mut Ebpf,
    btf: &[u8],
    needs: Needs,
) -> Result<(Vec<AttachedProgram>, Vec<Missing>), AttachError> {
    let root_cgroup = CgroupRoot::find()?;
    let is_wanted = |hook: &Hook| {
        let is_needed = match hook.need {
            Need::ProcessFilter => needs.descendants,
            Need::ProcessIds => needs.exits,
            Need::Samples => needs.samples,
            _ => true,
        };
        is_needed && (root_cgroup.is_some() || !hook.point.is_cgroup())
    };
    let type_information = btf;
    let btf = Btf::parse(btf, Endianness::default()).map_err(unreadable)?;
    let loaded = load::at_once(ebpf, &btf, |hook| {
        !matches!(hook.need, Need::InsteadOf(_)) && is_wanted(hook)
    });
    let mut attaching = Attaching {
        ebpf,
        type_information,
        btf,
        root_cgroup: root_cgroup.as_ref(),
        loaded,
        attached: Vec::new(),
        missing: Vec::new(),
    };
    match &attaching.root_cgroup {
        Some(root) if root.is_whole => {}
        Some(_) => attaching.missing.push(Missing::WholeCgroup2),
        None => attaching.missing.push(Missing::Cgroup2),
    }
    for hook in HOOKS.iter().filter(|hook| is_wanted(hook)) {
        attaching.hook(hook)?;
    }
    attaching.forget_replaced();
    Ok((attaching.attached, attaching.missing))
}

struct Attaching<'a> {
    ebpf: &'a mut Ebpf,
    /// What `btf` was read from.
    type_information: &'a [u8],
    btf: Btf,
    root_cgroup: Option<&'a CgroupRoot>,
    /// What became of the programs that were loaded beforehand.
    loaded: Loaded,
    attached: Vec<AttachedProgram>,
    missing: Vec<Missing>,
}

impl Attaching<'_> {
    fn hook(&mut self, hook: &'static Hook) -> Result<(), AttachError> {
        match hook.need {
            Need::InsteadOf(tracepoint) => {
                if self.lacks(tracepoint) {
                    self.quietly(hook);
                }
                return Ok(());
            }
            // Without it, what it would record is counted as lost.
            Need::SecondOf(first) => {
                if self.attached.iter().any(|one| one.hook.program == first) {
                    self.quietly(hook);
                }
                return Ok(());
            }
            Need::Required
            | Need::Optional
            | Need::ProcessFilter
            | Need::ProcessIds
            | Need::Samples => {}
        }
        match (self.program(hook), hook.need) {
            (Ok(Some(program)), _) => self.attached.push(program),
            // Without cgroup v2, which is missing as a whole.
            (Ok(None), _) => {}
            (Err(Failure::NoHook), Need::Required) => {
                return Err(AttachError::NoTracepoint {
                    hook,
                    release: release(),
                });
            }
            (Err(Failure::NoHook), _) => self.missing.push(Missing::Hook(hook)),
            (Err(Failure::Refused(error)), need) => {
                let refused = refused(hook.program, &error);
                // Without permission no program loads. A verifier's rejection costs this program.
                if is_permission(&error) {
                    return Err(refused);
                }
                if need == Need::Required {
                    let types = super::btf::parse(self.type_information)?;
                    return Err(required_helpers::too_old(&types).unwrap_or(refused));
                }
                self.missing.push(Missing::Program {
                    hook,
                    reason: refused.to_string(),
                });
            }
            (Err(Failure::Other(error)), _) => return Err(error.into()),
        }
        Ok(())
    }

    /// Attaches a program without which less is known. Some kernels have no trampolines, which a function needs,
    /// and report that in different ways.
    fn quietly(&mut self, hook: &'static Hook) {
        match self.program(hook) {
            Ok(program) => self.attached.extend(program),
            Err(Failure::NoHook) => debug!(program = hook.program, "not attached: no such hook"),
            Err(Failure::Refused(error)) => debug!(program = hook.program, %error, "not attached"),
            Err(Failure::Other(error)) => debug!(program = hook.program, %error, "not attached"),
        }
    }

    fn lacks(&self, tracepoint: &str) -> bool {
        let mut missing = self.missing.iter();
        missing.any(
            |part| matches!(part, Missing::Hook(hook) if hook.tracepoint() == Some(tracepoint)),
        )
    }

    /// A tracepoint is not missing where a program at a function replaces it.
    fn forget_replaced(&mut self) {
        let attached = &self.attached;
        self.missing.retain(|part| match part {
            Missing::Hook(hook) => !attached.iter().any(|program| {
                matches!(program.hook.need, Need::InsteadOf(name) if hook.tracepoint() == Some(name))
            }),
            _ => true,
        });
    }

    /// Loads and attaches a program; `None` for one of a cgroup where there is none.
    fn program(&mut self, hook: &'static Hook) -> Result<Option<AttachedProgram>, Failure> {
        let program = self
            .ebpf
            .program_mut(hook.program)
            .with_context(|| format!("the eBPF object has no program {}", hook.program))?;
        let directory = match (hook.point.is_cgroup(), self.root_cgroup) {
            (true, None) => return Ok(None),
            (_, root) => root.map(CgroupRoot::directory),
        };
        let loaded = self.loaded.remove(hook.program);
        loaded.unwrap_or_else(|| load(program, hook.point, &self.btf))?;
        let link: Box<dyn Send> = match (hook.point, directory) {
            (Point::Tracepoint(_), _) => {
                let program: &mut BtfTracePoint = typed(program)?;
                let link = program.attach()?;
                Box::new(program.take_link(link)?)
            }
            (Point::Function(_), _) => {
                let program: &mut FEntry = typed(program)?;
                let link = program.attach()?;
                Box::new(program.take_link(link)?)
            }
            (Point::CgroupIngress, Some(root)) => {
                segments(program, root, CgroupSkbAttachType::Ingress)?
            }
            (Point::CgroupEgress, Some(root)) => {
                segments(program, root, CgroupSkbAttachType::Egress)?
            }
            (Point::CgroupRelease, Some(root)) => {
                let program: &mut CgroupSock = typed(program)?;
                let link = program.attach(root, CgroupAttachMode::Single)?;
                Box::new(program.take_link(link)?)
            }
            (_, None) => return Ok(None),
        };
        Ok(Some(AttachedProgram {
            hook,
            fd: program.fd()?.as_fd().as_raw_fd(),
            link: Some(link),
        }))
    }
}

fn segments(
    program: &mut Program,
    root: &File,
    direction: CgroupSkbAttachType,
) -> Result<Box<dyn Send>, Failure> {
    let program: &mut CgroupSkb = typed(program)?;
    let link = program.attach(root, direction, CgroupAttachMode::Single)?;
    Ok(Box::new(program.take_link(link)?))
}

pub(super) fn typed<'a, T>(program: &'a mut Program) -> Result<&'a mut T>
where
    &'a mut T: TryFrom<&'a mut Program, Error = ProgramError>,
{
    program
        .try_into()
        .context("a program of another type than its hook takes")
}
