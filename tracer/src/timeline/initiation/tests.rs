//! Counters that the kernel would never send.

use tracer_ebpf::record::Counters;
use zerocopy::FromZeros as _;

use super::{WindowScale, options};
use crate::{
    connection::{Connection, Transition, View},
    event::{Addresses, State},
};

#[test]
fn a_window_scale_is_at_most_14() {
    let address = "10.0.0.1:5000".parse().unwrap();
    let mut counters = Counters::new_zeroed();
    counters.window_scaling = 1;
    counters.rcv_wscale = 7;
    counters.snd_wscale = 105;
    let mut view = View::new(
        1,
        Addresses {
            local: address,
            remote: address,
            netns: 0,
        },
    );
    view.transitions.push(Transition {
        mono_ns: 0,
        old: State::SynSent,
        new: State::Established,
        counters: Box::new(counters),
        error: 0,
    });
    let mut connection = Connection::new("1".to_owned());
    connection.client = Some(view);
    let scale = options(&connection).and_then(|options| options.window_scale);
    let expected = WindowScale {
        client: 7,
        server: 14,
    };
    assert_eq!(scale, Some(expected));
}
