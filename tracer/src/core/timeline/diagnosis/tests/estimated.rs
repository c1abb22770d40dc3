//! Diagnoses that segments alone give.

use tracer_ebpf::record::{receiver, sender};

use super::{client, diagnosis, server};
use crate::core::timeline::diagnosis::{body::Body, tests::body};

/// No segment shows a buffer, and none says how certain a limit is.
#[test]
fn an_estimate_claims_nothing_of_sockets() {
    let estimated = Body {
        is_estimated: true,
        ..body(
            Some(client(&[&[(sender::SEND_BUFFER, 1000)]])),
            Some(server(&[(receiver::FLOW, 1000)])),
        )
    };
    let evidence = diagnosis(&estimated).evidence;
    assert_eq!(evidence.send_buffer_bytes, None);
    assert_eq!(evidence.send_buffer_fixed, None);
    assert_eq!(evidence.send_buffer_largest, None);
    assert_eq!(evidence.receive_buffer_bytes, None);
    assert_eq!(evidence.receive_buffer_fixed, None);
    assert_eq!(evidence.receive_buffer_largest, None);
    assert_eq!(evidence.retransmits, Some(0));
}
