//! What a kernel may lack of what the tracer uses, and what is unknown without it.

use tracer_ebpf::{
    hook::{CGROUP_LOSES, Hook, Point},
    member::Member,
};

use crate::core::input;

/// A part that this kernel lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Missing {
    /// The kernel has no such hook.
    Hook(&'static Hook),
    /// The kernel has the hook, and refuses the program.
    Program {
        hook: &'static Hook,
        reason: String,
    },
    Member(&'static Member),
    /// The third argument of `tcp_retransmit_skb`. Before it (Linux 6.17, commit ad892e912b84), the
    /// tracepoint is called only for segments that left.
    RetransmitError,
    /// The third argument of `tcp_send_reset`.
    ResetReason,
    /// No cgroup v2 hierarchy is mounted.
    Cgroup2,
    /// Only a part of the hierarchy is visible: a container's cgroup namespace.
    WholeCgroup2,
    /// `/proc` shows a PID namespace in which the tracer has no id.
    Proc,
}

impl Missing {
    /// Its name.
    #[must_use]
    pub fn what(&self) -> String {
        match self {
            Self::Hook(hook) => match hook.point {
                Point::Tracepoint(name) => format!("tracepoint {name}"),
                Point::Function(name) => format!("kernel function {name}"),
                _ => format!("cgroup hook of {}", hook.program),
            },
            Self::Program { hook, reason } => format!("eBPF program {} ({reason})", hook.program),
            Self::Member(member) => format!("struct member {}.{}", member.of, member.path),
            Self::RetransmitError => {
                "argument err of tracepoint tcp_retransmit_skb (Linux 6.17)".to_owned()
            }
            Self::ResetReason => {
                "argument reason of tracepoint tcp_send_reset (Linux 6.10)".to_owned()
            }
            Self::Cgroup2 => "cgroup v2 hierarchy (mounted)".to_owned(),
            Self::WholeCgroup2 => {
                "root of the cgroup v2 hierarchy (a container sees its own part)".to_owned()
            }
            Self::Proc => "/proc of the tracer's PID namespace".to_owned(),
        }
    }

    /// What is unknown without it. Completes "… will be unknown".
    #[must_use]
    pub const fn loses(&self) -> &'static str {
        match self {
            Self::Hook(hook) | Self::Program { hook, .. } => hook.loses,
            Self::Member(member) => member.loses,
            Self::RetransmitError => "which retransmissions this machine failed to send",
            Self::ResetReason => "why a socket of this machine sent a RST",
            Self::Cgroup2 => CGROUP_LOSES,
            Self::WholeCgroup2 => {
                "segments, TLS and HTTP of processes outside this container (steps are inferred from changes of state)"
            }
            Self::Proc => "process ids, and which processes hold the sockets that were open before",
        }
    }
}

/// As recordings and outputs have it.
impl From<&Missing> for input::Missing {
    fn from(missing: &Missing) -> Self {
        Self {
            what: missing.what(),
            lost: missing.loses().to_owned(),
        }
    }
}
