//! What must hold of the tracer's parsers, whatever bytes they are given. Each module is a fuzz
//! target; its `check` panics where something does not hold.
//!
//! The seeds under `seeds/` are made by `cargo xtask fuzz --seeds` from the recordings and
//! captures that the tests use.

pub mod btf;
pub mod capture;
pub mod event;
pub mod hidden;
pub mod payload;
pub mod recording;
pub mod segment;
pub mod two_captures;
