//! Shows the timelines alone that the user asked for: of uploads that took long, or that something held back.

use std::{io, time::Duration};

use upload_protocol::timeline::{Exchange, HeldBackBy, Timeline, UploadSummary};

use super::Render;
use crate::core::output::Output;

/// Which uploads' timelines are shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// Those that took longer than this.
    pub slower_than: Option<Duration>,
    /// Those whose verdict is one of these causes; all where there is none.
    pub held_back_by: Vec<HeldBackBy>,
}

/// A renderer that shows chosen timelines. What it cannot choose by, such as a change of state, is not shown.
pub(super) struct Chosen {
    choice: Choice,
    inner: Box<dyn Render>,
}

impl Choice {
    /// The renderer with this choice.
    pub(super) fn of(self, inner: Box<dyn Render>) -> Box<dyn Render> {
        if self == Self::default() {
            return inner;
        }
        let choice = self;
        Box::new(Chosen { choice, inner })
    }

    /// Whether a timeline is shown.
    pub(super) fn chooses(&self, timeline: &Timeline) -> bool {
        *self == Self::default() || self.has(timeline)
    }

    fn has(&self, timeline: &Timeline) -> bool {
        let mut uploads = timeline.uploads.iter();
        uploads.any(|upload| self.has_upload(timeline, upload))
    }

    fn has_upload(&self, timeline: &Timeline, upload: &UploadSummary) -> bool {
        let is_long = self.slower_than.is_none_or(|least| {
            let took = took_ns(timeline, upload);
            u128::from(took) > least.as_nanos()
        });
        let causes = upload
            .diagnosis
            .iter()
            .flat_map(|diagnosis| [diagnosis.verdict, diagnosis.second]);
        let mut causes = causes.flatten();
        let is_held_back =
            self.held_back_by.is_empty() || causes.any(|cause| self.held_back_by.contains(&cause));
        is_long && is_held_back
    }
}

/// How long an upload took, in nanoseconds; the whole connection where it is not told apart.
fn took_ns(timeline: &Timeline, upload: &UploadSummary) -> u64 {
    if let Some(diagnosis) = &upload.diagnosis {
        return diagnosis.wall_ns;
    }
    let exchange = timeline
        .exchanges()
        .iter()
        .find(|exchange| exchange.is_of(&upload.id));
    let window = exchange.and_then(Exchange::window);
    window.map_or_else(|| timeline.last_ns(), |(first, last)| last - first)
}

impl Render for Chosen {
    fn shows(&self, output: &Output) -> bool {
        let is_chosen = match output {
            Output::Timeline(timeline) | Output::Progress(timeline) => self.choice.has(timeline),
            Output::Lost(_) | Output::Summary(_) => true,
            Output::State(_) | Output::Segment(_) | Output::Upload(_) | Output::Snapshot(_) => {
                false
            }
        };
        is_chosen && self.inner.shows(output)
    }

    fn render(&mut self, output: &Output, to: &mut Vec<u8>) -> io::Result<()> {
        if !self.shows(output) {
            return Ok(());
        }
        self.inner.render(output, to)
    }
}

#[cfg(test)]
mod tests {
    use upload_protocol::timeline::Diagnosis;

    use super::*;

    fn timeline(verdict: HeldBackBy, wall_ms: u64) -> Timeline {
        let diagnosis = Diagnosis {
            verdict: Some(verdict),
            second: Some(HeldBackBy::Loss),
            wall_ns: wall_ms * 1_000_000,
            ..Diagnosis::default()
        };
        Timeline {
            uploads: vec![UploadSummary {
                diagnosis: Some(Box::new(diagnosis)),
                ..UploadSummary::default()
            }],
            ..Timeline::default()
        }
    }

    #[test]
    fn by_time_and_by_cause() {
        let check = |slower_than: u64, held_back_by: &[HeldBackBy], expected| {
            let choice = Choice {
                slower_than: Some(Duration::from_millis(slower_than)),
                held_back_by: held_back_by.to_vec(),
            };
            let found = choice.has(&timeline(HeldBackBy::Path, 2000));
            assert_eq!(found, expected, "{choice:?}");
        };
        check(0, &[], true);
        check(1999, &[], true);
        check(2000, &[], false);
        check(0, &[HeldBackBy::Path], true);
        check(0, &[HeldBackBy::Tls, HeldBackBy::Loss], true);
        check(0, &[HeldBackBy::Tls], false);
        check(5000, &[HeldBackBy::Path], false);
        assert!(!Choice::default().has(&Timeline::default()));
    }
}
