//! Where an upload's timeline is shown: `/t/ID`. Ids are counted, so where the server shows nobody
//! which uploads there are, an address also has a seal that nobody can make up: who uploaded is told
//! it, and nobody else.

use std::io;

use ring::{
    hmac::{self, HMAC_SHA256, Key},
    rand::SystemRandom,
};

use super::encoding::hex;

/// How much of the seal stands in an address, in bytes.
const SEAL_BYTES: usize = 16;

/// See the module.
pub(crate) struct Addresses {
    key: Option<Key>,
}

impl Addresses {
    /// Everybody may know of all uploads.
    pub(crate) fn open() -> Self {
        Self { key: None }
    }

    /// Only who uploaded knows the address. The key is this server's life long.
    pub(crate) fn sealed() -> io::Result<Self> {
        let key = Key::generate(HMAC_SHA256, &SystemRandom::new());
        let key = key.map_err(|_| io::Error::other("there are no random numbers"))?;
        Ok(Self { key: Some(key) })
    }

    /// The address of an upload's timeline.
    pub(crate) fn of(&self, id: &str) -> String {
        match &self.key {
            None => format!("/t/{id}"),
            Some(key) => format!("/t/{id}-{}", seal(key, id)),
        }
    }

    /// The same for whoever listens, if they may know.
    pub(crate) fn public(&self, id: &str) -> Option<String> {
        self.key.is_none().then(|| self.of(id))
    }

    /// The upload that an address is of, without `/t/`; none where it is not one of ours.
    pub(crate) fn read<'a>(&self, address: &'a str) -> Option<&'a str> {
        let Some(key) = &self.key else {
            return Some(address);
        };
        let (id, shown) = address.split_once('-')?;
        // Compared by their own seals, which tells nothing of where they differ.
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
    fn are_counted_where_all_may_know() {
        let open = Addresses::open();
        assert_eq!(open.of("7"), "/t/7");
        assert_eq!(open.public("7").as_deref(), Some("/t/7"));
        assert_eq!(open.read("7"), Some("7"));
    }

    #[test]
    fn cannot_be_made_up_where_they_are_sealed() {
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
