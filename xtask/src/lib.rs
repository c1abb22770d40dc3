//! What the verbs of `cargo xtask` share: running programs, installing what is missing, and finding
//! the commands that the documents name.

pub mod command;
pub mod documents;
pub mod setup;
