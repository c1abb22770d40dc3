//! Counts of sockets.

use std::net::SocketAddr;

use tracer_ebpf::record::Counters;
use upload_protocol::{ConnectionId, State, timeline::Bytes};
use zerocopy::FromZeros as _;

use super::maintenance;
use crate::core::{
    address::Address,
    connection::{Connection, View},
    event::Addresses,
    timeline::Origin,
};

fn view(cookie: u64, states: &[(u64, State, State)]) -> Box<View> {
    let address = Address::from(SocketAddr::from(([10, 0, 0, 1], 5000)));
    let addresses = Addresses {
        local: address,
        remote: address,
        netns: 0,
    };
    let mut view = View::new(cookie, addresses);
    for &(mono_ns, old, new) in states {
        view.record_transition(mono_ns, (old, new), &Counters::new_zeroed(), 0);
    }
    Box::new(view)
}

/// The counters of an open socket are those of its ESTABLISHED: 0 bytes sent again would be a guess.
#[test]
fn counts_of_an_open_socket_are_unknown() {
    use State::{Close, Established, SynSent};
    let mut connection = Connection::new(ConnectionId::new(1, None));
    let opening = [(0, Close, SynSent), (10, SynSent, Established)];
    connection.client = Some(view(1, &opening));
    let retransmitted = |connection: &Connection| {
        let phase = maintenance(connection, &[], Bytes::default(), (None, None), Origin(0));
        phase.retransmitted_bytes.client
    };
    assert_eq!(retransmitted(&connection), None);
    let closing = (20, Established, Close);
    connection.client = Some(view(1, &[opening[0], opening[1], closing]));
    assert_eq!(retransmitted(&connection), Some(0));
}
