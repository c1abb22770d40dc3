//! Connections from and to other ports than the chosen ones are shown as hops alone.

use tracer_ebpf::record::{self, SocketEvent, state};
use zerocopy::{FromZeros as _, IntoBytes as _};

use super::{change, tick};
use crate::core::{
    event::{Event, EventKind},
    input::Input,
    output::Output,
    pipeline::Pipeline,
};

/// Of a connection to port 5000: how many lines are shown of it, and how many connections the summary has.
fn shown(chosen: Option<&[u16]>, inputs: &[&[u8]]) -> (usize, u64) {
    let mut pipeline = Pipeline::new(true);
    let mut outputs = Vec::new();
    if let Some(ports) = chosen {
        pipeline.advance(Input::ChosenPorts(ports.to_vec()), &mut outputs);
    }
    for bytes in inputs {
        pipeline.advance(Input::Kernel((*bytes).into()), &mut outputs);
    }
    pipeline.advance(Input::Tick(tick(u64::MAX, 0)), &mut outputs);
    pipeline.advance(Input::Shutdown, &mut outputs);
    assert!(!pipeline.has_open());
    let Some(Output::Summary(summary)) = outputs.pop() else {
        panic!("no summary");
    };
    (outputs.len(), summary.connections)
}

#[test]
fn other_ports_than_the_chosen_ones() {
    let opened = change(state::SYN_RECV, state::ESTABLISHED);
    let closed = change(state::ESTABLISHED, state::CLOSE);
    let inputs = [opened.as_bytes(), closed.as_bytes()];
    assert_eq!(shown(None, &inputs), (4, 1));
    assert_eq!(shown(Some(&[443, 5000]), &inputs), (4, 1));
    // Of the client's end.
    assert_eq!(shown(Some(&[40000]), &inputs), (4, 1));
    assert_eq!(shown(Some(&[443]), &inputs), (0, 0));
}

/// A socket that is traced from the middle of its connection on, and whose end is not seen.
#[test]
fn an_adopted_socket() {
    let mut adopted = SocketEvent::new_zeroed();
    adopted.header.kind = record::ADOPTED;
    adopted.header.cookie = 7;
    adopted.addresses = change(state::ESTABLISHED, state::CLOSE).addresses;
    adopted.state = state::ESTABLISHED;
    assert!(matches!(
        Event::decode(adopted.as_bytes()).map(|event| event.what),
        Ok(EventKind::Adopted(
            upload_protocol::State::Established,
            None
        ))
    ));
    assert_eq!(shown(None, &[adopted.as_bytes()]), (1, 1));
    assert_eq!(shown(Some(&[443]), &[adopted.as_bytes()]), (0, 0));
    adopted.state = u8::MAX;
    assert!(Event::decode(adopted.as_bytes()).is_err());
}
