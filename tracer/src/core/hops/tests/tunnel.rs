//! Tunnels.

use upload_protocol::{
    End,
    timeline::{Certainty, HopRole, Phase, Protocol},
};

use super::{BACK, FRONT, endpoint, exchange, hops_of, leg};
use crate::core::payload::{Turn, Turns};

/// `ssh -L`: the agent accepts a connection, and passes it on within one that was open before; `ssh -R`: that one
/// was opened by the end that receives.
#[test]
fn within_a_tunnel() {
    const FAR: u32 = 11;
    const NEAR: u32 = 12;
    let check = |reverse: bool, bytes: u64, expected: &[HopRole]| {
        let mut back = leg(BACK.0, vec![exchange(1, "a", [200, 210, 220], 500)]);
        back.timeline.client = endpoint(FAR);
        let mut front = leg(FRONT.0, vec![exchange(1, "a", [190, 195, 240], 500)]);
        front.timeline.server = endpoint(NEAR);
        let mut tunnel = leg(30, Vec::new());
        if let Some(Phase::Maintenance(phase)) = tunnel.timeline.phases.first_mut() {
            phase.protocol = Protocol::Other;
        }
        let (client, server, from) = if reverse {
            (FAR, NEAR, End::Server)
        } else {
            (NEAR, FAR, End::Client)
        };
        tunnel.timeline.client = endpoint(client);
        tunnel.timeline.server = endpoint(server);
        let turn = |mono_ns, from, offset| Turn {
            mono_ns,
            from,
            offset,
            before_ns: None,
        };
        tunnel.turns = Turns::from_iter([
            turn(100, from.other(), 0),
            turn(195, from, 40),
            turn(225, from.other(), 300),
            turn(300, from, 40 + bytes),
        ]);
        let found = hops_of(&back, "a", &[&front, &tunnel]);
        let roles: Vec<HopRole> = found.iter().map(|hop| hop.role).collect();
        assert_eq!(roles, expected, "reverse: {reverse}, {bytes}");
        if let [first, within, _] = found.as_slice() {
            assert_eq!(first.connection, front.timeline.connection);
            assert_eq!((within.sender, within.request_ns), (from, None));
            assert_eq!(within.certainty, Certainty::Inferred);
        }
    };
    let whole = [HopRole::Exchange, HopRole::Tunnel, HopRole::Exchange];
    check(false, 800, &whole);
    check(true, 800, &whole);
    check(false, 400, &[]);
    check(true, 400, &[]);
}
