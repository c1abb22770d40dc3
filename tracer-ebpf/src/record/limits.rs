//! What held a socket back: the layout of its record.

use super::Header;
#[cfg(doc)]
use super::{LIMITS, TIME_OUT};

/// Indices into [`LimitTimes::sender`]: what the sender of a socket was limited by. Each stretch of time
/// between two segments belongs to one of them.
pub mod sender {
    /// Everything was acknowledged, and the process gave nothing to send.
    pub const IDLE: usize = 0;
    /// Everything was sent, and the process gave no more.
    pub const APPLICATION: usize = 1;
    /// Either of the two, ended by payload that arrived: the process waited for its peer.
    pub const LOCKSTEP: usize = 2;
    /// Everything was sent, and the send buffer was full of it (`SOCK_NOSPACE`).
    pub const SEND_BUFFER: usize = 3;
    /// The peer's window (`TCP_CHRONO_RWND_LIMITED`).
    pub const WINDOW: usize = 4;
    /// The same where it had no room for one segment.
    pub const ZERO_WINDOW: usize = 5;
    /// The congestion window.
    pub const CONGESTION_WINDOW: usize = 6;
    /// The pacing rate: BBR's, or that of `SO_MAX_PACING_RATE`.
    pub const PACING: usize = 7;
    /// Fast recovery (`TCP_CA_Recovery`).
    pub const RECOVERY: usize = 8;
    /// Recovery after a retransmission time-out, and the wait for it (`TCP_CA_Loss`).
    pub const TIMEOUT: usize = 9;
    /// Less than a segment waited for an acknowledgment (Nagle, RFC 896).
    pub const NAGLE: usize = 10;
    /// A queue of this machine: of the network device, or of segments that are to be sent as one.
    pub const QUEUE: usize = 11;
    /// How many there are.
    pub const COUNT: usize = 12;
}

/// Indices into [`LimitTimes::receiver`]: what the receiver of a socket saw between two arrivals of
/// payload.
pub mod receiver {
    /// The process did not read: more waited for it than there was room left.
    pub const NOT_READ: usize = 0;
    /// The window was used up.
    pub const WINDOW: usize = 1;
    /// Something was missing before what had arrived.
    pub const HOLE: usize = 2;
    /// A gap after a segment that was not full: the sender had no more.
    pub const SENDER_GAP: usize = 3;
    /// A gap after a full segment.
    pub const GAP: usize = 4;
    /// For two round trips, all segments were on the way for longer than the fastest: they waited in a queue.
    pub const LATE: usize = 5;
    /// None of these.
    pub const FLOW: usize = 6;
    /// A gap after a full segment that was as long as a retransmission time-out.
    pub const OUTAGE: usize = 7;
    /// How many there are.
    pub const COUNT: usize = 8;
}

wire! {
    /// How long each limit held a socket back, in nanoseconds since the first segment.
    pub struct LimitTimes[176] {
        /// By the constants of [`sender`].
        pub sender: [u64; sender::COUNT],
        /// By the constants of [`receiver`].
        pub receiver: [u64; receiver::COUNT],
        /// Of [`sender::IDLE`] and [`sender::APPLICATION`], what is not in `sender` yet: the next segment
        /// with payload decides whether it was [`sender::LOCKSTEP`].
        pub undecided: [u64; 2],
    }
}

wire! {
    /// Gauges of a socket since its record before.
    pub struct Gauges[40] {
        /// Sum of the smoothed round-trip times at each evaluation, in microseconds, …
        pub srtt_sum_us: u64,
        /// … and how many there are.
        pub srtt_samples: u32,
        /// The largest window that the peer announced.
        pub max_peer_window: u32,
        /// The largest number of segments in flight.
        pub max_in_flight: u32,
        /// The most that waited for the process, in bytes.
        pub max_unread: u32,
        /// The most room that the window had, in bytes.
        pub max_room: u32,
        /// The longest delay beyond the fastest, in milliseconds.
        pub max_delay_ms: u32,
        /// How many times the window was used up.
        pub windows_used: u32,
        /// How long before this record the socket was seen to be accepted, where it had been seen to wait for
        /// that, in microseconds, at least 1; else 0. At most about 71 minutes.
        pub accepted_before_us: u32,
    }
}

wire! {
    /// What held a socket back. Submitted where payload changes its direction, now and then while it does
    /// not, and when the socket enters CLOSE.
    pub struct Limits[296] {
        /// Kind [`LIMITS`].
        pub header: Header,
        /// So far.
        pub times: LimitTimes,
        /// Since the record before.
        pub gauges: Gauges,
        /// When a process read from the socket last, CLOCK_MONOTONIC; 0 for never.
        pub read_ns: u64,
        /// Out-of-order segments received (`rcv_ooopack`).
        pub out_of_order: u32,
        /// Segments retransmitted (`total_retrans`).
        pub total_retrans: u32,
        /// Retransmissions that the peer had already (`dsack_dups`).
        pub dsack_dups: u32,
        /// Smallest round-trip time in microseconds (`rtt_min`); `u32::MAX` before the first sample.
        pub min_rtt_us: u32,
        /// The congestion window in segments.
        pub snd_cwnd: u32,
        /// The size of a full segment (`mss_cache`).
        pub mss: u32,
        /// Bytes that the process gave and the peer has not acknowledged.
        pub unacknowledged: u32,
        /// Bytes that arrived and the process has not read.
        pub unread: u32,
        /// `sk_sndbuf`.
        pub send_buffer: u32,
        /// `sk_rcvbuf`.
        pub receive_buffer: u32,
        /// Which buffer sizes a process fixed (`sk_userlocks`), and which are the largest that the kernel
        /// permits: bits of [`FIXED_SEND_BUFFER`] and the constants after it.
        pub fixed_buffers: u8,
        /// [`TURN`] or [`PERIOD`] or [`END`].
        pub occasion: u8,
        /// The direction of the payload that begins, with [`TURN`].
        pub direction: u8,
        /// Zero.
        pub padding: u8,
        /// How long the thread that sends on the socket ran on a CPU so far, in milliseconds
        /// (`sum_exec_runtime`). 0 where that is unknown, too: records of earlier tracers have 0.
        pub processor_ms: u32,
    }
}

/// `Limits::occasion`: payload changes its direction.
pub const TURN: u8 = 0;
/// `Limits::occasion`: some time has passed.
pub const PERIOD: u8 = 1;
/// `Limits::occasion`: the socket enters CLOSE.
pub const END: u8 = 2;

/// `Limits::fixed_buffers`: the send buffer's (`SOCK_SNDBUF_LOCK`).
pub const FIXED_SEND_BUFFER: u8 = 1;
/// `Limits::fixed_buffers`: the receive buffer's (`SOCK_RCVBUF_LOCK`).
pub const FIXED_RECEIVE_BUFFER: u8 = 2;
/// `Limits::fixed_buffers`: the send buffer is as large as `net.ipv4.tcp_wmem` permits. Between, records of
/// earlier tracers have other bits of `sk_userlocks`.
pub const LARGEST_SEND_BUFFER: u8 = 16;
/// `Limits::fixed_buffers`: the receive buffer is as large as `net.ipv4.tcp_rmem` permits.
pub const LARGEST_RECEIVE_BUFFER: u8 = 32;

wire! {
    /// The retransmission timer (RFC 6298) sent the first segment again that is not acknowledged.
    pub struct TimeOut[40] {
        /// Kind [`TIME_OUT`].
        pub header: Header,
        /// Sequence numbers that the peer acknowledged so far (`bytes_acked`): where the segment begins.
        pub bytes_acked: u64,
        /// Its payload, in bytes.
        pub length: u32,
        /// Zero.
        pub padding: u32,
    }
}
