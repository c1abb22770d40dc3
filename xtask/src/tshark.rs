//! What the tracer's analysis of segments is compared with.

/// tshark's flags, and the tracer's names of them. Not there: `tcp.analysis.reused_ports`, since the tracer gives the
/// next conversation a number of its own.
pub const ANALYSIS: [(&str, &str); 14] = [
    ("tcp.analysis.retransmission", "retransmission"),
    ("tcp.analysis.fast_retransmission", "fast-retransmission"),
    (
        "tcp.analysis.spurious_retransmission",
        "spurious-retransmission",
    ),
    ("tcp.analysis.out_of_order", "out-of-order"),
    ("tcp.analysis.lost_segment", "previous-segment-not-seen"),
    ("tcp.analysis.ack_lost_segment", "acked-unseen-segment"),
    ("tcp.analysis.zero_window", "zero-window"),
    ("tcp.analysis.zero_window_probe", "zero-window-probe"),
    (
        "tcp.analysis.zero_window_probe_ack",
        "zero-window-probe-ack",
    ),
    ("tcp.analysis.window_full", "window-full"),
    ("tcp.analysis.window_update", "window-update"),
    ("tcp.analysis.duplicate_ack", "duplicate-ack"),
    ("tcp.analysis.keep_alive", "keep-alive"),
    ("tcp.analysis.keep_alive_ack", "keep-alive-ack"),
];
