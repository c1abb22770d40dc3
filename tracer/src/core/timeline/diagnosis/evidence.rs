//! The numbers behind a diagnosis, as far as they are known.

use tracer_ebpf::record::{FIXED_RECEIVE_BUFFER, FIXED_SEND_BUFFER};
use upload_protocol::timeline::DiagnosisEvidence;

use super::body::{Body, hundredths};
use crate::core::connection::Stretch;

impl Body {
    /// The sender's and the receiver's, where kernels measured them: no segment shows a buffer.
    pub(super) fn sockets(&self) -> (Option<&Stretch>, Option<&Stretch>) {
        match self.is_estimated {
            true => (None, None),
            false => (self.client.as_ref(), self.server.as_ref()),
        }
    }

    pub(super) fn evidence(&self) -> DiagnosisEvidence {
        let (client, server) = (self.client.as_ref(), self.server.as_ref());
        let is_fixed = |stretch: &Stretch, bit: u8| stretch.fixed_buffers & bit != 0;
        let (sender, receiver) = self.sockets();
        DiagnosisEvidence {
            bytes_per_second: self.bytes_per_second(),
            rtt_ns: self.measured().and_then(|stretch| stretch.rtt_ns),
            min_rtt_ns: match self.measured() {
                Some(stretch) => stretch.min_rtt_ns,
                None => self.handshake_rtt_ns,
            },
            retransmits: client.map(|client| client.retransmits),
            window_use: self.window_use().map(hundredths),
            window_bytes: self.window_bytes().filter(|window| *window > 0),
            unread_bytes: server.map(|server| server.unread),
            delay_ns: server.map(|server| server.delay_ns),
            send_buffer_bytes: sender.map(|client| client.send_buffer),
            send_buffer_fixed: sender.map(|client| is_fixed(client, FIXED_SEND_BUFFER)),
            receive_buffer_bytes: receiver.map(|server| server.receive_buffer),
            receive_buffer_fixed: receiver.map(|server| is_fixed(server, FIXED_RECEIVE_BUFFER)),
            window_scaling: self.window_scaling,
            ..DiagnosisEvidence::default()
        }
    }
}
