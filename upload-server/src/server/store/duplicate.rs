//! Files whose name exists already.

use crate::server::name::{MAX_BYTES, Name};

/// The last number for a file.
const MAX: u32 = 10_000;

/// How many numbers are tried one after another. Where all of them are taken, there are many files of this name.
const FEW: u32 = 8;

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

/// Gives a file another name: `cat (1).png`, or where that is taken `cat (2).png`. Among many, it is a free one behind
/// one that is taken, found in as many steps as the number of files has digits in binary. `give` returns false where
/// a name is taken. None where no name is free.
pub(super) fn give_other_name<E>(
    name: &Name,
    is_taken: impl Fn(&Name) -> Result<bool, E>,
    mut give: impl FnMut(&Name) -> Result<bool, E>,
) -> Result<Option<Name>, E> {
    let other = |number| other_name(name, number);
    for other in (1..=FEW).filter_map(other) {
        if give(&other)? {
            return Ok(Some(other));
        }
    }
    let is_taken = |number| other(number).map_or(Ok(true), |other| is_taken(&other));
    let mut taken = FEW;
    loop {
        let mut free = taken;
        let mut step = 1;
        while free == taken {
            let next = MAX.min(taken + step);
            if next == taken {
                return Ok(None);
            }
            if is_taken(next)? {
                (taken, free) = (next, next);
            } else {
                free = next;
            }
            step *= 2;
        }
        while free - taken > 1 {
            let middle = taken.midpoint(free);
            if is_taken(middle)? {
                taken = middle;
            } else {
                free = middle;
            }
        }
        if let Some(other) = other(free)
            && give(&other)?
        {
            return Ok(Some(other));
        }
        // Another upload has got it since.
        taken = free;
    }
}

/// None where a name with this number cannot be.
fn other_name(name: &Name, number: u32) -> Option<Name> {
    let (stem, extension) = split(name.as_str());
    let end = format!(" ({number}){extension}");
    let room = MAX_BYTES.checked_sub(end.len())?;
    let stem = &stem[..stem.floor_char_boundary(room)];
    Name::new(&format!("{stem}{end}")).ok()
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
    use std::cell::Cell;

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
            let other = other_name(&name, 1).unwrap();
            assert_eq!(other.as_str(), expected);
        }
    }

    #[test]
    fn the_next_number_is_found_in_few_steps() {
        check(0, Some(1), 1);
        check(7, Some(8), 8);
        check(8, Some(9), 10);
        check(100, Some(101), 25);
        check(9_998, Some(9_999), 40);
        check(9_999, Some(10_000), 40);
        check(10_000, None, 40);

        /// The first `taken` numbers are taken.
        fn check(taken: u32, expected: Option<u32>, most_steps: u32) {
            let numbers = 1..=taken;
            let (steps, given) = give(|number| numbers.contains(&number));
            assert_eq!(given, expected, "of {taken}");
            assert!(steps <= most_steps, "{steps} of {taken}");
        }
    }

    #[test]
    fn a_gap_may_be_filled() {
        assert_eq!(give(|number| number != 3).1, Some(3));
        let (_, given) = give(|number| number < 5_000 && number != 4_000);
        assert!(matches!(given, Some(4_000 | 5_000)), "{given:?}");
    }

    /// A name that is found free, and taken meanwhile.
    #[test]
    fn goes_on_behind_a_name_that_another_upload_got() {
        let lost = Cell::new(0);
        let name = Name::new("cat").unwrap();
        let is_taken = |other: &Name| Ok::<_, ()>(number(other) <= 20);
        let given = give_other_name(&name, is_taken, |other| {
            let gets = number(other) > 23;
            lost.set(lost.get() + u32::from(number(other) > 20 && !gets));
            Ok(gets)
        });
        assert_eq!((number(&given.unwrap().unwrap()), lost.get()), (24, 3));
    }

    /// How many names were looked up or tried, and the number that a file got.
    fn give(is_taken: impl Fn(u32) -> bool) -> (u32, Option<u32>) {
        let steps = Cell::new(0);
        let taken = |other: &Name| {
            steps.set(steps.get() + 1);
            Ok::<_, ()>(is_taken(number(other)))
        };
        let name = Name::new("cat").unwrap();
        let given = give_other_name(&name, taken, |other| Ok(!taken(other)?));
        (steps.get(), given.unwrap().as_ref().map(number))
    }

    fn number(name: &Name) -> u32 {
        let number = name.as_str().strip_prefix("cat (").unwrap();
        number.strip_suffix(")").unwrap().parse().unwrap()
    }
}
