//! The records of the ring buffer. Each starts with a [`Header`]; integers and byte arrays only,
//! native byte order, explicit zeroed padding. The sizes are asserted: a change of layout is a
//! change of the recording format too.

/// Version of the record layout, written into recordings.
pub const VERSION: u16 = 2;

/// `Header::kind` of a [`StateChange`].
pub const STATE_CHANGE: u16 = 1;
/// `Header::kind` of a [`SocketEvent`]: a segment was retransmitted, or, where the record has an
/// error, could not be (`tcp_retransmit_skb`).
pub const RETRANSMIT: u16 = 2;
/// `Header::kind` of a [`SocketEvent`]: a SYN-ACK was retransmitted (`tcp_retransmit_synack`).
/// The cookie is the listener's; only the addresses name the connection.
pub const RETRANSMIT_SYN_ACK: u16 = 3;
/// `Header::kind` of a [`SocketEvent`]: the socket sent a RST (`tcp_send_reset`).
pub const RESET_SENT: u16 = 4;
/// `Header::kind` of a [`SocketEvent`]: the socket received a RST (`tcp_receive_reset`).
pub const RESET_RECEIVED: u16 = 5;
/// `Header::kind` of a [`SocketEvent`]: a process read from the socket, and was not the last to act
/// on it (`tcp_rcv_space_adjust`, which runs in the reader's context).
pub const READ: u16 = 6;
/// `Header::kind` of a [`SocketEvent`]: a process sent on the socket, and was not the last to act on
/// it (`sock_send_length`).
pub const SEND: u16 = 7;
/// `Header::kind` of a [`SocketEvent`]: the last process that held the socket let go of it, and was
/// not the last to act on it (`cgroup/sock_release`). The addresses are zero.
pub const RELEASE: u16 = 8;
/// `Header::kind` of a [`SocketEvent`]: the socket has an error to report to its process
/// (`inet_sk_error_report`): `sk_err`, or, where that is 0, an ICMP message on its error queue.
pub const ERROR: u16 = 9;
/// `Header::kind` of a [`Segment`], followed by the packet's first bytes.
pub const SEGMENT: u16 = 10;
/// `Header::kind` of a [`Flow`]: what a socket's segments came to.
pub const FLOW: u16 = 11;

/// Where the map `LOST` counts the records that found no room in the ring buffer …
pub const LOST_RECORDS: u32 = 0;
/// … and what the maps of sockets and of processes had no room for.
pub const LOST_SOCKETS: u32 = 1;

/// `Segment::direction`: the packet left the socket.
pub const EGRESS: u8 = 0;
/// `Segment::direction`: the packet reached the socket.
pub const INGRESS: u8 = 1;

/// Room for the packet's first bytes: headers alone (IPv4 and TCP take 40 to 60 as a rule, IPv6 and TCP
/// up to 100), a short request head, a longer one, or the first flight of a TLS handshake. What a
/// record takes in the ring buffer is written by one CPU and read by another: the less, the cheaper.
pub const CAPTURES: [usize; 5] = [64, 128, 384, 1024, 2176];

/// `TCP_ESTABLISHED` and its like, from `include/net/tcp_states.h`: part of the kernel's ABI.
pub mod state {
    #![expect(missing_docs, reason = "the names of RFC 9293 and of the kernel")]
    pub const ESTABLISHED: u8 = 1;
    pub const SYN_SENT: u8 = 2;
    pub const SYN_RECV: u8 = 3;
    pub const FIN_WAIT1: u8 = 4;
    pub const FIN_WAIT2: u8 = 5;
    pub const TIME_WAIT: u8 = 6;
    pub const CLOSE: u8 = 7;
    pub const CLOSE_WAIT: u8 = 8;
    pub const LAST_ACK: u8 = 9;
    pub const LISTEN: u8 = 10;
    pub const CLOSING: u8 = 11;
    pub const NEW_SYN_RECV: u8 = 12;
}

macro_rules! wire {
    ($(#[$meta:meta])* pub struct $name:ident [$size:literal] { $($(#[$field_meta:meta])* pub $field:ident: $kind:ty,)* }) => {
        $(#[$meta])*
        #[repr(C)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[cfg_attr(
            feature = "decode",
            derive(
                zerocopy::FromBytes,
                zerocopy::Immutable,
                zerocopy::IntoBytes,
                zerocopy::KnownLayout
            )
        )]
        pub struct $name { $($(#[$field_meta])* pub $field: $kind,)* }
        const _: () = assert!(size_of::<$name>() == $size);
    };
}

wire! {
    /// The start of every record.
    pub struct Header[24] {
        /// Which record this is.
        pub kind: u16,
        /// Length of the whole record in bytes.
        pub size: u16,
        /// The CPU that the event happened on.
        pub cpu: u32,
        /// `bpf_ktime_get_ns`, that is CLOCK_MONOTONIC.
        pub mono_ns: u64,
        /// The socket's cookie, as `SO_COOKIE` gives it.
        pub cookie: u64,
    }
}

wire! {
    /// The 4-tuple and the network namespace it is valid in.
    pub struct Addresses[40] {
        /// This end's address, in network byte order; IPv4 as `::ffff:a.b.c.d`.
        pub local: [u8; 16],
        /// The peer's address, likewise.
        pub remote: [u8; 16],
        /// This end's port; 0 before `connect` has chosen one.
        pub local_port: u16,
        /// The peer's port.
        pub remote_port: u16,
        /// Inode number of the network namespace, as in `/proc/self/ns/net`.
        pub netns: u32,
    }
}

wire! {
    /// The current task, where the hook runs in the context of the process that acts; all zero
    /// where it does not (in a softirq `current` is whoever was interrupted).
    pub struct Task[40] {
        /// Process id: the thread group's.
        pub pid: u32,
        /// Thread id.
        pub tid: u32,
        /// User id.
        pub uid: u32,
        /// Zero.
        pub padding: u32,
        /// The process's name: that of its thread group's leader, ended by a NUL.
        pub comm: [u8; 16],
        /// The id of its cgroup in the v2 hierarchy: the inode number of the cgroup's directory.
        pub cgroup: u64,
    }
}

wire! {
    /// What `struct tcp_sock` holds at that moment.
    pub struct Counters[80] {
        /// Payload bytes sent, retransmitted ones included (`bytes_sent`, Linux 4.19).
        pub bytes_sent: u64,
        /// Payload bytes retransmitted (`bytes_retrans`, Linux 4.19).
        pub bytes_retrans: u64,
        /// Sequence numbers acknowledged by the peer; a SYN and a FIN count one each.
        pub bytes_acked: u64,
        /// Sequence numbers received in order; a FIN counts one.
        pub bytes_received: u64,
        /// Segments sent.
        pub segs_out: u32,
        /// Segments received.
        pub segs_in: u32,
        /// Segments with payload sent.
        pub data_segs_out: u32,
        /// Segments with payload received.
        pub data_segs_in: u32,
        /// Segments retransmitted.
        pub total_retrans: u32,
        /// Smoothed round-trip time in eighths of a microsecond; 0 before the first sample.
        pub srtt_us_8: u32,
        /// Smallest round-trip time of the recent window in microseconds; `u32::MAX` before the
        /// first sample.
        pub min_rtt_us: u32,
        /// Congestion window in segments.
        pub snd_cwnd: u32,
        /// Payload that one segment may carry now, in bytes.
        pub mss_cache: u32,
        /// The largest segment agreed on in the handshake, in bytes.
        pub mss_clamp: u16,
        /// 1 where timestamps were agreed on (RFC 7323).
        pub timestamps: u8,
        /// Non-zero where selective acknowledgments were agreed on (RFC 2018).
        pub sack: u8,
        /// 1 where window scaling was agreed on (RFC 7323).
        pub window_scaling: u8,
        /// Shift of the windows that the peer announces.
        pub snd_wscale: u8,
        /// Shift of the windows that this end announces.
        pub rcv_wscale: u8,
        /// Zero.
        pub padding: [u8; 5],
    }
}

wire! {
    /// A socket went from one state to another (`inet_sock_set_state`, Linux 4.16).
    pub struct StateChange[192] {
        /// Kind [`STATE_CHANGE`].
        pub header: Header,
        /// The socket's addresses.
        pub addresses: Addresses,
        /// Who did it: set on CLOSE→SYN_SENT (`connect`) and on the way to FIN_WAIT1 and LAST_ACK
        /// (`close`, `shutdown`).
        pub task: Task,
        /// The socket's counters; all zero on the way to SYN_SENT and SYN_RECV.
        pub counters: Counters,
        /// The state it leaves.
        pub old: u8,
        /// The state it enters.
        pub new: u8,
        /// Zero.
        pub padding: u16,
        /// `sk_err`: the error number that the next call on the socket returns; 0 for none.
        pub error: u32,
    }
}

wire! {
    /// A packet passed a traced socket (`cgroup_skb`). As many of its first bytes as
    /// `captured` says follow, from the IP header on; the record has room for one of [`CAPTURES`].
    pub struct Segment[64] {
        /// Kind [`SEGMENT`]. The cookie is the listener's until the third ACK has arrived.
        pub header: Header,
        /// Length of the packet from the IP header on, before segmentation by the network card.
        pub length: u32,
        /// How many bytes of it follow.
        pub captured: u32,
        /// Into how many segments it is, or was, cut on the wire (`gso_segs`); 0 or 1 for one.
        pub gso_segs: u32,
        /// [`EGRESS`] or [`INGRESS`].
        pub direction: u8,
        /// Zero.
        pub padding: [u8; 3],
        /// Payload that passed the socket in this direction before it, retransmitted bytes included:
        /// tells sequence numbers apart that are 2^32 bytes from each other.
        pub before_bytes: u64,
        /// Where this is the first payload after some in the other direction, when the last of that
        /// passed; else 0.
        pub turned_ns: u64,
        /// Connections in the listener's accept queue (`sk_ack_backlog`), where a SYN reaches a
        /// listener; else 0.
        pub accept_queue: u32,
        /// How many the listener takes (`sk_max_ack_backlog`): a SYN is dropped when there are more.
        pub accept_queue_limit: u32,
    }
}

wire! {
    /// What passed a socket in one direction, counted in the kernel.
    pub struct Passed[40] {
        /// Packets, with or without payload.
        pub segments: u64,
        /// Their payload in bytes, retransmitted bytes included.
        pub bytes: u64,
        /// When the last one with payload passed, CLOCK_MONOTONIC; 0 for none.
        pub last_ns: u64,
        /// The longest time between two with payload.
        pub largest_gap_ns: u64,
        /// When that time was over.
        pub gap_end_ns: u64,
    }
}

wire! {
    /// A socket's segments, told when it enters CLOSE.
    pub struct Flow[104] {
        /// Kind [`FLOW`].
        pub header: Header,
        /// What left and what reached the socket: by [`EGRESS`] and [`INGRESS`].
        pub passed: [Passed; 2],
    }
}

wire! {
    /// Something else that happened to a socket; the header's kind says what.
    pub struct SocketEvent[128] {
        /// One of the kinds from [`RETRANSMIT`] to [`ERROR`].
        pub header: Header,
        /// The socket's addresses.
        pub addresses: Addresses,
        /// Who acted, for [`READ`], [`SEND`] and [`RELEASE`]; else zero.
        pub task: Task,
        /// First sequence number of the segment, for [`RETRANSMIT`]; else 0.
        pub seq: u32,
        /// The sequence number after the segment's last, for [`RETRANSMIT`]; else 0.
        pub end_seq: u32,
        /// The socket's oldest unacknowledged sequence number, for [`RETRANSMIT`]; else 0.
        pub snd_una: u32,
        /// The socket's state.
        pub state: u8,
        /// Zero.
        pub padding: [u8; 3],
        /// The error number, for [`ERROR`], and for a [`RETRANSMIT`] that failed (newer kernels tell
        /// of these, 6.18 among them); else 0.
        pub error: u32,
        /// Zero.
        pub end_padding: u32,
    }
}
