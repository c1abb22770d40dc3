//! Where outputs go: one file per sink. Each is rendered where it is made and written on a thread of
//! the sink's own. A sink that is too slow loses its own lines, counted and said, and holds up nobody
//! else.

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

/// Shows outputs in its own way, as bytes.
pub trait Render {
    /// Whether there is anything to see of such an output: nothing else can be lost.
    fn shows(&self, output: &Output) -> bool;

    /// Appends what an output looks like. It is also called for what is not shown, which may say
    /// something of what is.
    fn render(&mut self, output: &Output, to: &mut Vec<u8>) -> io::Result<()>;
}
