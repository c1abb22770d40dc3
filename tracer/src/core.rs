//! The pure core: inputs in, outputs out. It reads no clock, does no I/O and prints nothing; time comes
//! in with the inputs, so that a recording gives the same outputs as the live run did.
//!
//! The data goes one way: [`event`] → [`connection_table`] → [`connection`] → [`timeline`] →
//! [`correlate`], driven by [`pipeline`], which takes one closed [`input::Input`].

pub mod address;
pub mod connection;
pub mod connection_table;
pub mod correlate;
pub mod dialogue;
pub mod event;
pub mod hops;
pub mod host;
pub mod input;
pub mod measures;
pub mod output;
pub mod overview;
pub mod packet;
pub mod payload;
pub mod pipeline;
pub mod points;
pub mod recording;
pub mod scope;
pub mod segment;
pub mod timeline;
