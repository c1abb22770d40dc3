//! Where outputs go: one file per sink. Outputs are rendered on the core's thread and written on a
//! thread per sink. A slow sink drops its own lines, counts and reports them, and delays no other.

mod losses;
mod ndjson;
pub mod output_file;
mod pcapng;
mod recorder;
mod text;
mod thread;
mod web;

use std::io;

pub use self::{
    ndjson::Ndjson,
    pcapng::{Capture, Pcapng},
    recorder::Recorder,
    text::{Styles, Text},
    thread::{SinkThread, WhenBehind},
    web::{Web, WebThread},
};
use crate::core::output::Output;

/// Renders outputs as bytes.
pub trait Render {
    /// Whether this sink shows such an output. Dropping another is no loss.
    fn shows(&self, output: &Output) -> bool;

    /// Appends an output as bytes. Also called for outputs that are not shown, since they may name the
    /// owner or upload of shown ones.
    fn render(&mut self, output: &Output, to: &mut Vec<u8>) -> io::Result<()>;
}
