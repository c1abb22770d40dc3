//! The id of an unfinished upload. It cannot be guessed, because any client that knows it may continue
//! the upload.

use std::{fmt, io};

use ring::{
    digest::{Context, SHA256},
    rand::{SecureRandom, SystemRandom},
};
use serde::{Deserialize, Serialize};

use crate::server::{encoding::hex, error::Error};

const BYTES: usize = 16;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Id(String);

impl Id {
    /// A random one.
    pub(crate) fn new() -> Result<Self, Error> {
        let mut bytes = [0; BYTES];
        SystemRandom::new()
            .fill(&mut bytes)
            .map_err(|_| Error::Disk(io::Error::other("the system has no random numbers")))?;
        Ok(Self(hex(&bytes)))
    }

    /// The id of the upload that these are put together to. It is always the same, so that a client that
    /// missed the answer asks for the same upload again.
    pub(crate) fn of_all<'a>(parts: impl Iterator<Item = &'a Self>) -> Self {
        let mut context = Context::new(&SHA256);
        for Self(part) in parts {
            context.update(part.as_bytes());
        }
        let digest = context.finish();
        Self(hex(digest.as_ref().get(..BYTES).unwrap_or_default()))
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

impl TryFrom<String> for Id {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or("not the id of an upload")
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

    #[test]
    fn all_have_one_id_in_one_order() {
        let (a, b) = (Id::new().unwrap(), Id::new().unwrap());
        let both = Id::of_all([&a, &b].into_iter());
        assert_eq!(Id::parse(&both.to_string()), Some(both.clone()));
        assert_eq!(Id::of_all([&a, &b].into_iter()), both);
        assert_ne!(Id::of_all([&b, &a].into_iter()), both);
        assert_ne!(Id::of_all([&a].into_iter()), a);
    }
}
