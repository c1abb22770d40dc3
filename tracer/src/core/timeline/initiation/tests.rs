//! Rare and impossible records.

use std::net::SocketAddr;

use tracer_ebpf::record::Counters;
use upload_protocol::{ConnectionId, State};
use zerocopy::FromZeros as _;

use super::{Failure, WindowScale, failed, options};
use crate::core::{
    address::Address,
    connection::{Connection, Reset, View},
    event::Addresses,
};

/// A client that went from SYN_SENT to `state`.
fn went_to(state: State, counters: Counters, error: u32) -> Connection {
    let address = Address::from(SocketAddr::from(([10, 0, 0, 1], 5000)));
    let mut view = View::new(
        1,
        Addresses {
            local: address,
            remote: address,
            netns: 0,
        },
    );
    for (old, new, counters, error) in [
        (State::Close, State::SynSent, Counters::new_zeroed(), 0),
        (State::SynSent, state, counters, error),
    ] {
        view.record_transition(0, (old, new), &counters, error);
    }
    let mut connection = Connection::new(ConnectionId::new(1, None));
    connection.client = Some(Box::new(view));
    connection
}

fn why(connection: &Connection) -> Option<Failure> {
    failed(connection).map(|(failure, _)| failure)
}

/// An ICMP port unreachable message sets the same error.
#[test]
fn only_a_reset_refuses() {
    let error = rustix::io::Errno::CONNREFUSED.raw_os_error().unsigned_abs();
    let mut connection = went_to(State::Close, Counters::new_zeroed(), error);
    assert_eq!(why(&connection), Some(Failure::Unreachable));
    let reset = Reset {
        mono_ns: 0,
        sent: false,
        reason: None,
    };
    connection.client.as_mut().unwrap().record_reset(reset);
    assert_eq!(why(&connection), Some(Failure::Refused));
}

#[test]
fn a_window_scale_is_at_most_14() {
    let mut counters = Counters::new_zeroed();
    counters.window_scaling = 1;
    counters.rcv_wscale = 7;
    counters.snd_wscale = 105;
    let connection = went_to(State::Established, counters, 0);
    let scale = options(&connection).and_then(|options| options.window_scale);
    let expected = WindowScale {
        client: 7,
        server: 14,
    };
    assert_eq!(scale, Some(expected));
}
