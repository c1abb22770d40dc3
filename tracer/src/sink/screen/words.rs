//! What limits a connection, in a word or two: `docs/output.md` has what each means.

use tracer_ebpf::record::{receiver, sender};

use crate::core::overview::{Limit, LimitKind, OrderBy};

/// What the limit is called.
pub(super) fn limit(limit: Limit) -> String {
    let name = match limit.kind {
        LimitKind::Sender(kind) => of_sender(kind),
        LimitKind::Receiver(kind) => of_receiver(kind),
    };
    format!("{name} {} %", limit.hundredths)
}

fn of_sender(kind: usize) -> &'static str {
    match kind {
        sender::IDLE => "idle",
        sender::APPLICATION => "process",
        sender::LOCKSTEP => "waits for peer",
        sender::SEND_BUFFER => "send buffer",
        sender::WINDOW => "peer's window",
        sender::ZERO_WINDOW => "window closed",
        sender::CONGESTION_WINDOW => "congestion",
        sender::PACING => "pacing",
        sender::RECOVERY => "recovery",
        sender::TIMEOUT => "time-out",
        sender::NAGLE => "Nagle",
        sender::QUEUE => "own queue",
        _ => "?",
    }
}

fn of_receiver(kind: usize) -> &'static str {
    match kind {
        receiver::NOT_READ => "seen: not read",
        receiver::WINDOW => "seen: window",
        receiver::HOLE => "seen: hole",
        receiver::SENDER_GAP => "seen: pauses",
        receiver::GAP => "seen: gaps",
        receiver::LATE => "seen: late",
        receiver::FLOW => "seen: flow",
        receiver::OUTAGE => "seen: outage",
        _ => "?",
    }
}

pub(super) const fn order(order: OrderBy) -> &'static str {
    match order {
        OrderBy::Rate => "rate",
        OrderBy::Bytes => "bytes",
        OrderBy::Rtt => "round-trip time",
        OrderBy::Retransmits => "retransmits",
        OrderBy::Age => "age",
    }
}

#[cfg(test)]
mod tests {
    use tracer_ebpf::record::{receiver, sender};

    use super::{of_receiver, of_sender};

    #[test]
    fn each_limit_has_a_name() {
        for kind in 0..sender::COUNT {
            assert_ne!(of_sender(kind), "?", "{kind}");
        }
        for kind in 0..receiver::COUNT {
            assert_ne!(of_receiver(kind), "?", "{kind}");
        }
    }
}
