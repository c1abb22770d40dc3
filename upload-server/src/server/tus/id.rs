//! The id of an unfinished upload. It is random, because any client that knows it may continue the
//! upload.

use std::{fmt, io};

use ring::rand::{SecureRandom, SystemRandom};

use crate::server::{encoding::hex, error::Error};

const BYTES: usize = 16;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Id(String);

impl Id {
    pub(crate) fn new() -> Result<Self, Error> {
        let mut bytes = [0; BYTES];
        SystemRandom::new()
            .fill(&mut bytes)
            .map_err(|_| Error::Disk(io::Error::other("the system has no random numbers")))?;
        Ok(Self(hex(&bytes)))
    }

    /// Enough digits to distinguish uploads, and too few to continue one.
    pub(crate) fn short(&self) -> &str {
        self.0.get(..8).unwrap_or_default()
    }

    /// None for a text that is not an id.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let is_id = text.len() == 2 * BYTES && text.bytes().all(is_digit);
        is_id.then(|| Self(text.to_owned()))
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_read_as_it_is_written() {
        let id = Id::new().unwrap();
        assert_eq!(Id::parse(&id.to_string()), Some(id.clone()));
        assert_ne!(Id::new().unwrap(), id);
        for other in [
            "",
            "../..",
            &"0".repeat(31),
            &"0".repeat(33),
            &"A".repeat(32),
        ] {
            assert_eq!(Id::parse(other), None, "{other}");
        }
    }
}
