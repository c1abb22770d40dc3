//! Why attaching failed, in one sentence that says what to do.

use aya::programs::ProgramError;
use tracing::debug;

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
    /// Neither root nor the capabilities.
    #[error(
        "loading eBPF programs was not permitted: run the tracer as root (sudo), or with the capabilities CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN"
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

pub(super) fn refused(program: &'static str, error: &ProgramError) -> AttachError {
    if let ProgramError::LoadError { verifier_log, .. } = error {
        debug!(program, %verifier_log, "refused");
    }
    if is_permission(error) {
        return AttachError::NotPermitted;
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
