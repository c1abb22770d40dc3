//! The address of an upload's timeline: `/t/ID`. Ids are consecutive numbers, so that anybody could
//! try them. Where the server lists no uploads, an address therefore also has a seal that only the
//! server can make: the uploader learns it, and nobody else.

use std::io;

use ring::{
    hmac::{self, HMAC_SHA256, Key},
    rand::SystemRandom,
};

use super::encoding::hex;

/// How many bytes of the seal an address contains.
const SEAL_BYTES: usize = 16;

pub(crate) struct Addresses {
    key: Option<Key>,
}

impl Addresses {
    /// Addresses without a seal.
    pub(crate) fn open() -> Self {
        Self { key: None }
    }

    /// Addresses that only the uploader knows. Their key lasts as long as this process.
    pub(crate) fn sealed() -> io::Result<Self> {
        let key = Key::generate(HMAC_SHA256, &SystemRandom::new());
        let key = key.map_err(|_| io::Error::other("there are no random numbers"))?;
        Ok(Self { key: Some(key) })
    }

    pub(crate) fn of(&self, id: &str) -> String {
        match &self.key {
            None => format!("/t/{id}"),
            Some(key) => format!("/t/{id}-{}", seal(key, id)),
        }
    }

    /// The address where everybody may know it.
    pub(crate) fn public(&self, id: &str) -> Option<String> {
        self.key.is_none().then(|| self.of(id))
    }

    /// The id in an address (without `/t/`). None where the seal is missing or wrong.
    pub(crate) fn read<'a>(&self, address: &'a str) -> Option<&'a str> {
        let Some(key) = &self.key else {
            return Some(address);
        };
        let (id, shown) = address.split_once('-')?;
        // Comparing the seals of both takes the same time wherever they differ.
        let shown = hmac::sign(key, shown.as_bytes());
        hmac::verify(key, seal(key, id).as_bytes(), shown.as_ref()).ok()?;
        Some(id)
    }
}

fn seal(key: &Key, id: &str) -> String {
    let tag = hmac::sign(key, id.as_bytes());
    hex(tag.as_ref().get(..SEAL_BYTES).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn are_ids_where_uploads_are_listed() {
        let open = Addresses::open();
        assert_eq!(open.of("7"), "/t/7");
        assert_eq!(open.public("7").as_deref(), Some("/t/7"));
        assert_eq!(open.read("7"), Some("7"));
    }

    #[test]
    fn cannot_be_guessed_where_they_are_sealed() {
        let sealed = Addresses::sealed().unwrap();
        let address = sealed.of("7");
        let address = address.strip_prefix("/t/").unwrap();
        assert_eq!(sealed.public("7"), None);
        assert_eq!(sealed.read(address), Some("7"));
        assert_eq!(sealed.read("7"), None);
        assert_eq!(sealed.read("7-"), None);
        assert_eq!(sealed.read(&address.replacen('7', "8", 1)), None);
        assert_eq!(Addresses::sealed().unwrap().read(address), None);
    }
}
