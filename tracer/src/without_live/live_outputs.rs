//! What only a live run has: nothing of it.

use anyhow::Result;

use crate::core::{
    input::{Flow, Input},
    output::Output,
    pipeline::Counts,
};

#[derive(Default)]
pub struct LiveOutputs(());

impl LiveOutputs {
    pub const fn take(&mut self, _input: &Input<'_>) {}

    pub const fn measure(&mut self, _outputs: &[Output], _counts: Counts, _sink_lost: u64) {}

    pub fn send(&mut self, _outputs: Vec<Output>, _is_last: bool) -> Flow {
        Flow::GoOn
    }

    pub const fn is_recording(&self) -> bool {
        false
    }

    pub const fn finish(self) -> Result<()> {
        Ok(())
    }
}
