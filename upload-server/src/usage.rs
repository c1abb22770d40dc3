//! A command line that cannot be meant: told apart from what goes wrong.

/// What to change, in a sentence.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Usage(pub(crate) String);

/// The exit status that says so; clap's own is the same.
pub(crate) const USAGE_STATUS: u8 = 2;
