//! What the verbs of `cargo xtask` share: running programs, installing what is missing,
//! finding the commands that the documents name, and what tshark calls what the tracer finds.

pub mod command;
pub mod documents;
pub mod setup;
pub mod tshark;
