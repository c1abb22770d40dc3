//! `--report`: a page for a browser. `upload-view` draws it.

use std::sync::Arc;

use upload_protocol::Timeline;
use upload_view::{
    Gaps, Shown,
    report::{Facts, Report, TAIL},
};

use super::Document;

/// Some 3,000 connections: a browser opens them in a few seconds.
const MOST_BYTES: u64 = 32_000_000;

#[derive(Default)]
pub(super) struct ReportPage(Report);

impl Document for ReportPage {
    fn draw(&mut self, timeline: &Arc<Timeline>, to: &mut Vec<u8>) {
        let facts = Facts::of(timeline);
        let shown = Shown::new(Arc::clone(timeline), |_| false);
        let entry = self.0.add(&shown, &facts);
        to.extend_from_slice(entry.as_bytes());
    }

    fn leave_out(&mut self, timeline: &Timeline) {
        self.0.leave_out(&Facts::of(timeline));
    }

    fn head(&self, gaps: Gaps) -> Vec<u8> {
        self.0.head(gaps, MOST_BYTES).into_bytes()
    }

    fn tail(&self, _: Gaps) -> Vec<u8> {
        TAIL.as_bytes().to_vec()
    }

    fn most_bytes(&self) -> u64 {
        MOST_BYTES
    }
}
