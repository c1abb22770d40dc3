//! A socket's changes of state, and the counters kept from them.

use tracer_ebpf::record::{Counters, closing};
use upload_protocol::State;

/// A change of state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transition {
    /// When, CLOCK_MONOTONIC.
    pub mono_ns: u64,
    /// Sequence numbers received in order by then; a FIN counts one.
    pub bytes_received: u64,
    /// `sk_err` then.
    pub error: u32,
    /// The state it left.
    pub old: State,
    /// The state it entered.
    pub new: State,
    /// What stood at the socket, if it entered CLOSE.
    pub closing: Closing,
}

/// Bits of [`closing`]. Records of earlier tracers have none: then nothing is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Closing(pub u16);

impl Closing {
    #[must_use]
    pub const fn is_retransmitting(self) -> bool {
        self.has(closing::RETRANSMITTING)
    }

    /// Whether the peer's window was probed. An answer resets the count of probes, and the window stays
    /// closed.
    #[must_use]
    pub const fn is_probing(self) -> bool {
        self.has(closing::PROBING) || self.has(closing::ZERO_WINDOW)
    }

    #[must_use]
    pub const fn has_user_timeout(self) -> bool {
        self.has(closing::USER_TIMEOUT)
    }

    #[must_use]
    pub const fn is_orphan(self) -> bool {
        self.has(closing::ORPHAN)
    }

    const fn has(self, bit: u16) -> bool {
        self.0 & closing::KNOWN != 0 && self.0 & bit != 0
    }
}

/// What a socket's counters say of its handshake: the fields of [`Counters`] with these names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opened {
    pub srtt_us_8: u32,
    pub mss_clamp: u16,
    pub timestamps: bool,
    pub sack: bool,
    pub window_scaling: bool,
    pub snd_wscale: u8,
    pub rcv_wscale: u8,
}

/// What a socket's counters say of what it was used for, likewise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    pub bytes_acked: u64,
    pub total_retrans: u32,
    pub srtt_us_8: u32,
    pub min_rtt_us: u32,
    pub snd_cwnd: u32,
}

impl Opened {
    pub(super) const fn of(counters: &Counters) -> Self {
        Self {
            srtt_us_8: counters.srtt_us_8,
            mss_clamp: counters.mss_clamp,
            timestamps: counters.timestamps != 0,
            sack: counters.sack != 0,
            window_scaling: counters.window_scaling != 0,
            snd_wscale: counters.snd_wscale,
            rcv_wscale: counters.rcv_wscale,
        }
    }
}

impl Counted {
    pub(super) const NOTHING: Self = Self {
        bytes_acked: 0,
        total_retrans: 0,
        srtt_us_8: 0,
        min_rtt_us: 0,
        snd_cwnd: 0,
    };

    pub(super) const fn of(counters: &Counters) -> Self {
        Self {
            bytes_acked: counters.bytes_acked,
            total_retrans: counters.total_retrans,
            srtt_us_8: counters.srtt_us_8,
            min_rtt_us: counters.min_rtt_us,
            snd_cwnd: counters.snd_cwnd,
        }
    }
}
