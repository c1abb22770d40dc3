//! The user for whom the tracer runs: whoever started it.

use std::{convert::Infallible, io};

/// The process's own user.
#[derive(Clone, Debug, Default)]
pub struct Caller;

impl Caller {
    pub const fn find() -> Result<Self, Infallible> {
        Ok(Self)
    }

    /// Why a file cannot be used, as the start of a sentence.
    #[must_use]
    pub fn cannot(&self, file: &str, what: &str) -> String {
        format!("{file} cannot be {what}")
    }

    /// Does this.
    pub fn act<T>(&self, act: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        act()
    }
}
