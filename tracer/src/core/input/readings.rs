//! What open sockets have counted, as sock_diag(7) lists it.

/// The counters of many sockets at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Readings {
    /// CLOCK_MONOTONIC, in nanoseconds.
    pub at_ns: u64,
    pub sockets: Vec<Reading>,
}

/// Fields of `struct tcp_info` (`linux/tcp.h`, Linux 4.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// The socket's cookie.
    pub cookie: u64,
    /// Sequence numbers acknowledged by the peer; a SYN and a FIN count one each.
    pub bytes_acked: u64,
    /// Sequence numbers received in order; a FIN counts one.
    pub bytes_received: u64,
    /// Segments sent again.
    pub total_retrans: u32,
    /// The smoothed round-trip time in microseconds; 0 before the first.
    pub rtt_us: u32,
}
