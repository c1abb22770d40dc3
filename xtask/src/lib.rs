//! What the verbs of `cargo xtask` share: running programs, and installing what is missing.

pub mod command;
pub mod setup;
