//! A form that is not stored whole: which part is at fault, and how many files are stored all the same.

use std::fmt;

use crate::server::error::Error;

#[derive(Debug)]
pub(crate) struct FailedForm {
    error: Error,
    /// None where the form itself is at fault.
    part: Option<String>,
    /// How many files are stored.
    stored: usize,
}

impl FailedForm {
    pub(super) fn explain(error: Error, part: Option<String>, stored: usize) -> Error {
        if part.is_none() && stored == 0 {
            return error;
        }
        Error::InForm(Box::new(Self {
            error,
            part,
            stored,
        }))
    }

    pub(crate) fn error(&self) -> &Error {
        &self.error
    }
}

impl std::error::Error for FailedForm {}

impl fmt::Display for FailedForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(part) = &self.part {
            write!(f, "{part}: ")?;
        }
        write!(f, "{}", self.error)?;
        match self.stored {
            0 => Ok(()),
            1 => write!(f, " (1 file of the form is stored)"),
            stored => write!(f, " ({stored} files of the form are stored)"),
        }
    }
}
