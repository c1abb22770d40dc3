//! No spans leave this build: the libraries that a collector is spoken to with are left out of it.

use std::convert::Infallible;

use anyhow::{Result, bail};
use upload_protocol::{
    Moment,
    line::{ExportTotals, LostLine},
};

use crate::{
    cli::OutputArgs,
    core::{output::Output, pipeline::Counts},
    ending::Ending,
    sink::WhenBehind,
};

/// What became of all that was sent.
pub struct Exported {
    pub spans: ExportTotals,
    pub data_points: Option<ExportTotals>,
}

/// There is none.
pub struct Otlp(Infallible);

impl Otlp {
    pub fn start(output: &OutputArgs, _: WhenBehind, _: &Ending) -> Result<Option<Self>> {
        if output.otlp.is_some() {
            bail!("this tracer is built without live tracing, and --otlp comes with it");
        }
        Ok(None)
    }

    pub const fn send(&mut self, _: &[Output], _: Moment, _: (Counts, u64), _is_last: bool) {
        match self.0 {}
    }

    pub const fn take_lost(&mut self, _at: Moment) -> Option<LostLine> {
        match self.0 {}
    }

    pub const fn flush(&mut self) -> Exported {
        match self.0 {}
    }

    pub const fn is_broken(&self) -> bool {
        match self.0 {}
    }
}
