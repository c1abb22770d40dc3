//! What ended a connection, from the records of its two sockets.

use std::net::SocketAddr;

use tracer_ebpf::record::{Counters, closing};
use upload_protocol::{
    ConnectionId, End,
    State::{self, Close, CloseWait, Established, FinWait1, FinWait2, LastAck, SynRecv, SynSent},
    timeline::{ResetReason, SocketError, Timer},
};
use zerocopy::FromZeros as _;

use crate::core::{
    address::Address,
    connection::{Closing, Connection, Reset, View},
    event::Addresses,
};

/// What happened to a socket.
#[derive(Clone, Copy)]
enum Event {
    Went(u64, State, State),
    /// With an error and bits of [`closing`].
    Closed(u64, State, u32, u16),
    Sent(u64, Option<ResetReason>),
    Received(u64),
}
use Event::{Closed, Received, Sent, Went};

const TIMED_OUT: u32 = SocketError::TIMED_OUT.0;
const RESET: u32 = SocketError::CONNECTION_RESET.0;
const PIPE: u32 = SocketError::BROKEN_PIPE.0;
const ABORTED: u32 = SocketError::CONNECTION_ABORTED.0;
const HOST_UNREACHABLE: u32 = 113;
const KNOWN: u16 = closing::KNOWN;

fn view(cookie: u64, events: &[Event]) -> Box<View> {
    let address = Address::from(SocketAddr::from(([10, 0, 0, 1], 5000)));
    let addresses = Addresses {
        local: address,
        remote: address,
        netns: 0,
    };
    let mut view = View::new(cookie, addresses);
    let counters = Counters::new_zeroed();
    for event in events {
        match *event {
            Went(at, old, new) => view.record_transition(at, (old, new), &counters, 0),
            Closed(at, old, error, bits) => {
                view.record_transition(at, (old, Close), &counters, error);
                view.record_closing(Closing(bits));
            }
            Sent(mono_ns, reason) => view.record_reset(Reset {
                mono_ns,
                sent: true,
                reason,
            }),
            Received(mono_ns) => view.record_reset(Reset {
                mono_ns,
                sent: false,
                reason: None,
            }),
        }
    }
    Box::new(view)
}

/// The end, whether its kernel gave up, its error, its timer and its reason.
type Expected = (End, bool, Option<u32>, Option<Timer>, Option<ResetReason>);

fn check(client: &[Event], server: &[Event], expected: Option<Expected>) {
    const CLIENT: [Event; 2] = [Went(0, Close, SynSent), Went(10, SynSent, Established)];
    const SERVER: [Event; 1] = [Went(11, SynRecv, Established)];
    let mut connection = Connection::new(ConnectionId::new(1, None));
    connection.client = Some(view(1, &[&CLIENT, client].concat()));
    connection.server = Some(view(2, &[&SERVER[..], server].concat()));
    let found = connection.ended().map(|ended| {
        let cause = ended.cause;
        let error = cause.error.map(|error| error.0);
        (
            ended.by,
            ended.gave_up,
            error,
            cause.timer,
            cause.reset_reason,
        )
    });
    assert_eq!(found, expected);
}

/// A kernel that gives up a peer that does not answer, by each timer.
#[test]
fn time_outs() {
    use End::Client;
    let keepalive = ResetReason::KeepAliveTimeout;
    let gave_up = |timer| Some((Client, true, Some(TIMED_OUT), timer, None));
    for (bits, timer) in [
        (0, None),
        (KNOWN | closing::RETRANSMITTING, Some(Timer::Retransmission)),
        (KNOWN | closing::PROBING, Some(Timer::Persist)),
        (KNOWN | closing::ZERO_WINDOW, Some(Timer::Persist)),
        (KNOWN, None),
    ] {
        let closed = Closed(50, Established, TIMED_OUT, bits);
        check(&[closed], &[], gave_up(timer));
    }
    let closed = Closed(50, Established, TIMED_OUT, KNOWN | closing::PROBING);
    // The RST is the consequence, whether or not the peer got it, and whenever that is recorded.
    for (server, reason) in [
        (&[][..], Some(keepalive)),
        (
            &[Received(48), Closed(49, Established, RESET, KNOWN)],
            Some(keepalive),
        ),
        (&[Received(60), Closed(61, Established, RESET, KNOWN)], None),
    ] {
        let expected = (
            Client,
            true,
            Some(TIMED_OUT),
            Some(Timer::KeepAlive),
            reason,
        );
        check(&[Sent(49, reason), closed], server, Some(expected));
    }
}

/// An ICMP message left its error, and the timer gave up with it.
#[test]
fn a_time_out_with_the_error_of_an_icmp_message() {
    let closed = Closed(
        50,
        Established,
        HOST_UNREACHABLE,
        KNOWN | closing::RETRANSMITTING,
    );
    let expected = (
        End::Client,
        true,
        Some(HOST_UNREACHABLE),
        Some(Timer::Retransmission),
        None,
    );
    check(&[closed], &[], Some(expected));
}

#[test]
fn a_later_reset_finds_no_socket() {
    let closed = Closed(50, Established, TIMED_OUT, KNOWN | closing::RETRANSMITTING);
    let server = [
        Went(70, Established, FinWait1),
        Received(80),
        Closed(81, FinWait1, RESET, KNOWN),
    ];
    let timer = Some(Timer::Retransmission);
    check(
        &[closed],
        &server,
        Some((End::Client, true, Some(TIMED_OUT), timer, None)),
    );
}

#[test]
fn resets() {
    use End::{Client, Server};
    let reset = |by, reason| Some((by, false, None, None, reason));
    let linger = Some(ResetReason::State);
    let received = [Received(52), Closed(53, Established, RESET, KNOWN)];
    // The process closes the socket, and the RST follows.
    let aborted = [Closed(50, Established, 0, KNOWN), Sent(51, linger)];
    check(&aborted, &received, reset(Client, linger));
    check(&received, &aborted, reset(Server, linger));
    // Only one end's records, or the RST's is lost.
    check(&[], &received, reset(Client, None));
    let lost = [Closed(53, CloseWait, PIPE, KNOWN)];
    check(&[], &lost, reset(Client, None));
    // From outside.
    let destroyed = [Sent(49, linger), Closed(50, Established, ABORTED, KNOWN)];
    check(
        &destroyed,
        &received,
        Some((Client, false, Some(ABORTED), None, linger)),
    );
}

/// Data reach a socket that its process has closed: the kernel closes it as if a RST had come.
#[test]
fn data_after_close_are_no_reset_of_the_peer() {
    let reason = Some(ResetReason::AbortOnData);
    for reason in [reason, None] {
        let client = [
            Went(40, Established, FinWait1),
            Received(50),
            Closed(50, FinWait1, RESET, KNOWN),
            Sent(51, reason),
        ];
        let server = [Received(52), Closed(53, Established, RESET, KNOWN)];
        check(
            &client,
            &server,
            Some((End::Client, false, None, None, reason)),
        );
    }
}

#[test]
fn the_time_out_of_fin_wait_2() {
    let orphan = KNOWN | closing::ORPHAN;
    let reason = Some(ResetReason::State);
    let client = [
        Went(40, Established, FinWait1),
        Went(41, FinWait1, FinWait2),
        Sent(99, reason),
        Closed(100, FinWait2, 0, orphan),
    ];
    let timer = Some(Timer::FinWait2);
    check(
        &client,
        &[],
        Some((End::Client, false, None, timer, reason)),
    );
}

/// An answer to a bad ACK in SYN_SENT (RFC 9293, figure 9).
#[test]
fn a_reset_that_ended_nothing() {
    let mut connection = Connection::new(ConnectionId::new(1, None));
    let opening = [
        Went(0, Close, SynSent),
        Sent(5, Some(ResetReason::TooOldAck)),
        Went(10, SynSent, Established),
    ];
    connection.client = Some(view(1, &opening));
    assert!(connection.ended().is_none() && !connection.was_reset());
    check(
        &[
            Went(40, Established, FinWait1),
            Closed(41, FinWait2, 0, KNOWN),
        ],
        &[Closed(50, LastAck, 0, KNOWN)],
        None,
    );
}
