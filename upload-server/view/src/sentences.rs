//! Sentences on the steps of TCP that many connections of a page have in common: the page has each once, as what describes
//! its steps, and as what the style sheet shows beside a step that is pointed at.

use std::fmt::Write as _;

use maud::{Markup, html};

/// Options of peers are in some sentences, so there may be many.
const MAX: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Sentences(Vec<String>);

impl Sentences {
    /// The id of the sentence on the page; `None` where it has too many already.
    pub(super) fn id_of(&mut self, sentence: &str) -> Option<String> {
        let known = self.0.iter().position(|one| one == sentence);
        let place = known.or_else(|| {
            let place = self.0.len();
            (place < MAX).then(|| {
                self.0.push(sentence.to_owned());
                place
            })
        });
        Some(id(place?))
    }

    /// All of them, for those who are read to.
    pub(super) fn list(&self) -> Markup {
        html! {
            div hidden {
                @for (place, sentence) in self.0.iter().enumerate() { p id=(id(place)) { (sentence) } }
            }
        }
    }

    /// What the style sheet shows.
    pub(super) fn rules(&self) -> String {
        let mut rules = String::new();
        for (place, sentence) in self.0.iter().enumerate() {
            let _ = writeln!(
                rules,
                ".report .steps [aria-describedby={}]:is(:hover, :focus)::after {{ content: \"{}\"; }}",
                id(place),
                quoted(sentence)
            );
        }
        rules
    }
}

fn id(place: usize) -> String {
    format!("s{place}")
}

/// As it is within a string of CSS, in an element `style`.
fn quoted(text: &str) -> String {
    let mut quoted = String::new();
    for character in text.chars() {
        if character.is_control() || "\"\\<".contains(character) {
            let _ = write!(quoted, "\\{:x} ", u32::from(character));
        } else {
            quoted.push(character);
        }
    }
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_once_and_no_more_than_there_is_room_for() {
        let mut sentences = Sentences::default();
        for _ in 0..2 {
            assert_eq!(sentences.id_of("a").as_deref(), Some("s0"));
            assert_eq!(sentences.id_of("b").as_deref(), Some("s1"));
        }
        for number in 2..MAX {
            assert!(sentences.id_of(&number.to_string()).is_some());
        }
        assert_eq!(sentences.id_of("one more"), None);
        assert_eq!(sentences.rules().lines().count(), MAX);
        let list = sentences.list().into_string();
        assert!(list.starts_with("<div hidden><p id=\"s0\">a</p><p id=\"s1\">b</p>"));
    }

    #[test]
    fn text_does_not_leave_its_string() {
        let mut sentences = Sentences::default();
        let _ = sentences.id_of("a\"; } </style>\n\\");
        let rules = sentences.rules();
        assert!(
            rules.ends_with("content: \"a\\22 ; } \\3c /style>\\a \\5c \"; }\n"),
            "{rules}"
        );
    }
}
