//! Tells what TCP did: kernel events in, timelines of uploads out.
//!
//! The data goes one way: [`source`] → [`event`] → [`connection_table`] → [`connection`] →
//! [`timeline`] → [`correlate`] → [`sink`], driven by [`pipeline`], which takes one closed
//! [`input::Input`] and has no clock and no I/O of its own.

pub mod address;
pub mod cgroups;
pub mod cli;
pub mod command;
pub mod connection;
pub mod connection_table;
pub mod correlate;
pub mod dialogue;
pub mod doctor;
pub mod end;
pub mod event;
pub mod input;
pub mod kernel;
pub mod machine;
pub mod moment;
pub mod output;
pub mod output_file;
pub mod payload;
pub mod pipeline;
pub mod privileges;
pub mod process;
pub mod segment;
pub mod show;
pub mod sink;
pub mod sockets;
pub mod source;
pub mod target;
pub mod timeline;
pub mod trace;

use std::io::{self, Write as _};

/// A line for the person who started the tracer, on stderr.
pub(crate) fn say(line: &str) {
    // `eprintln!` panics where nobody reads stderr any more.
    let _ = writeln!(io::stderr(), "tracer: {line}");
}
