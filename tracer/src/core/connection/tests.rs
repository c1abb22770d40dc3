//! What is kept of a connection, and its size.

use std::{num::NonZeroU64, sync::Arc};

use tracer_ebpf::record::Counters;
use upload_protocol::{AcceptQueue, ConnectionId, End, OwnerFrom, State, timeline::Ending};
use zerocopy::FromZeros as _;

use super::{Connection, Owner, Reset, Task, View};
use crate::core::{address::Address, event::Addresses, host::Host, timeline::timeline};

/// A tracer may keep a hundred thousand connections, most of them idle: their size is most of the
/// tracer's memory.
#[test]
fn a_connection_is_small() {
    assert_eq!(size_of::<View>(), 200);
    assert_eq!(size_of::<Connection>(), 328);
}

fn view() -> View {
    let address = Address::from(std::net::SocketAddr::from(([10, 0, 0, 1], 5000)));
    let addresses = Addresses {
        local: address,
        remote: address,
        netns: 0,
    };
    View::new(1, addresses)
}

fn acted(pid: u32, from: OwnerFrom) -> Owner {
    let task = Arc::new(Task {
        pid,
        uid: 0,
        comm: "curl".into(),
        cgroup: 0,
    });
    Owner { task, from }
}

#[test]
fn holders_keep_their_first_action() {
    let check =
        |acts: &[(u32, OwnerFrom)], owner: (u32, OwnerFrom), holders: &[(u32, OwnerFrom)]| {
            let mut view = view();
            for (pid, from) in acts {
                view.learn_owner(acted(*pid, *from).task, *from);
            }
            let short = |owner: &Owner| (owner.task.pid, owner.from);
            assert_eq!(view.owner.as_ref().map(short), Some(owner), "{acts:?}");
            let found: Vec<_> = view.incidents().holders.iter().map(short).collect();
            assert_eq!(found, holders, "{acts:?}");
        };
    let (connect, read, send) = (OwnerFrom::Connect, OwnerFrom::Read, OwnerFrom::Send);
    check(&[(1, connect), (1, read), (1, send)], (1, connect), &[]);
    check(&[(1, send), (1, read)], (1, read), &[(1, send)]);
    check(&[(1, send), (2, send)], (1, send), &[(1, send), (2, send)]);
    check(
        &[(1, send), (1, read), (2, connect), (3, send), (1, connect)],
        (2, connect),
        &[(1, send), (2, connect), (3, send)],
    );
}

/// Each end is in FIN_WAIT1 when the other's FIN comes.
#[test]
fn who_closed_first_of_two_crossing_fins_takes_both_ends() {
    let closing = |at: u64| {
        let mut view = view();
        let states = [
            State::Established,
            State::FinWait1,
            State::Closing,
            State::Close,
        ];
        for (states, mono_ns) in states.windows(2).zip(at..) {
            view.record_transition(mono_ns, (states[0], states[1]), &Counters::new_zeroed(), 0);
        }
        Some(Box::new(view))
    };
    let check = |client, server, expected| {
        let mut connection = Connection::new(ConnectionId::new(1, None));
        (connection.client, connection.server) = (client, server);
        assert_eq!(connection.closed_first(), expected);
    };
    check(closing(10), closing(100_010), Some(End::Client));
    check(closing(100_010), closing(10), Some(End::Server));
    // Two tracers put these in different orders.
    check(closing(10), closing(11), None);
    check(closing(100_009), closing(10), None);
    check(closing(10), None, None);
    check(None, closing(10), None);
}

/// The RST comes after both FINs: who sent it did not close first for that.
#[test]
fn a_reset_after_crossing_fins_says_nothing() {
    let mut view = view();
    let states = [State::Established, State::FinWait1, State::Closing];
    for (states, mono_ns) in states.windows(2).zip(1..) {
        view.record_transition(mono_ns, (states[0], states[1]), &Counters::new_zeroed(), 0);
    }
    let (mono_ns, sent) = (10, false);
    view.record_reset(Reset {
        mono_ns,
        sent,
        reason: None,
    });
    let last = (State::Closing, State::Close);
    view.record_transition(11, last, &Counters::new_zeroed(), 104);
    let mut connection = Connection::new(ConnectionId::new(1, None));
    connection.client = Some(Box::new(view));
    let timeline = timeline(&connection, (None, None), &Host::default(), 12).unwrap();
    let termination = timeline.termination().unwrap();
    assert_eq!(termination.ending, Some(Ending::Rst));
    assert_eq!(termination.closed_first, None);
}

#[test]
fn the_longest_accept_queue_is_kept() {
    let queue = |waiting, limit| AcceptQueue { waiting, limit };
    let mut connection = Connection::new(ConnectionId::new(1, None));
    let mut check = |seen, longest, always_full| {
        connection.record_accept_queue(seen);
        let known = connection.accept_queue.unwrap();
        assert_eq!((known.longest, known.always_full), (longest, always_full));
    };
    check(queue(3, 2), queue(3, 2), true);
    check(queue(2, 1), queue(3, 2), true);
    check(queue(3, 9), queue(3, 9), false);
    check(queue(4, 2), queue(4, 2), false);
}

#[test]
fn a_socket_that_is_connected_again_is_another_connection() {
    let check = |id: ConnectionId, expected| assert_eq!(format!("{id:>6}"), expected);
    check(ConnectionId::new(42, None), "    42");
    check(ConnectionId::new(42, NonZeroU64::new(7)), "  42.7");
}
