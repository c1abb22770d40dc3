//! Decodes kernel records: checks everything, interprets nothing.

mod addresses;
mod kind;
mod reading;
mod unix;

use tracer_ebpf::record::{self, Closed, SocketEvent, StateChange};
use upload_protocol::{AcceptQueue, OwnerFrom, State, timeline::ResetReason};

use self::reading::{captured, read, read_prefix};
pub use self::{addresses::Addresses, kind::RecordKind, reading::Malformed, unix::UnixRelay};
use crate::core::segment::Segment;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event<'a> {
    /// CLOCK_MONOTONIC in nanoseconds.
    pub mono_ns: u64,
    /// The socket's cookie; the listener's for [`EventKind::SynAckRetransmit`].
    pub cookie: u64,
    /// The socket's addresses; absent for segments, which have their own, for
    /// [`EventKind::Flow`], [`EventKind::Limits`], [`EventKind::Sample`], [`EventKind::TimeOut`],
    /// [`EventKind::Subflow`], [`EventKind::Relay`], [`EventKind::UnixRelay`], [`EventKind::UnixBytes`] and [`EventKind::Held`].
    pub addresses: Option<Addresses>,
    pub what: EventKind<'a>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventKind<'a> {
    /// The socket changed state.
    State {
        old: State,
        new: State,
        /// Whether a process restores the socket's state, or has taken it (`TCP_REPAIR`): no segment
        /// causes or follows the change.
        in_repair: bool,
        /// Whether the socket had a traced connection before.
        again: bool,
        /// The task, if a system call caused it.
        task: Option<record::Task>,
        /// The socket's counters at that moment.
        counters: record::Counters,
        /// `sk_err`, an errno; 0 for none.
        error: u32,
        /// Bits of [`record::closing`].
        closing: u16,
        /// What the socket's segments came to, if it enters CLOSE.
        passed: Option<[record::Passed; 2]>,
    },
    /// A segment was retransmitted, or could not be.
    Retransmit {
        /// The state the socket is in.
        state: State,
        /// Why it did not leave, an errno; 0 if it did.
        error: u32,
    },
    /// The listener retransmitted a SYN-ACK.
    SynAckRetransmit,
    /// The socket sent a RST, if known why.
    ResetSent(Option<ResetReason>),
    /// The socket received a RST.
    ResetReceived,
    /// A segment passed the socket.
    Segment(Segment<&'a [u8]>),
    /// More of a segment's payload.
    MoreBytes(MoreBytes<'a>),
    /// What the socket's segments came to: those that left and those that reached it. In recordings of earlier
    /// tracers alone.
    Flow([record::Passed; 2]),
    /// What held the socket back so far.
    Limits(Box<record::Limits>),
    /// What the socket's counters and windows are at this moment.
    Sample(Box<record::Sample>),
    /// The retransmission timer sent the first segment again that is not acknowledged.
    TimeOut {
        /// Sequence numbers that the peer acknowledged before it.
        bytes_acked: u64,
        /// Its payload, in bytes.
        length: u32,
    },
    /// The socket reports this errno to its process; 0 for an ICMP message that is no error of the
    /// socket yet.
    Error(u32),
    /// The socket is a subflow of an MPTCP socket.
    Subflow {
        /// The cookie of its first subflow, which stands for it: [`EventKind::Held`] bears that.
        first: u64,
        /// Its token.
        token: u32,
    },
    /// A thread acted on the socket after it had read from another.
    Relay(Relay),
    /// A process that is followed acted on the socket, which is traced from now on.
    Adopted(State, Option<record::Task>),
    /// A thread sent on a Unix socket after it had read from this one.
    UnixRelay(Box<UnixRelay>),
    /// It sent so much more on that.
    UnixBytes {
        /// The Unix socket's cookie.
        socket: u64,
        bytes: u64,
    },
    /// A process made a system call on the socket; no task if the record names none.
    Held(SocketCall, Option<record::Task>),
}

/// More of a segment's payload than its own record has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MoreBytes<'a> {
    /// Whether the segment left the socket; else it arrived.
    pub leaving: bool,
    /// Payload that passed the socket in this direction before the segment, which identifies it.
    pub before_bytes: u64,
    /// Where in the segment's payload they begin.
    pub offset: u32,
    pub bytes: &'a [u8],
}

/// A thread acted on a socket after it had read from another: as a proxy passes on what it read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relay {
    /// The cookie of the socket that it read from.
    pub read: u64,
    /// Whether it connected the socket; else it was the first to send on it since payload arrived.
    pub connects: bool,
}

/// A system call that shows which process has a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketCall {
    /// It read from it.
    Read,
    /// It sent on it.
    Send,
    /// The last process that held the socket released it.
    Release,
}

impl From<SocketCall> for OwnerFrom {
    fn from(holding: SocketCall) -> Self {
        match holding {
            SocketCall::Read => Self::Read,
            SocketCall::Send => Self::Send,
            SocketCall::Release => Self::Close,
        }
    }
}

impl<'a> Event<'a> {
    /// Decodes one record.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let (header, _): (record::Header, _) = read_prefix(0, bytes)?;
        match header.kind {
            record::STATE_CHANGE => Self::from_state_change(&read(header.kind, bytes)?, None),
            record::CLOSED => {
                let Closed { change, passed } = read(header.kind, bytes)?;
                Self::from_state_change(&change, Some(passed))
            }
            record::SEGMENT => Self::from_segment(bytes),
            record::MORE_BYTES => Self::from_more_bytes(bytes),
            record::FLOW => {
                let flow: record::Flow = read(header.kind, bytes)?;
                Ok(Self {
                    mono_ns: header.mono_ns,
                    cookie: header.cookie,
                    addresses: None,
                    what: EventKind::Flow(flow.passed),
                })
            }
            record::LIMITS => {
                let limits: record::Limits = read(header.kind, bytes)?;
                Ok(Self {
                    mono_ns: header.mono_ns,
                    cookie: header.cookie,
                    addresses: None,
                    what: EventKind::Limits(Box::new(limits)),
                })
            }
            record::SAMPLE => {
                let sample: record::Sample = read(header.kind, bytes)?;
                Ok(Self {
                    mono_ns: header.mono_ns,
                    cookie: header.cookie,
                    addresses: None,
                    what: EventKind::Sample(Box::new(sample)),
                })
            }
            record::TIME_OUT => {
                let time_out: record::TimeOut = read(header.kind, bytes)?;
                Ok(Self {
                    mono_ns: header.mono_ns,
                    cookie: header.cookie,
                    addresses: None,
                    what: EventKind::TimeOut {
                        bytes_acked: time_out.bytes_acked,
                        length: time_out.length,
                    },
                })
            }
            record::SUBFLOW => {
                let subflow: record::Subflow = read(header.kind, bytes)?;
                Ok(Self {
                    mono_ns: header.mono_ns,
                    cookie: header.cookie,
                    addresses: None,
                    what: EventKind::Subflow {
                        first: subflow.first,
                        token: subflow.token,
                    },
                })
            }
            record::RELAY => {
                let relay: record::Relay = read(header.kind, bytes)?;
                Ok(Self {
                    mono_ns: header.mono_ns,
                    cookie: header.cookie,
                    addresses: None,
                    what: EventKind::Relay(Relay {
                        read: relay.read,
                        connects: relay.connects != 0,
                    }),
                })
            }
            record::UNIX_RELAY => {
                let relay: record::UnixRelay = read(header.kind, bytes)?;
                Ok(Self {
                    mono_ns: header.mono_ns,
                    cookie: header.cookie,
                    addresses: None,
                    what: EventKind::UnixRelay(Box::new(UnixRelay::from(&relay))),
                })
            }
            record::UNIX_BYTES => {
                let more: record::UnixBytes = read(header.kind, bytes)?;
                Ok(Self {
                    mono_ns: header.mono_ns,
                    cookie: header.cookie,
                    addresses: None,
                    what: EventKind::UnixBytes {
                        socket: more.socket,
                        bytes: more.bytes,
                    },
                })
            }
            kind => Self::from_socket_event(kind, bytes),
        }
    }

    fn from_state_change(
        record: &StateChange,
        passed: Option<[record::Passed; 2]>,
    ) -> Result<Self, Malformed> {
        Ok(Self {
            mono_ns: record.header.mono_ns,
            cookie: record.header.cookie,
            addresses: Some(Addresses::from_record(&record.addresses)),
            what: EventKind::State {
                old: state(record.old)?,
                new: state(record.new)?,
                in_repair: record.flags & record::IN_REPAIR != 0,
                again: record.flags & record::AGAIN != 0,
                task: named(record.task),
                counters: record.counters,
                error: record.error,
                closing: record.flags,
                passed,
            },
        })
    }

    fn from_segment(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let (record, packet): (record::Segment, _) = read_prefix(record::SEGMENT, bytes)?;
        let packet = captured(record::SEGMENT, packet, record.captured)?;
        let leaving = record.direction == record::EGRESS;
        let merged = record.gso_segs > 1;
        let (waiting, limit) = (record.accept_queue, record.accept_queue_limit);
        let mut segment = Segment::parse(packet, record.length, leaving, merged)?;
        segment.mono_ns = record.header.mono_ns;
        segment.under_listener = record.under_listener != 0;
        segment.socket_port = record.local_port;
        segment.before_bytes = record.before_bytes;
        segment.turned_ns = Some(record.turned_ns).filter(|at| *at > 0);
        segment.accept_queue = (waiting > 0 || limit > 0).then_some(AcceptQueue { waiting, limit });
        Ok(Self {
            mono_ns: record.header.mono_ns,
            cookie: record.header.cookie,
            addresses: None,
            what: EventKind::Segment(segment),
        })
    }

    fn from_more_bytes(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let kind = record::MORE_BYTES;
        let (record, rest): (record::MoreBytes, _) = read_prefix(kind, bytes)?;
        Ok(Self {
            mono_ns: record.header.mono_ns,
            cookie: record.header.cookie,
            addresses: None,
            what: EventKind::MoreBytes(MoreBytes {
                leaving: record.direction == record::EGRESS,
                before_bytes: record.before_bytes,
                offset: record.offset,
                bytes: captured(kind, rest, record.captured)?,
            }),
        })
    }

    fn from_socket_event(kind: u16, bytes: &[u8]) -> Result<Self, Malformed> {
        let record: SocketEvent = read(kind, bytes)?;
        let what = match kind {
            record::RETRANSMIT => EventKind::Retransmit {
                state: state(record.state)?,
                error: record.error,
            },
            record::RETRANSMIT_SYN_ACK => EventKind::SynAckRetransmit,
            record::RESET_SENT => EventKind::ResetSent(reset_reason(record.error)),
            record::RESET_RECEIVED => EventKind::ResetReceived,
            record::ERROR => EventKind::Error(record.error),
            record::ADOPTED => EventKind::Adopted(state(record.state)?, named(record.task)),
            record::READ => EventKind::Held(SocketCall::Read, named(record.task)),
            record::SEND => EventKind::Held(SocketCall::Send, named(record.task)),
            record::RELEASE => EventKind::Held(SocketCall::Release, named(record.task)),
            _ => return Err(Malformed::Kind(kind)),
        };
        Ok(Self {
            mono_ns: record.header.mono_ns,
            cookie: record.header.cookie,
            addresses: (!matches!(what, EventKind::Held(..)))
                .then(|| Addresses::from_record(&record.addresses)),
            what,
        })
    }
}

/// The reason at this place in [`record::RESET_REASONS`], counted from 1.
fn reset_reason(place: u32) -> Option<ResetReason> {
    let place = usize::try_from(place.checked_sub(1)?).ok()?;
    ResetReason::named(record::RESET_REASONS.get(place)?)
}

/// The record's task, if it names one. A process outside the tracer's PID namespace has a name alone.
fn named(task: record::Task) -> Option<record::Task> {
    (task.pid != 0 || task.comm[0] != 0).then_some(task)
}

/// The kernel's number of a state, by name.
pub(crate) const fn state(number: u8) -> Result<State, Malformed> {
    use record::state;
    Ok(match number {
        state::ESTABLISHED => State::Established,
        state::SYN_SENT => State::SynSent,
        state::SYN_RECV => State::SynRecv,
        state::FIN_WAIT1 => State::FinWait1,
        state::FIN_WAIT2 => State::FinWait2,
        state::TIME_WAIT => State::TimeWait,
        state::CLOSE => State::Close,
        state::CLOSE_WAIT => State::CloseWait,
        state::LAST_ACK => State::LastAck,
        state::LISTEN => State::Listen,
        state::CLOSING => State::Closing,
        state::NEW_SYN_RECV => State::NewSynRecv,
        unknown => return Err(Malformed::State(unknown)),
    })
}

#[cfg(test)]
mod tests;
