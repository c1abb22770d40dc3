//! What ended a connection, or an attempt to open one, otherwise than with a FIN from each end: a RST, or
//! a kernel that gave up.

use upload_protocol::{
    End,
    State::{Close, FinWait2, SynRecv, SynSent},
    timeline::{Cause, ResetReason, SocketError, Timer},
};

use super::{Connection, Reset, Transition, View};

/// An end's RST, or its kernel's giving up.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    pub by: End,
    /// CLOCK_MONOTONIC.
    pub mono_ns: u64,
    /// Whether the kernel gave up. If it sent a RST then, that tells the peer, and is not the cause.
    pub gave_up: bool,
    pub cause: Cause,
}

/// A RST that a socket sent or received.
#[derive(Clone, Copy, Debug)]
pub struct FirstReset {
    /// The end that sent it.
    pub from: End,
    /// CLOCK_MONOTONIC.
    pub mono_ns: u64,
    pub tracepoint: &'static str,
}

impl Connection {
    /// The earliest of what ended it.
    #[must_use]
    pub fn ended(&self) -> Option<Ended> {
        [End::Client, End::Server]
            .into_iter()
            .filter_map(|end| self.ended_by(end))
            .min_by_key(|ended| ended.mono_ns)
    }

    fn ended_by(&self, by: End) -> Option<Ended> {
        let own = self.view(by);
        let sent = own.and_then(View::sent_reset);
        let gave_up = own.and_then(View::gave_up);
        let arrived = self.view(by.other()).and_then(View::received_reset_ns);
        let times = [
            sent.map(|reset| reset.mono_ns),
            gave_up.map(|last| last.mono_ns),
            arrived,
        ];
        Some(Ended {
            by,
            mono_ns: times.into_iter().flatten().min()?,
            gave_up: gave_up.is_some(),
            cause: own.map(View::cause).unwrap_or_default(),
        })
    }

    /// The first RST of those that ended it.
    #[must_use]
    pub fn first_reset(&self) -> Option<FirstReset> {
        let resets = self.views().flat_map(|(end, view)| {
            view.ending_resets().map(move |reset| {
                let (from, tracepoint) = if reset.sent {
                    (end, "tcp_send_reset")
                } else {
                    (end.other(), "tcp_receive_reset")
                };
                FirstReset {
                    from,
                    mono_ns: reset.mono_ns,
                    tracepoint,
                }
            })
        });
        resets.min_by_key(|reset| reset.mono_ns)
    }

    /// Whether a socket sent or received a RST that ended it.
    #[must_use]
    pub fn was_reset(&self) -> bool {
        self.views().any(|(_, view)| view.was_reset())
    }
}

impl View {
    /// Whether the socket sent or received a RST that ended it.
    #[must_use]
    pub fn was_reset(&self) -> bool {
        self.ending_resets().next().is_some()
    }

    /// Its error, its timer and the reason of its RST.
    #[must_use]
    pub fn cause(&self) -> Cause {
        let last = self.last().filter(|last| last.new == Close);
        let sent = self.sent_reset();
        let timer = last.and_then(|last| self.timer(last));
        let closing = last.map(|last| last.closing).unwrap_or_default();
        Cause {
            error: last.and_then(own_error),
            timer,
            user_timeout: timer.is_some() && closing.has_user_timeout(),
            orphan: timer.is_some() && closing.is_orphan(),
            reset_reason: sent.and_then(|reset| reset.reason),
        }
    }

    /// The RSTs that ended it, not one that it sent before it changed its state again: in SYN_SENT it
    /// answers a bad ACK with a RST, and waits on (RFC 9293, section 3.10.7.3).
    ///
    /// A socket that its process has closed, and that data reach, closes itself as if a RST had come
    /// (`tcp_reset`), and then sends one: that it received one is not true.
    fn ending_resets(&self) -> impl Iterator<Item = &Reset> {
        let changes = self.transitions.iter().filter(|seen| seen.new != Close);
        let since_ns = changes.map(|seen| seen.mono_ns).max().unwrap_or_default();
        let resets = &self.incidents().resets;
        let sends = resets
            .iter()
            .any(|reset| reset.sent && reset.mono_ns >= since_ns);
        resets
            .iter()
            .filter(move |reset| reset.mono_ns >= since_ns && reset.sent == sends)
    }

    fn sent_reset(&self) -> Option<&Reset> {
        self.ending_resets().find(|reset| reset.sent)
    }

    /// When the peer's RST came. The record of the RST may be lost: the error remains.
    fn received_reset_ns(&self) -> Option<u64> {
        if let Some(reset) = self.ending_resets().next() {
            return (!reset.sent).then_some(reset.mono_ns);
        }
        let last = self.last().filter(|last| last.new == Close)?;
        is_of_reset(last.error).then_some(last.mono_ns)
    }

    /// The transition to CLOSE by an error of its own, such as a time-out.
    fn gave_up(&self) -> Option<&Transition> {
        let last = self.last().filter(|last| last.new == Close)?;
        let error = own_error(last)?;
        let was_destroyed = error == SocketError::CONNECTION_ABORTED && self.sent_reset().is_some();
        let is_own = self.received_reset_ns().is_none() && !was_destroyed;
        is_own.then_some(last)
    }

    /// The timer that closed the socket.
    fn timer(&self, last: &Transition) -> Option<Timer> {
        let sent = self.sent_reset();
        if sent.and_then(|reset| reset.reason) == Some(ResetReason::KeepAliveTimeout) {
            return Some(Timer::KeepAlive);
        }
        let gave_up = self.gave_up().is_some();
        // A process closes the socket before the kernel sends the RST; a timer, after that.
        if sent.is_some_and(|reset| reset.mono_ns <= last.mono_ns) {
            return match last.old {
                _ if gave_up => Some(Timer::KeepAlive),
                FinWait2 if last.error == 0 => Some(Timer::FinWait2),
                _ => None,
            };
        }
        let timed_out = last.error == SocketError::TIMED_OUT.0;
        match last.old {
            _ if !gave_up => None,
            SynSent | SynRecv => timed_out.then_some(Timer::Retransmission),
            // The error may be that of an ICMP message that came while the timer ran (`sk_err_soft`).
            _ if last.closing.is_retransmitting() => Some(Timer::Retransmission),
            _ if last.closing.is_probing() => Some(Timer::Persist),
            _ => None,
        }
    }
}

/// What the kernel sets when a RST came (`tcp_reset`).
const fn is_of_reset(error: u32) -> bool {
    matches!(
        SocketError(error),
        SocketError::CONNECTION_RESET | SocketError::BROKEN_PIPE
    )
}

/// An error that no RST set.
const fn own_error(last: &Transition) -> Option<SocketError> {
    if last.error == 0 || is_of_reset(last.error) {
        return None;
    }
    Some(SocketError(last.error))
}

#[cfg(test)]
mod tests;
