//! Why attaching failed, in one sentence with what to do about it.

use aya::programs::ProgramError;
use tracer_ebpf::hook::Hook;
use tracing::debug;

use crate::privileges::lacking;

/// The kernel's answer without permission. The verifier rejects with EACCES or EINVAL.
const EPERM: i32 = rustix::io::Errno::PERM.raw_os_error();
/// The verifier's, where a program has more instructions than it follows (`BPF_COMPLEXITY_LIMIT_INSNS`).
const E2BIG: i32 = rustix::io::Errno::TOOBIG.raw_os_error();

#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    #[error(
        "this kernel has no type information at {path}: the tracer needs one built with CONFIG_DEBUG_INFO_BTF=y (most distributions' kernels since 5.10 are)"
    )]
    NoBtf { path: &'static str },
    #[error("the kernel's type information at {path} cannot be read: {reason}")]
    BadBtf { path: &'static str, reason: String },
    /// Helpers that the programs call are missing.
    #[error(
        "this kernel (Linux {release}) offers tracing programs no {what}, which the tracer needs: Linux {since} and later do; `tracer read` and `tracer replay` work here"
    )]
    TooOld {
        release: String,
        what: String,
        since: &'static str,
    },
    #[error(
        "the kernel does not permit loading eBPF programs without {lacking}: run the tracer as root (sudo), or with the capabilities CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN"
    )]
    Lacks { lacking: String },
    /// The capabilities are there, and are not enough.
    #[error(
        "the kernel does not permit loading eBPF programs, although the tracer has the capabilities: in a user namespace (a rootless container) they have no effect, and lockdown or a security module may forbid it; run the tracer on the host, as root"
    )]
    NotPermitted,
    /// The capabilities are there, and the process has a seccomp(2) filter.
    #[error(
        "the kernel does not permit loading eBPF programs, although the tracer has the capabilities: it has a seccomp filter, and the profiles of some container runtimes forbid bpf(2), so choose one that permits it (--security-opt seccomp=PROFILE); in a user namespace (a rootless container) the capabilities have no effect"
    )]
    Filtered,
    /// The tracepoint that everything needs is missing.
    #[error(
        "this kernel (Linux {release}) has no tracepoint {}, which the tracer needs: Linux {} and later have it",
        hook.tracepoint().unwrap_or_default(),
        hook.since
    )]
    NoTracepoint {
        hook: &'static Hook,
        release: String,
    },
    #[error(
        "Linux {release} refused the eBPF program {program}: {reason}; `-v` shows the verifier's log"
    )]
    Refused {
        program: &'static str,
        release: String,
        reason: String,
    },
    #[error(transparent)]
    Other(#[from] anyhow::Error),
}

impl AttachError {
    /// The reason behind EPERM.
    pub(super) fn not_permitted() -> Self {
        match &*lacking() {
            [] if has_seccomp_filter() => Self::Filtered,
            [] => Self::NotPermitted,
            [others @ .., last] if !others.is_empty() => Self::Lacks {
                lacking: format!("{} and {last}", others.join(", ")),
            },
            some => Self::Lacks {
                lacking: some.join(", "),
            },
        }
    }
}

/// Whether a seccomp(2) filter decides on the system calls of this process.
fn has_seccomp_filter() -> bool {
    const FILTER: u32 = 2;
    let status = procfs::process::Process::myself().and_then(|process| process.status());
    status.is_ok_and(|status| status.seccomp == Some(FILTER))
}

pub(super) fn refused(program: &'static str, error: &ProgramError) -> AttachError {
    if let ProgramError::LoadError { verifier_log, .. } = error {
        debug!(program, %verifier_log, "refused");
    }
    if is_permission(error) {
        return AttachError::not_permitted();
    }
    let reason = match errno(error) {
        Some(E2BIG) => {
            "its verifier gives up, since it would have to follow too many ways".to_owned()
        }
        _ => innermost(error).to_string(),
    };
    AttachError::Refused {
        program,
        release: release(),
        reason,
    }
}

pub(super) fn is_permission(error: &(dyn std::error::Error + 'static)) -> bool {
    errno(error) == Some(EPERM)
}

fn errno(error: &(dyn std::error::Error + 'static)) -> Option<i32> {
    let error = innermost(error).downcast_ref::<std::io::Error>()?;
    error.raw_os_error()
}

fn innermost<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> &'a (dyn std::error::Error + 'static) {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost
}

/// `uname -r`.
pub(super) fn release() -> String {
    rustix::system::uname()
        .release()
        .to_string_lossy()
        .into_owned()
}
