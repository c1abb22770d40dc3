//! Why attaching failed, in one sentence that says what to do.

use aya::programs::ProgramError;
use tracing::debug;

use crate::privileges::lacking;

/// What the kernel answers who may not; the verifier's refusals are EACCES and EINVAL.
const EPERM: i32 = rustix::io::Errno::PERM.raw_os_error();

/// Why the programs could not be attached; each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// No BTF.
    #[error(
        "this kernel has no type information at {path}: the tracer needs one built with CONFIG_DEBUG_INFO_BTF=y (most distributions' kernels since 5.10 are)"
    )]
    NoBtf {
        /// Where it was looked for.
        path: &'static str,
    },
    /// The BTF is there and cannot be read or understood.
    #[error("the kernel's type information at {path} cannot be read: {reason}")]
    BadBtf {
        /// Where it was looked for.
        path: &'static str,
        /// What the parser said.
        reason: String,
    },
    /// Neither root nor all of the capabilities.
    #[error(
        "loading eBPF programs was not permitted, for want of {lacking}: run the tracer as root (sudo), or with the capabilities CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN"
    )]
    Lacks {
        /// The names of those that are not there.
        lacking: String,
    },
    /// The capabilities are there, and do not suffice.
    #[error(
        "loading eBPF programs was not permitted, although the tracer has the capabilities for it: they do not count within a user namespace (a rootless container), and lockdown or a security module may forbid it; run the tracer on the host, as root"
    )]
    NotPermitted,
    /// The tracepoint that everything rests on is missing.
    #[error(
        "this kernel (Linux {release}) has no tracepoint {tracepoint}, which the tracer rests on; it is there from Linux 4.16"
    )]
    NoTracepoint {
        /// The tracepoint.
        tracepoint: &'static str,
        /// `uname -r`.
        release: String,
    },
    /// The kernel refused a program for another reason.
    #[error(
        "Linux {release} refused the eBPF program {program}: {reason}; `-v` shows the verifier's log"
    )]
    Refused {
        /// The program's name.
        program: &'static str,
        /// `uname -r`.
        release: String,
        /// The kernel's words.
        reason: String,
    },
    /// Anything else.
    #[error(transparent)]
    Other(#[from] anyhow::Error),
}

impl AttachError {
    /// What the kernel means by EPERM.
    pub(super) fn not_permitted() -> Self {
        match &*lacking() {
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

pub(super) fn refused(program: &'static str, error: &ProgramError) -> AttachError {
    if let ProgramError::LoadError { verifier_log, .. } = error {
        debug!(program, %verifier_log, "refused");
    }
    if is_permission(error) {
        return AttachError::not_permitted();
    }
    AttachError::Refused {
        program,
        release: release(),
        reason: innermost(error).to_string(),
    }
}

pub(super) fn is_permission(error: &(dyn std::error::Error + 'static)) -> bool {
    innermost(error)
        .downcast_ref::<std::io::Error>()
        .is_some_and(|error| error.raw_os_error() == Some(EPERM))
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
