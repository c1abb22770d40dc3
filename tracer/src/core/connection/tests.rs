//! What is kept of a connection, and its size.

use std::{num::NonZeroU64, sync::Arc};

use upload_protocol::{AcceptQueue, ConnectionId, OwnerFrom};

use super::{Connection, Owner, Task, View};
use crate::core::{address::Address, event::Addresses};

/// A tracer may keep a hundred thousand connections, most of them idle: their size is most of the
/// tracer's memory.
#[test]
fn a_connection_is_small() {
    assert_eq!(size_of::<View>(), 192);
    assert_eq!(size_of::<Connection>(), 272);
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
