//! What becomes of a file whose name is taken.

use crate::server::name::{MAX_BYTES, Name};

/// How many names are tried for one file.
const MOST: u32 = 10_000;

/// What to do where a file of the same name is stored already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnDuplicate {
    /// The upload is refused (409), before its body where that is possible.
    Error,
    /// The new file gets another name: `cat (1).png`.
    #[default]
    Rename,
    /// The older file is lost.
    Overwrite,
}

/// Other names for a file, the nearest first: `cat (1).png`, `cat (2).png`.
pub(super) fn other_names(name: &Name) -> impl Iterator<Item = Name> {
    let (stem, extension) = split(name.as_str());
    (1..=MOST).filter_map(move |number| {
        let end = format!(" ({number}){extension}");
        let room = MAX_BYTES.checked_sub(end.len())?;
        let stem = &stem[..stem.floor_char_boundary(room)];
        Name::new(&format!("{stem}{end}")).ok()
    })
}

/// A short extension stays with the name, `.tar.gz` as a whole.
fn split(name: &str) -> (&str, &str) {
    const LONGEST: usize = 16;
    let dot = |name: &str| name.rfind('.').filter(|&dot| dot > 0);
    let Some(last) = dot(name) else {
        return (name, "");
    };
    let before = dot(&name[..last]).filter(|&dot| &name[dot..last] == ".tar");
    let start = before.unwrap_or(last);
    match name.len() - start <= LONGEST {
        true => name.split_at(start),
        false => (name, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_precede_the_extension() {
        check("cat.png", "cat (1).png");
        check("cat", "cat (1)");
        check("a.b.c", "a.b (1).c");
        check("old.tar.gz", "old (1).tar.gz");
        check("tar.gz", "tar (1).gz");
        check("cat (1).png", "cat (1) (1).png");
        check("ends.", "ends (1).");
        check(
            "a sentence. And what stands behind it",
            "a sentence. And what stands behind it (1)",
        );
        check(
            &format!("{}.png", "x".repeat(251)),
            &format!("{} (1).png", "x".repeat(247)),
        );
        check(
            &format!("{}.png", "é".repeat(125)),
            &format!("{} (1).png", "é".repeat(123)),
        );

        fn check(name: &str, expected: &str) {
            let name = Name::new(name).unwrap();
            let other = other_names(&name).next().unwrap();
            assert_eq!(other.as_str(), expected);
        }
    }

    #[test]
    fn numbers_count() {
        let name = Name::new("cat.png").unwrap();
        assert_eq!(other_names(&name).nth(9).unwrap().as_str(), "cat (10).png");
        assert_eq!(other_names(&name).count(), 10_000);
    }
}
