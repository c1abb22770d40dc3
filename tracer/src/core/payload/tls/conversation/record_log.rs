//! Lists records and steps, up to a limit.

use upload_protocol::{End, timeline::TlsMessage};

use super::Conversation;
use crate::core::payload::tls::{TlsRecord, TlsStep, names, record::Header};

const MAX_STEPS: usize = 64;
const MAX_RECORDS: usize = 64;

impl Conversation {
    pub(super) fn list(&mut self, from: End, header: Header) {
        self.confirmed = true;
        let direction = self.direction(from);
        direction.seen += 1;
        if direction.seen > MAX_RECORDS {
            self.tls.records_left_out += 1;
            return;
        }
        self.tls.records.push(TlsRecord {
            mono_ns: header.mono_ns,
            from,
            content_type: header.content_type,
            name: names::content_type(header.content_type),
            version: header.version,
            length: header.length,
        });
    }

    /// Inserts a step by its time.
    pub(super) fn step(&mut self, name: TlsMessage, mono_ns: u64, from: End, inferred: bool) {
        let steps = &mut self.tls.steps;
        if steps.len() == MAX_STEPS {
            self.tls.steps_left_out += 1;
            return;
        }
        let after = steps.iter().rposition(|step| step.mono_ns <= mono_ns);
        let step = TlsStep {
            name,
            mono_ns,
            from,
            inferred,
        };
        steps.insert(after.map_or(0, |after| after + 1), step);
    }
}
