//! The hooks: where each eBPF program is attached, and what stays unknown without it. The loader,
//! the doctor and the messages about missing parts follow this table; the programs of these names
//! are in `programs/`, each with the prototype of its hook.

/// One program and its place in the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hook {
    /// The program's function. The kernel keeps 15 bytes of it.
    pub program: &'static str,
    /// Where it is attached.
    pub point: Point,
    /// The first kernel that has it.
    pub since: &'static str,
    /// When it is attached.
    pub need: Need,
    /// What is unknown without it. Completes "… will be unknown".
    pub loses: &'static str,
}

/// Where a program is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// A tracepoint, through its BTF (`tp_btf`).
    Tracepoint(&'static str),
    /// The start of a kernel function (`fentry`).
    Function(&'static str),
    /// Packets that reach a socket, at the root cgroup.
    CgroupIngress,
    /// Packets that leave a socket, at the root cgroup.
    CgroupEgress,
    /// The last process closes a socket, at the root cgroup.
    CgroupRelease,
}

/// When a program is attached, and how much depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Always. Nothing can be traced without it.
    Required,
    /// Always. The rest works without it.
    Optional,
    /// Where the filter names processes by their ids.
    ProcessFilter,
    /// Where processes are known by their ids, which the kernel uses again: named by the filter, or followed.
    ProcessIds,
    /// Where an output draws the course of a connection.
    Samples,
    /// Where the kernel lacks the tracepoint of this name.
    InsteadOf(&'static str),
    /// Always. It runs for the events that the kernel skips the program of this name for.
    SecondOf(&'static str),
}

/// Every program, in the order of attaching: those that follow processes come first, so that no
/// child is missed whose connections would be seen.
pub const HOOKS: &[Hook] = &[
    Hook {
        program: "tracer_fork",
        point: Point::Tracepoint("sched_process_fork"),
        since: "2.6.28",
        need: Need::ProcessFilter,
        loses: "which connections belong to children of a traced process",
    },
    Hook {
        program: "tracer_exit",
        point: Point::Tracepoint("sched_process_free"),
        since: "2.6.28",
        need: Need::ProcessIds,
        loses: "that a traced process has ended (a later one with its id is traced too)",
    },
    Hook {
        program: "tracer_state",
        point: Point::Tracepoint("inet_sock_set_state"),
        since: "4.16",
        need: Need::Required,
        loses: "everything",
    },
    Hook {
        program: "tracer_state_2",
        point: Point::Tracepoint("inet_sock_set_state"),
        since: "4.16",
        need: Need::SecondOf("tracer_state"),
        loses: "changes of state that interrupt another one on the same CPU",
    },
    Hook {
        program: "tracer_read",
        point: Point::Tracepoint("tcp_rcv_space_adjust"),
        since: "4.17",
        need: Need::Optional,
        loses: "which process reads from a connection",
    },
    Hook {
        program: "tracer_retrans",
        point: Point::Tracepoint("tcp_retransmit_skb"),
        since: "4.15",
        need: Need::Optional,
        loses: "which segments are retransmitted, and when",
    },
    Hook {
        program: "tracer_retran_2",
        point: Point::Tracepoint("tcp_retransmit_skb"),
        since: "4.15",
        need: Need::SecondOf("tracer_retrans"),
        loses: "retransmissions that interrupt another one on the same CPU",
    },
    Hook {
        program: "tracer_synack",
        point: Point::Tracepoint("tcp_retransmit_synack"),
        since: "4.15",
        need: Need::Optional,
        loses: "which SYN-ACKs are retransmitted",
    },
    Hook {
        program: "tracer_rst_sent",
        point: Point::Tracepoint("tcp_send_reset"),
        since: "4.15",
        need: Need::Optional,
        loses: "which RSTs are sent, where no segment shows them",
    },
    Hook {
        program: "tracer_rst_recv",
        point: Point::Tracepoint("tcp_receive_reset"),
        since: "4.15",
        need: Need::Optional,
        loses: "which RSTs are received, where no segment shows them",
    },
    Hook {
        program: "tracer_error",
        point: Point::Tracepoint("inet_sk_error_report"),
        since: "5.14",
        need: Need::Optional,
        loses: "why a connection failed, where its process has already read the error",
    },
    Hook {
        program: "tracer_send",
        point: Point::Tracepoint("sock_send_length"),
        since: "6.3",
        need: Need::Optional,
        loses: "which process sends on a connection and never reads, and which Unix socket a server passes a request on to",
    },
    Hook {
        program: "tracer_sendmsg",
        point: Point::Function("tcp_sendmsg"),
        since: "5.5",
        need: Need::InsteadOf("sock_send_length"),
        loses: "which process sends on a connection and never reads",
    },
    Hook {
        program: "tracer_sendpage",
        point: Point::Function("tcp_sendpage"),
        since: "5.5",
        need: Need::InsteadOf("sock_send_length"),
        loses: "which process sends a file on a connection and never reads",
    },
    Hook {
        program: "tracer_unix_snd",
        point: Point::Function("unix_stream_sendmsg"),
        since: "5.5",
        need: Need::InsteadOf("sock_send_length"),
        loses: "which Unix socket a server passes a request on to",
    },
    Hook {
        program: "tracer_unix_pag",
        point: Point::Function("unix_stream_sendpage"),
        since: "5.5",
        need: Need::InsteadOf("sock_send_length"),
        loses: "how much of a file a server passes on to a Unix socket",
    },
    Hook {
        program: "tracer_sample",
        point: Point::Tracepoint("tcp_probe"),
        since: "4.16",
        need: Need::Samples,
        loses: "how the windows, the bytes in flight and the RTT of an upload went",
    },
    Hook {
        program: "tracer_in",
        point: Point::CgroupIngress,
        since: "4.10",
        need: Need::Optional,
        loses: "which segments arrive",
    },
    Hook {
        program: "tracer_out",
        point: Point::CgroupEgress,
        since: "4.10",
        need: Need::Optional,
        loses: "which segments leave",
    },
    Hook {
        program: "tracer_release",
        point: Point::CgroupRelease,
        since: "5.9",
        need: Need::Optional,
        loses: "which process closes a connection, and whose it is where none read or sent",
    },
];

/// What is unknown without a mounted cgroup v2 hierarchy, that is without the three hooks there.
pub const CGROUP_LOSES: &str = "segments, TLS and HTTP (steps are inferred from changes of state)";

impl Point {
    /// Whether it is at the root cgroup.
    #[must_use]
    pub const fn is_cgroup(self) -> bool {
        !matches!(self, Self::Tracepoint(_) | Self::Function(_))
    }

    /// Whether each segment passes it.
    #[must_use]
    pub const fn is_segments(self) -> bool {
        matches!(self, Self::CgroupIngress | Self::CgroupEgress)
    }
}

impl Hook {
    /// The tracepoint, where it is one.
    #[must_use]
    pub const fn tracepoint(&self) -> Option<&'static str> {
        match self.point {
            Point::Tracepoint(name) => Some(name),
            _ => None,
        }
    }

    /// The kernel function, where it is the start of one.
    #[must_use]
    pub const fn function(&self) -> Option<&'static str> {
        match self.point {
            Point::Function(name) => Some(name),
            _ => None,
        }
    }

    /// The hooks at kernel functions that are used where the kernel lacks this tracepoint.
    pub fn replacements(&self) -> impl Iterator<Item = &'static Self> {
        let lacking = self.tracepoint();
        HOOKS
            .iter()
            .filter(move |hook| matches!(hook.need, Need::InsteadOf(name) if lacking == Some(name)))
    }

    /// Whether an event is lost where the kernel skips a run of the program, because it interrupts another run
    /// on the same CPU. At a cgroup it runs each time. A second program has nothing to do while it could be
    /// interrupted: where it is skipped, the first one runs. Where a sample is skipped, the next segment gives one.
    #[must_use]
    pub const fn may_be_skipped(&self) -> bool {
        !self.point.is_cgroup() && !matches!(self.need, Need::SecondOf(_) | Need::Samples)
    }
}
