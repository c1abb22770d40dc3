//! What is lost with each part that a kernel may lack.

use std::fmt::Display;

use tracer_ebpf::member::Member;

use crate::core::input::Missing;

/// By the names of the programs: what rests on each.
const OF_PROGRAMS: &[(&str, &str)] = &[
    ("tracer_read", "who reads from a connection"),
    ("tracer_send", "who sends on a connection and never reads"),
    ("tracer_retrans", "which segments are sent again, and when"),
    ("tracer_synack", "SYN-ACKs that are sent again"),
    (
        "tracer_rst_sent",
        "RSTs sent, where no segment tells of them",
    ),
    (
        "tracer_rst_recv",
        "RSTs received, where no segment tells of them",
    ),
    (
        "tracer_error",
        "why a connection failed, where its process has asked already",
    ),
    (
        "tracer_fork",
        "the connections of processes that a wanted one starts",
    ),
    (
        "tracer_exit",
        "that a wanted process is gone: its id may become another's",
    ),
    ("tracer_in", "segments that arrive"),
    ("tracer_out", "segments that leave"),
    (
        "tracer_release",
        "who lets go of a connection, and whose it is where nobody read or sent",
    ),
];

/// By the names of the tracepoints: the program that belongs to each.
const OF_TRACEPOINTS: &[(&str, &str)] = &[
    ("tcp_rcv_space_adjust", "tracer_read"),
    ("sock_send_length", "tracer_send"),
    ("tcp_retransmit_skb", "tracer_retrans"),
    ("tcp_retransmit_synack", "tracer_synack"),
    ("tcp_send_reset", "tracer_rst_sent"),
    ("tcp_receive_reset", "tracer_rst_recv"),
    ("inet_sk_error_report", "tracer_error"),
    ("sched_process_fork", "tracer_fork"),
    ("sched_process_free", "tracer_exit"),
];

/// By the beginnings of the globals' names: what rests on these members.
const OF_MEMBERS: &[(&str, &str)] = &[
    ("REQUEST_", "SYN-ACKs that are sent again"),
    ("COMMON_NET", "the network namespace of each end"),
    ("NET_", "the network namespace of each end"),
    (
        "SOCK_ERROR",
        "why a connection failed, where only the socket knows",
    ),
    ("SOCK_ACCEPT_QUEUE", "how full the accept queue was"),
    ("TASK_COMM", "the names of processes"),
    ("TASK_GROUP_LEADER", "the names of processes"),
    (
        "TASK_",
        "the connections of processes that a wanted one starts",
    ),
    ("TCP_SPORT", "the port of a client whose connection ends"),
    ("TCP_BYTES_", "the kernel's own count of bytes"),
    ("TCP_SEGS_", "the kernel's own count of segments"),
    (
        "TCP_DATA_SEGS_",
        "the kernel's own count of segments with data",
    ),
    (
        "TCP_TOTAL_RETRANS",
        "the kernel's own count of retransmitted segments",
    ),
    ("TCP_SRTT", "the RTT"),
    ("TCP_MIN_RTT", "the smallest RTT"),
    ("TCP_SND_CWND", "the congestion window"),
    ("TCP_MSS_", "the MSS, where the handshake was not seen"),
    (
        "TCP_SND_UNA",
        "what was acknowledged when a segment was sent again",
    ),
    ("TCP_", "an option, where the handshake was not seen"),
    ("SKB_", "which segments are sent again"),
    ("CB_", "which segments are sent again"),
];

/// Of what has no line above: addresses, ports and states, which every kernel has.
const OF_EVERYTHING: &str = "most of what the tracer tells";

/// The tracepoints beside the one that everything rests on.
pub(super) fn tracepoints() -> impl Iterator<Item = &'static str> {
    OF_TRACEPOINTS.iter().map(|(tracepoint, _)| *tracepoint)
}

impl Missing {
    pub(super) fn member(member: &Member) -> Self {
        let found = OF_MEMBERS
            .iter()
            .find(|(start, _)| member.global.starts_with(start));
        Self {
            what: format!("struct member {}.{}", member.of, member.path),
            lost: found.map_or(OF_EVERYTHING, |(_, lost)| lost).to_owned(),
        }
    }

    /// The third argument of `tcp_retransmit_skb`: before Linux 6.17 (commit ad892e912b84) that tells
    /// only of segments that left.
    pub(super) fn failed_retransmits() -> Self {
        Self {
            what: "argument err of tracepoint tcp_retransmit_skb (Linux 6.17)".to_owned(),
            lost: "which segments this machine did not let out when they were to be sent again"
                .to_owned(),
        }
    }

    pub(super) fn tracepoint(tracepoint: &str) -> Self {
        let program = look_up(OF_TRACEPOINTS, tracepoint).unwrap_or_default();
        Self {
            what: format!("tracepoint {tracepoint}"),
            lost: look_up(OF_PROGRAMS, program)
                .unwrap_or(OF_EVERYTHING)
                .to_owned(),
        }
    }

    /// A program that the kernel has a place for, and refuses.
    pub(super) fn program(name: &str, why: &impl Display) -> Self {
        Self {
            what: format!("eBPF program {name} ({why})"),
            lost: look_up(OF_PROGRAMS, name)
                .unwrap_or(OF_EVERYTHING)
                .to_owned(),
        }
    }

    pub(super) fn cgroup() -> Self {
        Self {
            what: "cgroup v2 hierarchy (mounted)".to_owned(),
            lost:
                "segments: steps are inferred from changes of state, and TLS and HTTP are not read"
                    .to_owned(),
        }
    }
}

fn look_up(table: &[(&str, &'static str)], name: &str) -> Option<&'static str> {
    table
        .iter()
        .find(|(key, _)| *key == name)
        .map(|(_, value)| *value)
}

#[cfg(test)]
mod tests {
    use tracer_ebpf::member::MEMBERS;

    use super::{Missing, OF_EVERYTHING, OF_PROGRAMS, OF_TRACEPOINTS, look_up};

    #[test]
    fn each_tracepoint_has_its_loss() {
        for (tracepoint, program) in OF_TRACEPOINTS {
            let lost = look_up(OF_PROGRAMS, program);
            assert_eq!(Some(&*Missing::tracepoint(tracepoint).lost), lost);
        }
    }

    #[test]
    fn only_what_every_kernel_has_loses_everything() {
        let everything: Vec<&str> = MEMBERS
            .iter()
            .filter(|member| Missing::member(member).lost == OF_EVERYTHING)
            .map(|member| member.path)
            .collect();
        let known = [
            "__sk_common",
            "skc_family",
            "skc_state",
            "skc_num",
            "skc_dport",
            "skc_daddr",
            "skc_rcv_saddr",
            "skc_v6_daddr",
            "skc_v6_rcv_saddr",
        ];
        assert_eq!(everything, known);
    }
}
