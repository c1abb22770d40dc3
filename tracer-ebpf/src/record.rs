//! The records of the ring buffers. Each starts with a [`Header`]. They hold integers and byte arrays
//! only, in native byte order, with explicit zeroed padding.
//!
//! Recordings hold records as they are, so a layout is a file format. To change one,
//! increment [`VERSION`] and let the tracer's `source/recording` convert records of the version
//! before. The asserted sizes keep a layout from changing by accident.

/// Version of the layout, written into recordings.
pub const VERSION: u16 = 6;

/// `Header::kind` of a [`StateChange`].
pub const STATE_CHANGE: u16 = 1;
/// `Header::kind` of a [`SocketEvent`]: a segment was retransmitted, or, where the record has an
/// error, could not be (`tcp_retransmit_skb`).
pub const RETRANSMIT: u16 = 2;
/// `Header::kind` of a [`SocketEvent`]: a SYN-ACK was retransmitted (`tcp_retransmit_synack`).
/// The cookie is the listener's; only the addresses name the connection.
pub const RETRANSMIT_SYN_ACK: u16 = 3;
/// `Header::kind` of a [`SocketEvent`]: the socket sent a RST (`tcp_send_reset`). `error` is why: one
/// more than the place in [`RESET_REASONS`], or 0 where the kernel gives no reason.
pub const RESET_SENT: u16 = 4;
/// `Header::kind` of a [`SocketEvent`]: the socket received a RST (`tcp_receive_reset`).
pub const RESET_RECEIVED: u16 = 5;
/// `Header::kind` of a [`SocketEvent`]: a process read from the socket that another process acted on
/// before (`tcp_rcv_space_adjust`, which runs in the reader's context).
pub const READ: u16 = 6;
/// `Header::kind` of a [`SocketEvent`]: a process sent on the socket that another process acted on
/// before (`sock_send_length`).
pub const SEND: u16 = 7;
/// `Header::kind` of a [`SocketEvent`]: the last process that held the socket closed it, and another
/// process acted on it before (`cgroup/sock_release`). The addresses are zero.
pub const RELEASE: u16 = 8;
/// `Header::kind` of a [`SocketEvent`]: the socket has an error to report to its process
/// (`inet_sk_error_report`): `sk_err`, or, where that is 0, an ICMP message on its error queue.
pub const ERROR: u16 = 9;
/// `Header::kind` of a [`Segment`], followed by the packet's first bytes.
pub const SEGMENT: u16 = 10;
/// `Header::kind` of a [`Flow`]: totals of a socket's segments. In recordings of layouts before 6 alone: a
/// [`Closed`] has them.
pub const FLOW: u16 = 11;
/// `Header::kind` of a [`MoreBytes`], followed by the bytes. It follows its [`Segment`].
pub const MORE_BYTES: u16 = 12;
/// `Header::kind` of a [`Subflow`]: the socket carries a part of an MPTCP connection.
pub const SUBFLOW: u16 = 13;
/// `Header::kind` of [`Limits`]: how long each limit held a socket back so far.
pub const LIMITS: u16 = 14;
/// `Header::kind` of a [`TimeOut`]: the retransmission timer sent a segment again.
pub const TIME_OUT: u16 = 15;
/// `Header::kind` of a [`Relay`]: a thread read from one socket, and then acted on another.
pub const RELAY: u16 = 16;
/// `Header::kind` of a [`SocketEvent`]: the socket is traced from now on, because a process that is followed acted on
/// it (`tcp_rcv_space_adjust` and `sock_send_length`).
pub const ADOPTED: u16 = 17;
/// `Header::kind` of a [`UnixRelay`]: a thread read from an accepted socket, and then sent on a Unix socket.
pub const UNIX_RELAY: u16 = 18;
/// `Header::kind` of [`UnixBytes`]: how much more it sent there.
pub const UNIX_BYTES: u16 = 19;
/// `Header::kind` of a [`Sample`]: the counters and windows of a socket that carries much, at one moment.
pub const SAMPLE: u16 = 20;
/// `Header::kind` of a [`Closed`]: a traced socket enters CLOSE.
pub const CLOSED: u16 = 21;

/// `StateChange::flags`: the socket is in repair mode (`TCP_REPAIR`), so no segment causes or follows
/// the change.
pub const IN_REPAIR: u16 = 1 << 14;
/// `StateChange::flags`: `connect` on a socket that had a traced connection before.
pub const AGAIN: u16 = 1 << 15;

/// Index into the map `LOST`: records that neither ring buffer had room for.
pub const LOST_RECORDS: u32 = 0;
/// Index into the map `LOST`: sockets and processes that their maps had no room for.
pub const LOST_SOCKETS: u32 = 1;
/// Index into the map `LOST`: no loss, but events for which the kernel skipped a program, and that its second
/// one recorded.
pub const MADE_UP: u32 = 2;
/// Index into the map `LOST`: no loss, but records that the first ring buffer had no room for.
pub const OVERFLOWED: u32 = 3;

/// `Segment::direction`: the packet left the socket.
pub const EGRESS: u8 = 0;
/// `Segment::direction`: the packet reached the socket.
pub const INGRESS: u8 = 1;

/// Room for the packet's first bytes: headers alone (IPv4 and TCP mostly take 40 to 60, IPv6 and TCP
/// up to 100), a short request head, a longer one, or the first flight of a TLS handshake. One CPU
/// writes a record and another reads it, so a smaller record is a cheaper one.
pub const CAPTURES: [usize; 5] = [64, 128, 384, 1024, 2176];

/// Room for the bytes of each [`MoreBytes`] of one segment, in order: an HTTP head that is longer than
/// what its [`Segment`] has of it. Each is about as long as everything before it, so that little more
/// than twice the head is captured. Together they have room for the longest head.
pub const MORE_CAPTURES: [usize; 5] = [2048, 4096, 8192, 16384, 34816];

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

/// Why a socket sends a RST: the names of `enum sk_rst_reason` (Linux 6.10) without `SK_RST_REASON_`.
/// The kernel's numbers differ from version to version, so records have places in this list. Only
/// append to it: recordings hold the places.
pub const RESET_REASONS: &[&str] = &[
    "NO_SOCKET",
    "TCP_INVALID_ACK_SEQUENCE",
    "TCP_RFC7323_PAWS",
    "TCP_TOO_OLD_ACK",
    "TCP_ACK_UNSENT_DATA",
    "TCP_FLAGS",
    "TCP_OLD_ACK",
    "TCP_ABORT_ON_DATA",
    "TCP_TIMEWAIT_SOCKET",
    "INVALID_SYN",
    "TCP_ABORT_ON_CLOSE",
    "TCP_ABORT_ON_LINGER",
    "TCP_ABORT_ON_MEMORY",
    "TCP_STATE",
    "TCP_KEEPALIVE_TIMEOUT",
    "TCP_DISCONNECT_WITH_DATA",
    "MPTCP_RST_EUNSPEC",
    "MPTCP_RST_EMPTCP",
    "MPTCP_RST_ERESOURCE",
    "MPTCP_RST_EPROHIBIT",
    "MPTCP_RST_EWQ2BIG",
    "MPTCP_RST_EBADPERF",
    "MPTCP_RST_EMIDDLEBOX",
];
/// How many numbers of the kernel the programs translate. Linux 6.18 has 26.
pub const MAX_RESET_REASONS: usize = 64;

/// Bits of `StateChange::flags`: what stood at the socket when it entered CLOSE.
pub mod closing {
    /// The other bits mean something. Records of earlier tracers have 0.
    pub const KNOWN: u16 = 1;
    /// Segments were retransmitted since the peer last acknowledged something new
    /// (`icsk_retransmits`).
    pub const RETRANSMITTING: u16 = 1 << 1;
    /// Probes were sent since the peer last answered (`icsk_probes_out`): of its window, or to keep
    /// the connection alive.
    pub const PROBING: u16 = 1 << 2;
    /// The peer's last window was 0 (`snd_wnd`).
    pub const ZERO_WINDOW: u16 = 1 << 3;
    /// The process had set `TCP_USER_TIMEOUT` (`icsk_user_timeout`).
    pub const USER_TIMEOUT: u16 = 1 << 4;
    /// No process held the socket any more (`SOCK_DEAD`).
    pub const ORPHAN: u16 = 1 << 5;
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

mod limits;
mod sample;
mod unix;

pub use self::limits::{
    END, FIXED_RECEIVE_BUFFER, FIXED_SEND_BUFFER, Gauges, LARGEST_RECEIVE_BUFFER,
    LARGEST_SEND_BUFFER, LimitTimes, Limits, PERIOD, TURN, TimeOut, receiver, sender,
};
pub use self::{
    sample::{SAMPLED_FROM_BYTES, Sample},
    unix::{UnixBytes, UnixRelay},
};

wire! {
    /// The start of every record.
    pub struct Header[24] {
        /// Which record this is.
        pub kind: u16,
        /// Zero.
        pub padding: [u8; 6],
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
    /// The current task, where the hook runs in the context of the process that acts. All zero where
    /// it does not: in a softirq, `current` is the task that was interrupted.
    pub struct Task[32] {
        /// Process id: the thread group's.
        pub pid: u32,
        /// User id.
        pub uid: u32,
        /// The process's name: that of its thread group's leader, ended by a NUL.
        pub comm: [u8; 16],
        /// The id of its cgroup in the v2 hierarchy: the inode number of the cgroup's directory.
        pub cgroup: u64,
    }
}

wire! {
    /// What `struct tcp_sock` holds at that moment.
    pub struct Counters[48] {
        /// Payload bytes retransmitted since the socket was opened (`bytes_retrans`, Linux 4.19).
        pub bytes_retrans: u64,
        /// Sequence numbers acknowledged by the peer; a SYN and a FIN count one each.
        pub bytes_acked: u64,
        /// Sequence numbers received in order; a FIN counts one.
        pub bytes_received: u64,
        /// Segments retransmitted.
        pub total_retrans: u32,
        /// Smoothed round-trip time in eighths of a microsecond; 0 before the first sample.
        pub srtt_us_8: u32,
        /// Smallest round-trip time of the recent window in microseconds; `u32::MAX` before the
        /// first sample.
        pub min_rtt_us: u32,
        /// Congestion window: how many segments the sender may have in flight (`snd_cwnd`). At
        /// ESTABLISHED this is the initial window.
        pub snd_cwnd: u32,
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
        pub padding: u8,
    }
}

wire! {
    /// A socket went from one state to another (`inet_sock_set_state`, Linux 4.16).
    pub struct StateChange[152] {
        /// Kind [`STATE_CHANGE`], or [`CLOSED`] as a part of [`Closed`].
        pub header: Header,
        /// The socket's addresses.
        pub addresses: Addresses,
        /// The process that did it: on CLOSE→SYN_SENT (`connect`), and on the way to FIN_WAIT1 and
        /// LAST_ACK (`close`, `shutdown`).
        pub task: Task,
        /// The socket's counters; all zero on the way to SYN_SENT and SYN_RECV.
        pub counters: Counters,
        /// The state it leaves.
        pub old: u8,
        /// The state it enters.
        pub new: u8,
        /// [`IN_REPAIR`] and [`AGAIN`]; on the way to CLOSE bits of [`closing`], too.
        pub flags: u16,
        /// `sk_err`: the error number that the next call on the socket returns; 0 for none.
        pub error: u32,
    }
}

wire! {
    /// A packet passed a traced socket (`cgroup_skb`). Its first `captured` bytes follow, from the IP
    /// header on. The record has room for one of [`CAPTURES`].
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
        /// 1 where the socket is a listener: the connection has none of its own yet.
        pub under_listener: u8,
        /// The socket's own port. A packet that leaves may bear another: NAT comes before the hook.
        /// 0 where it has none any more.
        pub local_port: u16,
        /// Payload that passed the socket in this direction before it, retransmitted bytes included.
        /// It distinguishes equal sequence numbers that are 2^32 bytes apart.
        pub before_bytes: u64,
        /// Where payload changes its direction here: when the last payload of the other direction
        /// passed. Else 0.
        pub turned_ns: u64,
        /// Where a SYN reaches a listener: the length of its accept queue (`sk_ack_backlog`). Else 0.
        pub accept_queue: u32,
        /// The queue's limit (`sk_max_ack_backlog`). While the queue is longer, SYNs are dropped.
        pub accept_queue_limit: u32,
    }
}

wire! {
    /// More of the payload of a [`Segment`] than that has room for. The bytes follow. The record has
    /// room for one of [`MORE_CAPTURES`].
    pub struct MoreBytes[48] {
        /// Kind [`MORE_BYTES`].
        pub header: Header,
        /// The segment's `before_bytes`, which identifies it.
        pub before_bytes: u64,
        /// Where in the segment's payload they begin.
        pub offset: u32,
        /// How many follow.
        pub captured: u32,
        /// The segment's direction.
        pub direction: u8,
        /// Zero.
        pub padding: [u8; 7],
    }
}

wire! {
    /// What passed a socket in one direction, counted in the kernel.
    pub struct Passed[16] {
        /// Payload in bytes, retransmitted bytes included.
        pub bytes: u64,
        /// When the last segment with payload passed, CLOCK_MONOTONIC; 0 for none.
        pub last_ns: u64,
    }
}

wire! {
    /// A socket enters CLOSE: the change, and what its segments came to. Where nothing is remembered of the socket, a
    /// [`StateChange`] takes its place.
    pub struct Closed[184] {
        /// Its header is of kind [`CLOSED`].
        pub change: StateChange,
        /// By [`EGRESS`] and [`INGRESS`].
        pub passed: [Passed; 2],
    }
}

wire! {
    /// Totals of a socket's segments, sent when it entered CLOSE.
    pub struct Flow[56] {
        /// Kind [`FLOW`].
        pub header: Header,
        /// By [`EGRESS`] and [`INGRESS`].
        pub passed: [Passed; 2],
    }
}

wire! {
    /// A traced socket is a subflow of an MPTCP socket (`bpf_skc_to_mptcp_sock`, Linux 5.19).
    pub struct Subflow[40] {
        /// Kind [`SUBFLOW`].
        pub header: Header,
        /// The cookie of the MPTCP socket's first traced subflow. Records of the kinds [`SEND`] and
        /// [`RELEASE`] bear it where a process acts on the MPTCP socket.
        pub first: u64,
        /// The MPTCP socket's own token, as `ss -M` prints it.
        pub token: u32,
        /// Zero.
        pub padding: u32,
    }
}

wire! {
    /// A thread that had read from one traced socket connected this one, or was the first to send on it since
    /// payload arrived: as a proxy passes on what it read. One socket was accepted, the other connected.
    pub struct Relay[40] {
        /// Kind [`RELAY`].
        pub header: Header,
        /// The cookie of the socket that the thread read from last.
        pub read: u64,
        /// 1 where the thread connected the socket; 0 where it sent on it.
        pub connects: u8,
        /// Zero.
        pub padding: [u8; 7],
    }
}

wire! {
    /// Something else that happened to a socket; the header's kind names it.
    pub struct SocketEvent[104] {
        /// A kind that has no record of its own.
        pub header: Header,
        /// The socket's addresses.
        pub addresses: Addresses,
        /// The process that acted, for [`READ`], [`SEND`], [`RELEASE`] and [`ADOPTED`]; else zero.
        pub task: Task,
        /// The socket's state.
        pub state: u8,
        /// Zero.
        pub padding: [u8; 3],
        /// The error number, for [`ERROR`], and for a [`RETRANSMIT`] that failed (Linux 6.17 and
        /// later); the reason of a [`RESET_SENT`] (Linux 6.10 and later); else 0.
        pub error: u32,
    }
}
