//! The list of stored files, the newest first, a page at a time. A reading of the whole directory makes several
//! pages, and keeps no more of it than these show.

use std::{
    cmp::Reverse,
    fmt, io,
    time::{Duration, SystemTime},
};

use super::directory::Directory;
use crate::server::name::Name;

/// A stored file, as the page lists it.
#[derive(Clone, Debug)]
pub(crate) struct ListedFile {
    pub(crate) name: Name,
    pub(crate) bytes: u64,
    pub(crate) modified: SystemTime,
}

/// A page of the list.
#[derive(Clone, Debug, Default)]
pub(crate) struct Listing {
    pub(crate) files: Vec<ListedFile>,
    /// Whether files follow that are not on this page.
    pub(crate) has_more: bool,
    /// How many files are stored.
    pub(crate) all: usize,
}

/// A place in the list, behind a file of this name and time. It stays valid when files come and go.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    modified: SystemTime,
    name: String,
}

impl Place {
    /// From its `Display`, with the name decoded.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (nanoseconds, name) = text.split_once('-')?;
        let since = Duration::from_nanos(nanoseconds.parse().ok()?);
        Some(Self {
            modified: SystemTime::UNIX_EPOCH.checked_add(since)?,
            name: name.to_owned(),
        })
    }
}

impl Place {
    fn key(&self) -> (Reverse<SystemTime>, &str) {
        (Reverse(self.modified), &self.name)
    }
}

impl ListedFile {
    pub(crate) fn place(&self) -> Place {
        Place {
            modified: self.modified,
            name: self.name.as_str().to_owned(),
        }
    }

    /// None for anything but a plain file with an accepted name, and for a file removed meanwhile.
    fn find(directory: &Directory, name: &str) -> Option<Self> {
        let name = Name::new(name).ok()?;
        let found = directory.find(name.as_str()).ok()??;
        found.is_file.then_some(Self {
            name,
            bytes: found.bytes,
            modified: found.modified,
        })
    }

    /// Later files come first. Of the same time, the name decides.
    fn key(&self) -> (Reverse<SystemTime>, &str) {
        (Reverse(self.modified), self.name.as_str())
    }
}

/// For an address: the name is percent-encoded.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let since = self.modified.duration_since(SystemTime::UNIX_EPOCH);
        let nanoseconds = since.unwrap_or_default().as_nanos();
        let name = Name::new(&self.name).map(|name| name.encoded().to_string());
        write!(f, "{nanoseconds}-{}", name.unwrap_or_default())
    }
}

/// For each of these places, up to `most` files that follow it. Blocks.
pub(super) fn list(
    directory: &Directory,
    after: &[&Option<Place>],
    most: usize,
) -> io::Result<Vec<Listing>> {
    let mut all = 0;
    let mut listings = vec![Listing::default(); after.len()];
    directory.each_name(|name| {
        let Some(file) = ListedFile::find(directory, name) else {
            return;
        };
        all += 1;
        for (listing, after) in listings.iter_mut().zip(after) {
            let follows = after.as_ref().is_none_or(|place| file.key() > place.key());
            if follows {
                listing.add(&file, most);
            }
        }
    })?;
    for listing in &mut listings {
        listing.keep(most);
        listing.all = all;
    }
    Ok(listings)
}

impl Listing {
    fn add(&mut self, file: &ListedFile, most: usize) {
        // Once files were left out, those kept then are in order.
        let last = self.files.get(most - 1).filter(|_| self.has_more);
        if last.is_some_and(|last| file.key() > last.key()) {
            return;
        }
        self.files.push(file.clone());
        if self.files.len() > 2 * most {
            self.keep(most);
        }
    }

    fn keep(&mut self, most: usize) {
        self.files.sort_unstable_by(|a, b| a.key().cmp(&b.key()));
        self.has_more |= self.files.len() > most;
        self.files.truncate(most);
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn every_file_is_on_one_page() {
        let root = tempfile::tempdir().unwrap();
        let directory = Directory::open(root.path()).unwrap();
        let now = SystemTime::now();
        for number in 0..25_u64 {
            let name = format!("{number:02} -&?");
            let file = fs::File::create(root.path().join(&name)).unwrap();
            // Five files each have the same time.
            file.set_modified(now - Duration::from_secs(number / 5))
                .unwrap();
        }
        symlink("00 -&?", root.path().join("link")).unwrap();
        fs::write(root.path().join(".hidden"), "").unwrap();
        for most in [1, 4, 5, 24, 25, 26] {
            let mut seen = Vec::new();
            let mut after = None;
            loop {
                let mut pages = list(&directory, &[&None, &after], most).unwrap();
                let page = pages.pop().unwrap();
                assert_eq!(page.all, 25);
                assert!(page.files.len() <= most);
                after = page.files.last().map(ListedFile::place);
                seen.extend(page.files.iter().map(|file| file.name.as_str().to_owned()));
                if !page.has_more {
                    break;
                }
            }
            let expected: Vec<_> = (0..25).map(|number| format!("{number:02} -&?")).collect();
            assert_eq!(seen, expected, "{most}");
        }
    }

    #[test]
    fn a_place_survives_an_address() {
        let place = Place {
            modified: SystemTime::UNIX_EPOCH + Duration::from_nanos(1_700_000_000_123_456_789),
            name: "a-b & ü".to_owned(),
        };
        let text = place.to_string();
        assert_eq!(text, "1700000000123456789-a-b%20%26%20%C3%BC");
        let decoded = percent_encoding::percent_decode_str(&text).decode_utf8();
        assert_eq!(Place::parse(&decoded.unwrap()), Some(place));
        assert_eq!(Place::parse("cat.png"), None);
        assert_eq!(Place::parse("-1-cat.png"), None);
    }
}
