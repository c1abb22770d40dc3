//! The members of kernel structs that the programs read.
//!
//! Offsets differ from kernel to kernel and Rust has no CO-RE relocations, so the loader resolves
//! each [`Member`] in the running kernel's BTF and overrides the global of the same name with its
//! [`Place`] before the programs are loaded; to the verifier it is then a constant.

/// One member: where it is found in BTF, the global that carries its place, and what it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// The name of the global in the eBPF object.
    pub global: &'static str,
    /// The struct the path starts from.
    pub of: &'static str,
    /// Member names from there, joined with dots. Anonymous structs and unions are looked through,
    /// and the path of an array leads to its first element.
    pub path: &'static str,
    /// What is unknown where the kernel lacks it. Completes "… will be unknown".
    pub loses: &'static str,
}

/// Calls the macro `$with` with every member: its global, the struct, the path, and what is unknown
/// where the kernel lacks it. The table [`MEMBERS`] and the programs' globals are made of it.
#[macro_export]
macro_rules! members {
    ($with:ident) => {
        $with! {
            SOCK_COMMON "sock" "__sk_common" EVERYTHING;
            REQUEST_COMMON "request_sock" "__req_common" "which SYN-ACKs are retransmitted";
            COMMON_FAMILY "sock_common" "skc_family" EVERYTHING;
            COMMON_STATE "sock_common" "skc_state" EVERYTHING;
            COMMON_NUM "sock_common" "skc_num" EVERYTHING;
            COMMON_DPORT "sock_common" "skc_dport" EVERYTHING;
            COMMON_DADDR "sock_common" "skc_daddr" EVERYTHING;
            COMMON_RCV_SADDR "sock_common" "skc_rcv_saddr" EVERYTHING;
            COMMON_V6_DADDR "sock_common" "skc_v6_daddr" EVERYTHING;
            COMMON_V6_RCV_SADDR "sock_common" "skc_v6_rcv_saddr" EVERYTHING;
            COMMON_NET "sock_common" "skc_net.net" "the network namespace of each end";
            NET_TCP_WMEM "net" "ipv4.sysctl_tcp_wmem" BUFFERS;
            NET_TCP_RMEM "net" "ipv4.sysctl_tcp_rmem" BUFFERS;
            NET_INUM "net" "ns.inum" "the network namespace of each end";
            SOCK_ERROR "sock" "sk_err" "why a connection failed, where only its socket shows it";
            COMMON_FLAGS "sock_common" "skc_flags" "whether a process held a socket when a time-out closed it";
            SOCK_ACCEPT_QUEUE "sock" "sk_ack_backlog" "how full the accept queue was";
            SOCK_ACCEPT_QUEUE_LIMIT "sock" "sk_max_ack_backlog" "how full the accept queue was";
            TASK_PID "task_struct" "pid" CHILDREN;
            TASK_TGID "task_struct" "tgid" CHILDREN;
            TASK_GROUP_LEADER "task_struct" "group_leader" "the names of processes";
            TASK_COMM "task_struct" "comm" "the names of processes";
            TASK_REAL_PARENT "task_struct" "real_parent" CHILDREN;
            TASK_THREAD_PID "task_struct" "thread_pid" NAMESPACES;
            PID_LEVEL "pid" "level" NAMESPACES;
            PID_NUMBERS "pid" "numbers" NAMESPACES;
            UPID_NR "upid" "nr" NAMESPACES;
            UPID_NS "upid" "ns" NAMESPACES;
            PID_NAMESPACE_INUM "pid_namespace" "ns.inum" NAMESPACES;
            TCP_SPORT "tcp_sock" "inet_conn.icsk_inet.inet_sport" "the local port of a closed socket";
            TCP_RETRANSMITS "tcp_sock" "inet_conn.icsk_retransmits" TIMER;
            TCP_PROBES_OUT "tcp_sock" "inet_conn.icsk_probes_out" TIMER;
            TCP_USER_TIMEOUT "tcp_sock" "inet_conn.icsk_user_timeout" TIMER;
            TCP_SND_WND "tcp_sock" "snd_wnd" TIMER;
            TASK_FLAGS "task_struct" "flags" "which owners are kernel threads";
            TASK_RUNTIME "task_struct" "se.sum_exec_runtime" "whether a client was limited by its CPU";
            SKB_LEN "sk_buff" "len" "which segments a path drops";
            MPTCP_TOKEN "mptcp_sock" "token" "which MPTCP connection a subflow belongs to";
            TCP_REPAIR "tcp_sock" "repair" "which connections were restored";
            TCP_BYTES_RETRANS "tcp_sock" "bytes_retrans" "how many bytes were retransmitted";
            TCP_BYTES_ACKED "tcp_sock" "bytes_acked" "how many bytes were acknowledged";
            TCP_BYTES_RECEIVED "tcp_sock" "bytes_received" "how many bytes were received";
            TCP_TOTAL_RETRANS "tcp_sock" "total_retrans" "how many segments were retransmitted";
            TCP_SRTT "tcp_sock" "srtt_us" "the RTT";
            TCP_MIN_RTT "tcp_sock" "rtt_min.s.v" "the smallest RTT";
            TCP_SND_CWND "tcp_sock" "snd_cwnd" "the congestion window";
            TCP_MSS_CLAMP "tcp_sock" "rx_opt.mss_clamp" "the MSS, where the handshake was not seen";
            TCP_TSTAMP_OK "tcp_sock" "rx_opt.tstamp_ok" OPTIONS;
            TCP_SACK_OK "tcp_sock" "rx_opt.sack_ok" OPTIONS;
            TCP_WSCALE_OK "tcp_sock" "rx_opt.wscale_ok" OPTIONS;
            TCP_SND_WSCALE "tcp_sock" "rx_opt.snd_wscale" OPTIONS;
            TCP_RCV_WSCALE "tcp_sock" "rx_opt.rcv_wscale" OPTIONS;
            TCP_WRITE_SEQ "tcp_sock" "write_seq" LIMITS;
            TCP_SND_NXT "tcp_sock" "snd_nxt" LIMITS;
            TCP_SND_UNA "tcp_sock" "snd_una" LIMITS;
            TCP_PACKETS_OUT "tcp_sock" "packets_out" LIMITS;
            TCP_SACKED_OUT "tcp_sock" "sacked_out" LIMITS;
            TCP_LOST_OUT "tcp_sock" "lost_out" LIMITS;
            TCP_RETRANS_OUT "tcp_sock" "retrans_out" LIMITS;
            TCP_CHRONO_TYPE "tcp_sock" "chrono_type" LIMITS;
            TCP_CA_STATE "tcp_sock" "inet_conn.icsk_ca_state" LIMITS;
            TCP_NONAGLE "tcp_sock" "nonagle" LIMITS;
            TCP_MSS_CACHE "tcp_sock" "mss_cache" LIMITS;
            TCP_RCV_WND "tcp_sock" "rcv_wnd" LIMITS;
            TCP_RCV_WUP "tcp_sock" "rcv_wup" LIMITS;
            TCP_RCV_NXT "tcp_sock" "rcv_nxt" LIMITS;
            TCP_COPIED_SEQ "tcp_sock" "copied_seq" LIMITS;
            TCP_NUM_SACKS "tcp_sock" "rx_opt.num_sacks" LIMITS;
            TCP_RCV_TSVAL "tcp_sock" "rx_opt.rcv_tsval" LIMITS;
            TCP_RCV_MSS "tcp_sock" "inet_conn.icsk_ack.rcv_mss" LIMITS;
            TCP_OUT_OF_ORDER "tcp_sock" "rcv_ooopack" LIMITS;
            TCP_DSACK_DUPS "tcp_sock" "dsack_dups" LIMITS;
            SOCK_SOCKET "sock" "sk_socket" LIMITS;
            SOCKET_FLAGS "socket" "flags" LIMITS;
            SOCK_PACING_STATUS "sock" "sk_pacing_status" LIMITS;
            SOCK_PACING_RATE "sock" "sk_pacing_rate" LIMITS;
            SOCK_WMEM_ALLOC "sock" "sk_wmem_alloc.refs.counter" LIMITS;
            SOCK_SNDBUF "sock" "sk_sndbuf" LIMITS;
            SOCK_RCVBUF "sock" "sk_rcvbuf" LIMITS;
            SOCK_USERLOCKS "sock" "sk_userlocks" LIMITS;
            SOCK_TYPE "sock" "sk_type" UNIX;
            SOCK_SHUTDOWN "sock" "sk_shutdown" UNIX;
            SOCK_PEER_PID "sock" "sk_peer_pid" UNIX_PEER_PROCESS;
            SOCK_PEER_CRED "sock" "sk_peer_cred" UNIX_PEER_PROCESS;
            CRED_UID "cred" "uid.val" UNIX_PEER_PROCESS;
            SOCKET_SOCK "socket" "sk" UNIX;
            UNIX_PEER "unix_sock" "peer" UNIX;
            UNIX_ADDRESS "unix_sock" "addr" UNIX;
            UNIX_ADDRESS_LENGTH "unix_address" "len" UNIX;
            UNIX_ADDRESS_NAME "unix_address" "name" UNIX;
            PID_TASKS "pid" "tasks" UNIX_PEER_PROCESS;
            TASK_PID_LINKS "task_struct" "pid_links" UNIX_PEER_PROCESS;
        }
    };
}

/// Addresses, ports and states, which every kernel has.
const EVERYTHING: &str = "most of what the tracer reports";
const CHILDREN: &str = "which connections belong to children of a traced process";
const TIMER: &str = "which time-out closed a connection";
const NAMESPACES: &str =
    "process ids where the tracer is in a PID namespace of its own (a container)";
const LIMITS: &str = "what held an upload back";
const BUFFERS: &str = "whether a buffer is as large as the kernel's settings permit";
const UNIX: &str = "which Unix socket a server passes a request on to";
const UNIX_PEER_PROCESS: &str =
    "which process listens on a Unix socket that a request is passed on to";
const OPTIONS: &str = "TCP options, where the handshake was not seen";

macro_rules! table {
    ($($global:ident $of:literal $path:literal $loses:expr;)*) => {
        /// Every member that the programs read.
        pub const MEMBERS: &[Member] = &[
            $(Member { global: stringify!($global), of: $of, path: $path, loses: $loses },)*
        ];
    };
}

members!(table);

/// A member's place in its struct, packed into the `u32` that the global holds: the byte offset,
/// and for a bit-field the shift and mask within the byte at that offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place(u32);

impl Place {
    /// The kernel has no such member; what needs it stays zero.
    pub const ABSENT: Self = Self(u32::MAX);

    /// A member that starts at `offset` bytes.
    #[must_use]
    pub const fn at(offset: u16) -> Self {
        Self(offset as u32 | 0xff << 24)
    }

    /// A bit-field of `width` bits that starts `bit` bits into the struct; `None` if it does not
    /// fit in the one byte it starts in.
    #[must_use]
    pub const fn bits(bit: u32, width: u32) -> Option<Self> {
        let shift = bit % 8;
        let offset = bit / 8;
        if width == 0 || shift + width > 8 || offset > u16::MAX as u32 {
            return None;
        }
        Some(Self(offset | shift << 16 | ((1 << width) - 1) << 24))
    }

    /// The place as the global's value.
    #[must_use]
    pub const fn to_bits(self) -> u32 {
        self.0
    }

    /// The place from the global's value.
    #[must_use]
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// Whether the kernel has the member.
    #[inline(always)]
    #[must_use]
    pub const fn exists(self) -> bool {
        self.0 != Self::ABSENT.0
    }

    /// Byte offset from the start of the struct.
    #[inline(always)]
    #[must_use]
    pub const fn offset(self) -> usize {
        (self.0 & 0xffff) as usize
    }

    /// The bit-field's value, given the byte at [`offset`](Self::offset).
    #[inline(always)]
    #[must_use]
    pub const fn extract(self, byte: u8) -> u8 {
        byte >> (self.0 >> 16 & 7) & (self.0 >> 24) as u8
    }
}

#[cfg(test)]
mod tests {
    use super::Place;

    fn check(bit: u32, width: u32, byte: u8, expected: Option<(usize, u8)>) {
        let found = Place::bits(bit, width).map(|place| (place.offset(), place.extract(byte)));
        assert_eq!(found, expected, "bit {bit}, width {width}");
    }

    #[test]
    fn bit_fields_within_one_byte() {
        check(8, 1, 0b0000_0001, Some((1, 1)));
        check(12, 4, 0b1010_0101, Some((1, 0b1010)));
        check(3, 3, 0b0011_1000, Some((0, 0b111)));
        check(0, 8, 0xff, Some((0, 0xff)));
    }

    #[test]
    fn bit_fields_across_bytes_are_refused() {
        check(6, 3, 0, None);
        check(0, 9, 0, None);
        check(0, 0, 0, None);
    }

    #[test]
    fn absent_is_no_offset() {
        assert!(!Place::ABSENT.exists());
        assert!(Place::at(u16::MAX).exists());
        assert_eq!(Place::at(1234).offset(), 1234);
    }
}
