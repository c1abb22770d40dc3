//! Reports the server's uploads, once their connection is known.

use upload_protocol::{
    line::UploadLine,
    timeline::Certainty,
    upload::{Cookie, Part},
};

use super::Pipeline;
use crate::core::{
    correlate::{last_seen, size},
    output::Output,
};

/// Uploads that wait for their connection, in number and in bytes; more are reported without it.
const MAX_FRESH: usize = 1_024;
const MAX_FRESH_BYTES: usize = 16 << 20;

impl Pipeline {
    pub(super) fn report_uploads(&mut self, patience_ns: u64, out: &mut Vec<Output>) {
        let now_ns = self.tick.mono_ns;
        let mut waiting = 0;
        for upload in std::mem::take(&mut self.fresh) {
            let key = self.table.find(upload.cookie.0);
            let may_wait =
                self.fresh.len() < MAX_FRESH && waiting + size(&upload) <= MAX_FRESH_BYTES;
            let is_recent = last_seen(&upload).saturating_add(patience_ns) > now_ns;
            if key.is_none() && is_recent && may_wait {
                waiting += size(&upload);
                self.fresh.push(upload);
                continue;
            }
            self.totals.uploads += 1;
            let connection = key.and_then(|key| self.table.get(key));
            out.push(Output::Upload(Box::new(UploadLine {
                at: self.host.clock.moment(last_seen(&upload)),
                connection: connection.map(|connection| connection.id),
                id: upload.id,
                name: upload.name,
                bytes: Some(upload.bytes),
                status: upload.status,
                outcome: Some(upload.outcome),
                certainty: Certainty::Observed,
                error: upload.error,
                parts: parts(&upload.connections),
                earlier: earlier(upload.cookie, &upload.connections),
            })));
            if let Some(key) = key {
                self.awaits_progress(key);
            }
        }
    }
}

/// The sockets that carried parts of an upload before the last one did.
fn earlier(last: Cookie, parts: &[Part]) -> Vec<Cookie> {
    let mut earlier: Vec<Cookie> = parts.iter().map(|part| part.cookie).collect();
    earlier.retain(|cookie| *cookie != last);
    earlier.sort_unstable();
    earlier.dedup();
    earlier
}

/// The sockets that carried the parts of an upload, and when the heads of these requests were complete.
fn parts(parts: &[Part]) -> Vec<(Cookie, u64)> {
    let parts = parts.iter();
    parts
        .map(|part| (part.cookie, part.times.head_ns))
        .collect()
}
