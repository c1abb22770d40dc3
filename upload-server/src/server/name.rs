//! The names of stored files: one plain path component that can neither lead elsewhere nor hide from a
//! listing.

use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// The longest name on Linux file systems.
pub(crate) const MAX_BYTES: usize = 255;

/// Encodes everything but the unreserved characters of RFC 3986.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// A name that is safe to join to the upload directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Name(String);

/// Why a name is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NameError {
    #[error("it is empty")]
    Empty,
    #[error("it is longer than {MAX_BYTES} bytes")]
    TooLong,
    #[error("it is not UTF-8")]
    NotUtf8,
    #[error("it has a '/': give one plain file name")]
    Slash,
    #[error("it has a control character")]
    Control,
    #[error("it begins with a '.'")]
    Hidden,
}

impl Name {
    /// From a percent-encoded path component.
    pub(crate) fn decode(encoded: &str) -> Result<Self, NameError> {
        let decoded = percent_decode_str(encoded).decode_utf8();
        Self::new(&decoded.map_err(|_| NameError::NotUtf8)?)
    }

    /// From a plain name.
    pub(crate) fn new(name: &str) -> Result<Self, NameError> {
        if name.is_empty() {
            Err(NameError::Empty)
        } else if name.len() > MAX_BYTES {
            Err(NameError::TooLong)
        } else if name.contains('/') {
            Err(NameError::Slash)
        } else if name.chars().any(char::is_control) {
            Err(NameError::Control)
        } else if name.starts_with('.') {
            Err(NameError::Hidden)
        } else {
            Ok(Self(name.to_owned()))
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The path of the file on this server.
    pub(crate) fn path(&self) -> String {
        format!("/files/{}", self.encoded())
    }

    /// The name as a URL path component.
    pub(crate) fn encoded(&self) -> impl fmt::Display {
        utf8_percent_encode(&self.0, ENCODED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_one_plain_component() {
        check("cat.png", Ok("cat.png"));
        check("two%20words", Ok("two words"));
        check("na%C3%AFve", Ok("naïve"));
        check("50%", Ok("50%"));
        check("a..b", Ok("a..b"));
        check("back\\slash", Ok("back\\slash"));
        check(&"x".repeat(255), Ok(&"x".repeat(255)));
        check(&"x".repeat(256), Err(NameError::TooLong));
        check("", Err(NameError::Empty));
        check(".", Err(NameError::Hidden));
        check("..", Err(NameError::Hidden));
        check("%2e%2E", Err(NameError::Hidden));
        check(".upload-x", Err(NameError::Hidden));
        check("a/b", Err(NameError::Slash));
        check("a%2Fb", Err(NameError::Slash));
        check("%00", Err(NameError::Control));
        check("a%0Ab", Err(NameError::Control));
        check("a%C2%85b", Err(NameError::Control));
        check("%ff", Err(NameError::NotUtf8));
    }

    fn check(encoded: &str, expected: Result<&str, NameError>) {
        let name = Name::decode(encoded);
        assert_eq!(
            name.as_ref().map(Name::as_str).map_err(|error| *error),
            expected
        );
    }

    #[test]
    fn encodes_what_it_decodes() {
        for name in ["cat.png", "two words", "naïve?#%.txt", "<b>&\"'"] {
            let encoded = Name(name.to_owned()).encoded().to_string();
            assert_eq!(Name::decode(&encoded), Ok(Name(name.to_owned())));
        }
    }
}
