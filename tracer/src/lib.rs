//! Tells what TCP did: kernel events in, timelines of uploads out.
//!
//! The data goes one way: [`source`] → [`core`] → [`sink`]; [`session`] plugs them together, and
//! [`kernel`] is all that touches the kernel.

pub mod cli;
pub mod core;
pub mod doctor;
pub mod kernel;
pub mod privileges;
pub mod session;
pub mod sink;
pub mod source;

use std::io::{self, Write as _};

/// A line for the person who started the tracer, on stderr.
pub(crate) fn message(line: &str) {
    // `eprintln!` panics where nobody reads stderr any more.
    let _ = writeln!(io::stderr(), "tracer: {line}");
}
