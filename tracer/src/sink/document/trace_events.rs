//! `--perfetto`: every connection as trace events, for ui.perfetto.dev. `upload-view` draws them. Times are those of
//! CLOCK_MONOTONIC, as other traces of the machine have them; in a capture, since its first packet.

use std::sync::Arc;

use jiff::SignedDuration;
use serde_json::json;
use upload_protocol::{Moment, Timeline, plain::plain_json};
use upload_view::{Gaps, perfetto::Processes};

use super::Document;

/// What the browser still opens.
const MOST_BYTES: u64 = 64_000_000;

#[derive(Default)]
pub(super) struct TraceEvents {
    processes: Processes,
    /// Of the connection that was drawn first.
    began: Option<Moment>,
    /// Connections that there is no room for.
    left_out: u64,
}

impl Document for TraceEvents {
    fn draw(&mut self, timeline: &Arc<Timeline>, to: &mut Vec<u8>) {
        let is_first = self.began.is_none();
        self.began.get_or_insert(timeline.at);
        for (place, event) in self.processes.events(timeline).iter().enumerate() {
            let separator = if is_first && place == 0 { "" } else { ",\n" };
            to.extend_from_slice(separator.as_bytes());
            to.extend_from_slice(plain_json(&event.to_string()).as_bytes());
        }
    }

    fn leave_out(&mut self, _: &Timeline) {
        self.left_out += 1;
    }

    fn head(&self, _: Gaps) -> Vec<u8> {
        b"{\"displayTimeUnit\":\"ns\",\"traceEvents\":[\n".to_vec()
    }

    fn tail(&self, gaps: Gaps) -> Vec<u8> {
        let other = json!({
            "began": self.began.and_then(clock_began),
            "connections_left_out": self.left_out + gaps.undrawn,
            "records_lost": gaps.lost,
        });
        format!("\n],\"otherData\":{other}}}\n").into_bytes()
    }

    fn most_bytes(&self) -> u64 {
        MOST_BYTES
    }
}

/// The wall clock's time at the zero of the events' times.
fn clock_began(at: Moment) -> Option<String> {
    let since = SignedDuration::from_nanos(i64::try_from(at.mono_ns).ok()?);
    Some(format!("{:.9}", at.timestamp().checked_sub(since).ok()?))
}
