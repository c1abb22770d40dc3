//! Where outputs go: one file per sink. Outputs are rendered on the core's thread and written on a
//! thread per sink. A slow sink drops its own lines, counts and reports them, and delays no other. One that
//! cannot write any more is reported at once, and what it leaves out is counted at the end.

mod chosen;
mod document;
mod headed_file;
mod losses;
#[cfg(live)]
mod metrics;
mod ndjson;
#[cfg(live)]
mod otlp;
pub mod output_file;
mod pcapng;
mod recorder;
#[cfg(live)]
mod recording_file;
#[cfg(live)]
mod screen;
mod text;
mod thread;
mod way_out;
#[cfg(live)]
mod web;
mod weight;
mod writer;

use std::io;

use clap::ValueEnum;

pub use self::{
    chosen::Choice,
    document::Documents,
    headed_file::HeadedFile,
    ndjson::Ndjson,
    pcapng::{Interfaces, Pcapng},
    recorder::Recorder,
    text::{Styles, Text},
    thread::{SinkThread, WhenBehind},
};
#[cfg(live)]
pub use self::{
    metrics::{Metrics, MetricsListener},
    otlp::Otlp,
    recording_file::RecordingFile,
    screen::Screen,
    web::{Web, WebServer, WebThread},
};
#[cfg(not(live))]
pub use crate::without_live::otlp::Otlp;
use crate::{
    cli::OutputArgs,
    core::{output::Output, scope::Scope},
};

/// What a person reads when an output fails.
fn cannot_be_written(name: &str, error: &io::Error) -> String {
    format!("{name} cannot be written any more, and the rest is left out: {error}")
}

/// The formats of stdout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Timelines for a person
    Text,
    /// One JSON object per line
    Ndjson,
}

impl Format {
    pub fn renderer(self, scope: Scope, output: &OutputArgs) -> Box<dyn Render> {
        let explain = output.explain;
        output.choice().of(match self {
            Self::Text => Box::new(Text::new(Styles::of_stdout(), scope, explain)),
            Self::Ndjson => {
                Box::new(Ndjson::new(scope.segments, explain).with_samples(output.prints_samples()))
            }
        })
    }

    /// Whether programs read it: nothing else may be on stdout, and every change of state is a line.
    pub const fn is_data(self) -> bool {
        match self {
            Self::Text => false,
            Self::Ndjson => true,
        }
    }
}

/// Renders outputs as bytes.
pub trait Render {
    /// Whether this sink shows such an output. Dropping another is no loss.
    fn shows(&self, output: &Output) -> bool;

    /// Appends an output as bytes. Also called for outputs that are not shown, since they may name the
    /// owner or upload of shown ones.
    fn render(&mut self, output: &Output, to: &mut Vec<u8>) -> io::Result<()>;
}
