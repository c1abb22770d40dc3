//! What a socket's counters and windows are at one moment: the layout of its record.

use super::Header;
#[cfg(doc)]
use super::SAMPLE;

/// A socket is sampled once the peer acknowledged so many sequence numbers, or so many arrived: it carries more than a
/// short request.
pub const SAMPLED_FROM_BYTES: u64 = 64 << 10;

wire! {
    /// A sample of a traced socket. Submitted at a segment that arrives, before the kernel processes it (`tcp_probe`), now
    /// and then; and at each change of state after the first sample.
    pub struct Sample[72] {
        /// Kind [`SAMPLE`].
        pub header: Header,
        /// Sequence numbers that the peer acknowledged (`bytes_acked`); a SYN without ACK and a FIN count one each.
        pub bytes_acked: u64,
        /// Sequence numbers received in order (`bytes_received`); a FIN counts one.
        pub bytes_received: u64,
        /// Sequence numbers sent and not acknowledged: from `snd_una` to `snd_nxt`.
        pub in_flight: u32,
        /// The window that the peer announced last, in bytes (`snd_wnd`).
        pub peer_window: u32,
        /// The window that this end announced last, in bytes (`rcv_wnd`).
        pub own_window: u32,
        /// The congestion window in segments (`snd_cwnd`).
        pub snd_cwnd: u32,
        /// The size of a full segment, in bytes of payload (`mss_cache`).
        pub mss: u32,
        /// Smoothed round-trip time in eighths of a microsecond (`srtt_us`); 0 before the first measurement.
        pub srtt_us_8: u32,
        /// Segments retransmitted so far (`total_retrans`).
        pub total_retrans: u32,
        /// Zero.
        pub padding: u32,
    }
}
