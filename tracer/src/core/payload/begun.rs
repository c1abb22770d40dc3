//! What begins in a segment's payload, in the words of Wireshark's Info column.

use std::borrow::Cow;

/// The messages that began since this was last taken, if that is kept.
pub(super) type Begun = Option<Box<Messages>>;

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Messages {
    text: String,
    count: usize,
}

/// In one segment. A burst of small ones has more.
const MAX_MESSAGES: usize = 16;
/// Of one message: a target may have 64 KiB.
const MAX_CHARACTERS: usize = 200;

/// Adds a message, if any is kept.
pub(super) fn begin<Text: Into<Cow<'static, str>>>(
    begun: &mut Begun,
    message: impl FnOnce() -> Text,
) {
    if let Some(messages) = begun {
        messages.add(&message().into());
    }
}

/// Adds to the latest message.
pub(super) fn go_on(begun: &mut Begun, rest: impl FnOnce() -> String) {
    if let Some(messages) = begun
        && (1..=MAX_MESSAGES).contains(&messages.count)
    {
        messages.push(&rest());
    }
}

impl Messages {
    /// Takes the text; `None` where nothing began.
    pub(super) fn take(&mut self) -> Option<String> {
        let Self { text, .. } = std::mem::take(self);
        (!text.is_empty()).then_some(text)
    }

    fn add(&mut self, message: &str) {
        self.count += 1;
        if self.count > MAX_MESSAGES {
            if self.count == MAX_MESSAGES + 1 {
                self.text.push_str(", …");
            }
            return;
        }
        if self.count > 1 {
            self.text.push_str(", ");
        }
        self.push(message);
    }

    fn push(&mut self, text: &str) {
        match text.char_indices().nth(MAX_CHARACTERS) {
            None => self.text.push_str(text),
            Some((end, _)) => {
                self.text.push_str(text.get(..end).unwrap_or_default());
                self.text.push('…');
            }
        }
    }
}

/// `ClientHello` or `handshake_failure` as words: `Client Hello`, `Handshake Failure`.
pub(super) fn words(name: &str) -> String {
    let mut words = String::with_capacity(name.len() + 4);
    let mut before = '_';
    for character in name.chars() {
        match character {
            '_' => words.push(' '),
            _ if before == '_' => words.extend(character.to_uppercase()),
            _ if character.is_uppercase() && before.is_lowercase() => {
                words.push(' ');
                words.push(character);
            }
            _ => words.push(character),
        }
        before = character;
    }
    let upper = words.split(' ').map(|word| match word {
        "Ca" => "CA",
        "Ech" => "ECH",
        "Mac" => "MAC",
        "Psk" => "PSK",
        word => word,
    });
    upper.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_as_words() {
        for (name, expected) in [
            ("ClientHello", "Client Hello"),
            ("ServerHelloDone", "Server Hello Done"),
            ("Alert", "Alert"),
            ("handshake_failure", "Handshake Failure"),
            ("unknown_ca", "Unknown CA"),
            ("fatal", "Fatal"),
        ] {
            assert_eq!(words(name), expected);
        }
    }

    #[test]
    fn long_and_many_messages_are_cut() {
        let mut begun: Begun = Some(Box::default());
        begin(&mut begun, || "a".repeat(70_000));
        let text = begun.as_mut().unwrap().take().unwrap();
        assert_eq!(text, "a".repeat(200) + "…");
        for _ in 0..1000 {
            begin(&mut begun, || "b");
        }
        let text = begun.as_mut().unwrap().take().unwrap();
        assert_eq!(text.len(), "b, ".len() * 16 + "…".len());
        assert_eq!(begun.as_mut().unwrap().take(), None);
    }
}
