//! What a sink could not take, until there is room to say so.

use upload_protocol::{
    Moment,
    line::{Hop, LostLine},
};

use crate::core::output::Output;

#[derive(Default)]
pub(super) struct Losses {
    /// What is to be told as soon as there is room, a line for each hop.
    held: Vec<LostLine>,
    total: u64,
}

impl Losses {
    /// Lines that were lost here, told or not.
    pub(super) const fn total(&self) -> u64 {
        self.total
    }

    /// Counts lines that nobody can be told of any more.
    pub(super) const fn count(&mut self, lines: u64) {
        self.total += lines;
    }

    /// Counts what is dropped now; what it says of other losses is told later.
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

    /// What there is to tell, once.
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
