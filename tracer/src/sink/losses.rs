//! Counts the lines that a sink dropped, until there is room to report them.

use upload_protocol::{
    Moment,
    line::{Hop, LostLine},
};

use crate::core::output::Output;

#[derive(Default)]
pub(super) struct Losses {
    /// To be reported as soon as there is room, a line per hop.
    held: Vec<LostLine>,
    total: u64,
}

impl Losses {
    /// Lines lost in this sink, reported or not.
    pub(super) const fn total(&self) -> u64 {
        self.total
    }

    /// Counts lines whose loss cannot be reported any more.
    pub(super) const fn count(&mut self, lines: u64) {
        self.total += lines;
    }

    /// Counts a dropped output. A dropped report of other losses is kept, and reported later.
    pub(super) fn record(&mut self, output: &Output, at: Moment) {
        if let Output::Lost(line) = output {
            self.hold(line.clone());
            return;
        }
        self.total += 1;
        self.hold(LostLine {
            at,
            count: 1,
            at_most: false,
            hop: Hop::Sink,
            from_ns: at.mono_ns,
            to_ns: at.mono_ns,
        });
    }

    /// Takes the losses to report.
    pub(super) fn take(&mut self) -> impl Iterator<Item = Output> + use<> {
        std::mem::take(&mut self.held).into_iter().map(Output::Lost)
    }

    fn hold(&mut self, line: LostLine) {
        match self.held.iter_mut().find(|held| held.hop == line.hop) {
            Some(held) => {
                held.at = line.at;
                held.count += line.count;
                held.at_most |= line.at_most;
                held.to_ns = line.to_ns;
            }
            None => self.held.push(line),
        }
    }
}
