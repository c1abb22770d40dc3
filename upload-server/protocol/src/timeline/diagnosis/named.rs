//! What a cause is more exactly, where that can be seen.

use serde::{Deserialize, Serialize};

use crate::names::names;

names! {
    /// A well-known form of a verdict's cause.
    pub enum NamedCause {
        /// The path drops segments above a size, and no ICMP message tells the sender (RFC 2923, section
        /// 2.1). The cause is `loss`.
        MtuBlackHole = "mtu_black_hole",
        /// A queue of the path is much longer than the path needs (RFC 8289, section 3). The cause is
        /// `path`.
        Bufferbloat = "bufferbloat",
        /// The flow-control window of HTTP/2 (RFC 9113, section 5.2). The cause is `waits_for_peer`.
        Http2Window = "http2_window",
        /// The process set the size of the send buffer (`SO_SNDBUF`).
        SoSndbuf = "so_sndbuf",
        /// The send buffer is as large as `net.ipv4.tcp_wmem` permits.
        TcpWmem = "tcp_wmem",
        /// The process set the size of the receive buffer (`SO_RCVBUF`).
        SoRcvbuf = "so_rcvbuf",
        /// The receive buffer is as large as `net.ipv4.tcp_rmem` permits.
        TcpRmem = "tcp_rmem",
        /// The handshake agreed on no window scaling (RFC 7323, section 2).
        NoWindowScaling = "no_window_scaling",
        /// The thread that sends was on a CPU nearly all the time. The cause is `client_application`.
        Cpu = "cpu",
        /// The server waited for its disk, by its own word. The cause is `server_not_reading` or
        /// `server_thinks`.
        Disk = "disk",
    }
}

/// What is known of a path that drops segments above a size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BlackHole {
    /// Payload of the segment that was never acknowledged, in bytes.
    pub dropped_bytes: u32,
    /// How many times the retransmission timer sent it again (RFC 6298).
    pub time_outs: u32,
    /// No segment with more payload than this was acknowledged, in bytes.
    pub passed_bytes: u64,
    /// Whether the kernel then lowered the size of a segment, as with `net.ipv4.tcp_mtu_probing`
    /// (RFC 4821).
    pub mss_fell: bool,
}
