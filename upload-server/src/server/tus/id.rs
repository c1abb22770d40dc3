//! What an upload is called until it has its name. Whoever knows it may go on with the upload: it
//! cannot be guessed.

use std::{fmt, io};

use ring::rand::{SecureRandom, SystemRandom};

use crate::server::{encoding::hex, error::Error};

const BYTES: usize = 16;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Id(String);

impl Id {
    pub(crate) fn new() -> Result<Self, Error> {
        let mut bytes = [0; BYTES];
        SystemRandom::new()
            .fill(&mut bytes)
            .map_err(|_| Error::Disk(io::Error::other("there are no random numbers")))?;
        Ok(Self(hex(&bytes)))
    }

    /// Tells it apart from others, and does not let anybody go on with the upload.
    pub(crate) fn short(&self) -> &str {
        self.0.get(..8).unwrap_or_default()
    }

    /// None for what cannot be one.
    pub(crate) fn read(text: &str) -> Option<Self> {
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
        assert_eq!(Id::read(&id.to_string()), Some(id.clone()));
        assert_ne!(Id::new().unwrap(), id);
        for other in [
            "",
            "../..",
            &"0".repeat(31),
            &"0".repeat(33),
            &"A".repeat(32),
        ] {
            assert_eq!(Id::read(other), None, "{other}");
        }
    }
}
