//! Facts about how a connection was closed by FINs, from its sockets' states.

use upload_protocol::{
    End, Flags,
    State::{Close, CloseWait, Closing, FinWait1, FinWait2, LastAck},
};

use super::{Connection, Transition, View};

/// Two ends that close on two processors within this time cannot be put in order: a program reads the clock a
/// little after the change of state that it records, and a little later still if another one is attached there.
const SAME_TIME_NS: u64 = 100_000;

impl Connection {
    /// Whether the socket of `end` received its peer's FIN, which the kernel's counters count as a byte.
    ///
    /// CLOSE after FIN_WAIT2 alone is no proof: once no process holds the socket, the kernel replaces it
    /// by a TIME_WAIT entry without waiting (`tcp_time_wait` with `TCP_FIN_WAIT2`). `None` where records were
    /// lost, and those that are left do not show it.
    #[must_use]
    pub fn received_fin(&self, end: End) -> Option<bool> {
        let Some(view) = self.view(end) else {
            return Some(false);
        };
        // The change to the state may be lost, and the one from it not.
        let follows = |state| matches!(state, CloseWait | LastAck | Closing);
        let mut seen = view.transitions.iter();
        if seen.any(|seen| follows(seen.old) || follows(seen.new))
            || self.fin_after_fin_wait2(end).is_some()
        {
            return Some(true);
        }
        let may_have_come = self.lost > 0
            && view.last().is_some_and(|last| {
                let waiting = view.entered(FinWait2);
                let counted = waiting.map_or(0, |waiting| waiting.bytes_received);
                last.old == FinWait2 && last.bytes_received > counted
            });
        (!may_have_come).then_some(false)
    }

    /// The transition to CLOSE caused by the peer's FIN, if it came in FIN_WAIT2: its segment was seen
    /// before; or, without segments, the counter of received bytes has moved since.
    #[must_use]
    pub fn fin_after_fin_wait2(&self, end: End) -> Option<&Transition> {
        let view = self.view(end)?;
        let waiting = view.entered(FinWait2)?;
        let last = view.last()?;
        let steps = &self.dialogue.steps;
        let came = if steps.is_empty() {
            last.bytes_received > waiting.bytes_received
        } else {
            steps.iter().any(|step| {
                step.from == end.other()
                    && step.flags.has(Flags::FIN)
                    && step.mono_ns <= last.mono_ns
            })
        };
        (last.old == FinWait2 && last.new == Close && came && !view.was_reset()).then_some(last)
    }

    /// The end that closed first, by its own FIN_WAIT1 or by its peer's CLOSE_WAIT.
    #[must_use]
    pub fn first_closer(&self) -> Option<End> {
        self.first_close().map(|(_, end)| end)
    }

    /// … and when.
    #[must_use]
    pub fn first_close(&self) -> Option<(u64, End)> {
        let candidates = [End::Client, End::Server].into_iter().filter_map(|end| {
            let own = self.view(end).and_then(|view| view.entered(FinWait1));
            let received = self
                .view(end.other())
                .and_then(|view| view.entered(CloseWait));
            let at = own.or(received)?.mono_ns;
            Some((at, end))
        });
        candidates.min_by_key(|(at, _)| *at)
    }

    /// The same where it is certain. If the FINs crossed, each end closed first by its own states: one
    /// end alone cannot know, nor can both if they closed [at the same time](SAME_TIME_NS).
    #[must_use]
    pub fn closed_first(&self) -> Option<End> {
        let crossed = self
            .views()
            .any(|(_, view)| view.entered(Closing).is_some());
        if !crossed {
            return self.first_closer();
        }
        let closed = |end| Some(self.view(end)?.entered(FinWait1)?.mono_ns);
        let (client, server) = closed(End::Client).zip(closed(End::Server))?;
        let is_clear = client.abs_diff(server) >= SAME_TIME_NS;
        self.first_closer().filter(|_| is_clear)
    }

    /// Whether an error closed a socket after it had sent its FIN.
    #[must_use]
    pub fn gave_up_closing(&self) -> bool {
        self.views().any(|(_, view)| {
            view.last().is_some_and(|last| {
                let closing = matches!(last.old, FinWait1 | LastAck | Closing);
                closing && last.new == Close && last.error != 0
            })
        })
    }

    /// Whether the last process released a socket in FIN_WAIT2: the kernel replaced it by a TIME_WAIT
    /// entry, which no hook sees (`tcp_time_wait` with `TCP_FIN_WAIT2`).
    #[must_use]
    pub fn was_orphaned(&self) -> bool {
        self.views().any(|(_, view)| {
            view.last()
                .is_some_and(|last| last.old == FinWait2 && last.new == Close)
        })
    }

    /// Whether the socket of `end` received data after its own FIN, not only the peer's FIN.
    #[must_use]
    pub fn received_after_fin(&self, end: End) -> bool {
        let view = self.view(end);
        let Some((fin, last)) = view.and_then(|view| view.entered(FinWait1).zip(view.last()))
        else {
            return false;
        };
        let peer_fin = u64::from(self.received_fin(end).unwrap_or(true));
        last.bytes_received > fin.bytes_received.saturating_add(peer_fin)
    }

    /// The end that holds the connection in TIME_WAIT.
    #[must_use]
    pub fn time_wait(&self) -> Option<End> {
        self.views()
            .find(|(_, view)| {
                view.last()
                    .is_some_and(|last| matches!(last.old, FinWait2 | Closing) && last.new == Close)
            })
            .map(|(end, _)| end)
    }
}

impl View {
    /// Whether the peer acknowledged the socket's FIN. The kernel then goes from LAST_ACK and CLOSING to
    /// CLOSE, without an error unless it has given up.
    #[must_use]
    pub fn fin_was_acknowledged(&self) -> bool {
        self.transitions
            .iter()
            .any(|seen| [seen.old, seen.new].contains(&FinWait2))
            || self.transitions.iter().any(|seen| {
                matches!(seen.old, LastAck | Closing)
                    && seen.new == Close
                    && seen.error == 0
                    && !self.was_reset()
            })
    }
}
