//! `--har`: the requests of every connection, for browsers' network panels. `upload-view` draws them.

use std::sync::Arc;

use serde_json::json;
use upload_protocol::{Timeline, plain::plain_json};
use upload_view::{Gaps, har::entry};

use super::Document;

/// What the panels still open.
const MOST_BYTES: u64 = 64_000_000;

#[derive(Default)]
pub(super) struct Har {
    /// Whether an entry was drawn.
    has_entries: bool,
    /// Connections without a request that is known.
    silent: u64,
    /// Connections that there is no room for.
    left_out: u64,
}

impl Document for Har {
    fn draw(&mut self, timeline: &Arc<Timeline>, to: &mut Vec<u8>) {
        for exchange in timeline.exchanges() {
            let upload = exchange.upload.as_deref();
            let entry = entry(timeline, exchange, upload).to_string();
            let separator = if self.has_entries { ",\n" } else { "" };
            to.extend_from_slice(separator.as_bytes());
            to.extend_from_slice(plain_json(&entry).as_bytes());
            self.has_entries = true;
        }
        self.silent += u64::from(timeline.exchanges().is_empty());
    }

    fn leave_out(&mut self, _: &Timeline) {
        self.left_out += 1;
    }

    fn head(&self, gaps: Gaps) -> Vec<u8> {
        let creator = json!({"name": env!("CARGO_PKG_NAME"), "version": env!("CARGO_PKG_VERSION")});
        let comment = json!(self.comment(gaps));
        let head = format!(
            "{{\"log\":{{\"version\":\"1.2\",\"creator\":{creator},\"comment\":{comment},\"entries\":[\n"
        );
        head.into_bytes()
    }

    fn tail(&self, _: Gaps) -> Vec<u8> {
        b"\n]}}\n".to_vec()
    }

    fn most_bytes(&self) -> u64 {
        MOST_BYTES
    }
}

impl Har {
    /// What the entries lack.
    fn comment(&self, gaps: Gaps) -> String {
        let lacks = [
            (self.silent, "connections without a request that is known"),
            (self.left_out, "connections left out: there was no room"),
            (gaps.undrawn, "connections left out: they came too fast"),
            (gaps.lost, "records lost"),
        ];
        let lacks = lacks.iter().filter(|(count, _)| *count > 0);
        let lacks: Vec<String> = lacks
            .map(|(count, what)| format!("{count} {what}"))
            .collect();
        lacks.join("; ")
    }
}
