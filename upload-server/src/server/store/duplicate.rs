//! Files whose name exists already.

use crate::server::name::{MAX_BYTES, Name};

/// How many names are tried for one file.
const MAX: u32 = 10_000;

/// What to do when a file of the same name exists already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnDuplicate {
    /// Refuse the upload (409), before its body where possible.
    Error,
    /// Give the new file another name: `cat (1).png`.
    // The default: the only one of the three that loses neither file.
    #[default]
    Rename,
    /// Replace the older file.
    Overwrite,
}

/// Other names for a file, the nearest first: `cat (1).png`, `cat (2).png`.
pub(super) fn other_names(name: &Name) -> impl Iterator<Item = Name> {
    let (stem, extension) = split(name.as_str());
    (1..=MAX).filter_map(move |number| {
        let end = format!(" ({number}){extension}");
        let room = MAX_BYTES.checked_sub(end.len())?;
        let stem = &stem[..stem.floor_char_boundary(room)];
        Name::new(&format!("{stem}{end}")).ok()
    })
}

/// Splits a name before its extension, if that is short. `.tar.gz` is one extension.
fn split(name: &str) -> (&str, &str) {
    const LONGEST: usize = 16;
    let dot = |name: &str| name.rfind('.').filter(|&dot| dot > 0);
    let Some(last) = dot(name) else {
        return (name, "");
    };
    let before = dot(&name[..last]).filter(|&dot| &name[dot..last] == ".tar");
    let start = before.unwrap_or(last);
    if name.len() - start <= LONGEST {
        name.split_at(start)
    } else {
        (name, "")
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
            "a sentence. And the text behind it",
            "a sentence. And the text behind it (1)",
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
