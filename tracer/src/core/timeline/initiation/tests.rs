//! Rare and impossible records.

use std::net::SocketAddr;

use tracer_ebpf::record::Counters;
use upload_protocol::{ConnectionId, End, State, timeline::Evidence};
use zerocopy::FromZeros as _;

use super::{Failure, Step, StepName, WindowScale, captured_rtt, failed, options, step};
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
    let error = linux_raw_sys::errno::ECONNREFUSED;
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

/// As a capture has the handshake.
#[test]
fn a_round_trip_takes_one_handshake() {
    let step = |name, from, at_ns| Step {
        len: Some(0),
        ..step::inferred(name, from, Some(at_ns), Evidence::Captured)
    };
    let syn = step(StepName::Syn, End::Client, 10);
    let syn_ack = step(StepName::SynAck, End::Server, 40);
    let ack = step(StepName::Ack, End::Client, 45);
    let again = |step: &Step| Step {
        retransmit: true,
        ..step.clone()
    };
    let with_payload = Step {
        len: Some(1),
        ..ack.clone()
    };
    let check = |steps: &[&Step], expected| {
        let steps: Vec<Step> = steps.iter().map(|step| (*step).clone()).collect();
        assert_eq!(captured_rtt(&steps), expected, "{steps:?}");
    };
    check(&[&syn, &syn_ack, &ack], Some(35));
    check(&[&syn, &syn_ack, &with_payload], None);
    check(&[&syn, &again(&syn_ack), &ack], None);
    check(&[&syn, &again(&syn), &syn_ack, &ack], None);
    check(&[&syn_ack, &ack], None);
    check(&[&syn, &syn_ack], None);
    check(&[], None);
}
