//! Reports uploads that no server reports: each once its exchange is over, or its connection.

use upload_protocol::{
    ConnectionId,
    line::UploadLine,
    timeline::{Certainty, Timeline, UploadSummary},
};

use super::{Pipeline, progress::PROGRESS_AFTER_NS};
use crate::core::{
    connection::Connection,
    output::Output,
    timeline::{has_upload, of_finished},
};

impl Pipeline {
    /// Uploads on connections that are still open.
    pub(super) fn report_finished(&mut self, out: &mut Vec<Output>) {
        for key in self.table.take_finished() {
            if self.closed.contains_key(&key) {
                continue;
            }
            let is_followed = self.is_followed_key(key);
            let Some(connection) = self.table.get_mut(key) else {
                continue;
            };
            let finished = connection.dialogue.payload.take_finished(false);
            if is_followed || self.correlator.uploads(connection).is_some() {
                continue;
            }
            let id = connection.id;
            let is_by_volume = has_upload(&connection.dialogue.payload);
            if let Some(last) = finished.last() {
                connection.requests_reported = last.sequence;
            }
            let uploads: Vec<UploadSummary> = finished
                .iter()
                .flat_map(|finished| of_finished(finished, id))
                .collect();
            if uploads.is_empty() && !is_by_volume {
                continue;
            }
            for upload in &uploads {
                self.report_upload(id, upload, out);
            }
            let due_ns = self.tick.mono_ns.saturating_add(PROGRESS_AFTER_NS);
            self.progress.insert(key, due_ns);
        }
    }

    /// Uploads on a connection that is over, except those reported before.
    pub(super) fn report_inferred(
        &mut self,
        timeline: &Timeline,
        connection: &mut Connection,
        out: &mut Vec<Output>,
    ) {
        let id = connection.id;
        let reported = connection.requests_reported;
        let exchanges = timeline.exchanges();
        for upload in &timeline.uploads {
            let carried = exchanges.iter().find(|exchange| exchange.is_of(&upload.id));
            // What followed `101` or `CONNECT` is no upload of that request.
            let was_reported = carried.is_some_and(|exchange| {
                exchange.sequence <= reported
                    && exchange.request.method != "CONNECT"
                    && exchange.response.status != Some(101)
            });
            if !was_reported {
                self.report_upload(id, upload, out);
            }
        }
        let last = exchanges.last().map_or(0, |exchange| exchange.sequence);
        for finished in connection.dialogue.payload.take_finished(true) {
            if finished.sequence > last {
                for upload in of_finished(&finished, id) {
                    self.report_upload(id, &upload, out);
                }
            }
        }
    }

    fn report_upload(&mut self, id: ConnectionId, upload: &UploadSummary, out: &mut Vec<Output>) {
        self.totals.uploads += 1;
        out.push(Output::Upload(Box::new(UploadLine {
            at: self.host.clock.moment(self.tick.mono_ns),
            connection: Some(id),
            id: upload.id.clone(),
            name: upload.name.clone(),
            bytes: upload.bytes,
            status: upload.status,
            outcome: upload.outcome,
            certainty: Certainty::Inferred,
            error: None,
            parts: Vec::new(),
            earlier: Vec::new(),
        })));
    }
}
