//! The names of stored files: one plain path component that can neither lead elsewhere nor hide from a
//! listing.

use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// The longest name on Linux file systems.
pub(crate) const MAX_BYTES: usize = 255;

/// Encodes everything but the unreserved characters of RFC 3986.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// A name that is safe to join to the upload directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Name(String);

/// Why a name is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NameError {
    #[error("it is empty")]
    Empty,
    #[error("it is longer than {MAX_BYTES} bytes")]
    TooLong,
    #[error("it is not UTF-8")]
    NotUtf8,
    #[error("it has a '/', and this server has no folders: give one plain file name")]
    Slash,
    #[error("it has a control character or a line break")]
    Control,
    #[error("it has U+{0:04X}, which makes a name read as another one")]
    Bidirectional(u32),
    #[error("it has no visible letter")]
    Invisible,
    #[error("it begins with a '.'")]
    Hidden,
}

impl Name {
    /// From a percent-encoded path component.
    pub(crate) fn decode(encoded: &str) -> Result<Self, NameError> {
        let decoded = percent_decode_str(encoded).decode_utf8();
        Self::new(&decoded.map_err(|_| NameError::NotUtf8)?)
    }

    /// From a plain name.
    pub(crate) fn new(name: &str) -> Result<Self, NameError> {
        if name.is_empty() {
            Err(NameError::Empty)
        } else if name.len() > MAX_BYTES {
            Err(NameError::TooLong)
        } else if name.contains('/') {
            Err(NameError::Slash)
        } else if name.chars().any(breaks_lines) {
            Err(NameError::Control)
        } else if let Some(letter) = name.chars().find(|letter| reorders(*letter)) {
            Err(NameError::Bidirectional(letter.into()))
        } else if name.chars().all(is_invisible) {
            Err(NameError::Invisible)
        } else if name.starts_with('.') {
            Err(NameError::Hidden)
        } else {
            Ok(Self(name.to_owned()))
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The path of the file on this server.
    pub(crate) fn path(&self) -> String {
        format!("/files/{}", self.encoded())
    }

    /// The name as a URL path component.
    pub(crate) fn encoded(&self) -> impl fmt::Display {
        utf8_percent_encode(&self.0, ENCODED)
    }
}

fn breaks_lines(letter: char) -> bool {
    letter.is_control() || matches!(letter, '\u{2028}' | '\u{2029}')
}

/// Embeddings, overrides and isolates (Unicode, UAX 9), which show a name in another order than its
/// letters have: `gpj.exe` as `exe.jpg`. The marks, which names of right-to-left scripts need, do not.
fn reorders(letter: char) -> bool {
    matches!(letter, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

/// White space, and letters of no width. Beside visible ones they have a meaning: in emoji, and in
/// Persian and Indic scripts.
fn is_invisible(letter: char) -> bool {
    letter.is_whitespace()
        || matches!(
            letter,
            '\u{00AD}'
                | '\u{034F}'
                | '\u{061C}'
                | '\u{115F}'
                | '\u{1160}'
                | '\u{180E}'
                | '\u{200B}'..='\u{200F}'
                | '\u{2060}'..='\u{2064}'
                | '\u{206A}'..='\u{206F}'
                | '\u{2800}'
                | '\u{3164}'
                | '\u{FE00}'..='\u{FE0F}'
                | '\u{FEFF}'
                | '\u{FFA0}'
                | '\u{E0000}'..='\u{E0FFF}'
        )
}

/// The last component of a path, for a name that was sent as one: the server has no folders (RFC 7578,
/// 4.2). A path that leads upwards stays as it is, and is refused. That of another machine leads nowhere.
pub(crate) fn last_component(path: &str, is_of_windows: bool) -> &str {
    if is_of_windows {
        return path.rsplit(['/', '\\']).next().unwrap_or(path);
    }
    let mut components = path.rsplit('/');
    let last = components.next().unwrap_or(path);
    if last == ".." || components.any(|component| component == "..") {
        path
    } else {
        last
    }
}

/// Whether this is a full path of Windows, which some clients take for the name: it begins with a drive
/// or a host. Elsewhere, a backslash is a letter like others.
pub(crate) fn is_path_of_windows(name: &str) -> bool {
    match name.as_bytes() {
        [drive, b':', b'\\' | b'/', ..] => drive.is_ascii_alphabetic(),
        [b'\\', b'\\', ..] => name.matches('\\').count() > 2,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_one_plain_component() {
        check("cat.png", Ok("cat.png"));
        check("two%20words", Ok("two words"));
        check("na%C3%AFve", Ok("naïve"));
        check("50%", Ok("50%"));
        check("a..b", Ok("a..b"));
        check("back\\slash", Ok("back\\slash"));
        check(&"x".repeat(255), Ok(&"x".repeat(255)));
        check(&"x".repeat(256), Err(NameError::TooLong));
        check("", Err(NameError::Empty));
        check(".", Err(NameError::Hidden));
        check("..", Err(NameError::Hidden));
        check("%2e%2E", Err(NameError::Hidden));
        check(".upload-x", Err(NameError::Hidden));
        check("a/b", Err(NameError::Slash));
        check("a%2Fb", Err(NameError::Slash));
        check("%00", Err(NameError::Control));
        check("a%0Ab", Err(NameError::Control));
        check("a%C2%85b", Err(NameError::Control));
        check("%ff", Err(NameError::NotUtf8));
        check("a+b", Ok("a+b"));
        check("a%E2%80%A8b", Err(NameError::Control));
    }

    #[test]
    fn refuses_names_that_read_as_others() {
        check("%E2%80%AEgpj.exe", Err(NameError::Bidirectional(0x202E)));
        check("a%E2%81%A6b", Err(NameError::Bidirectional(0x2066)));
        check("%E2%80%8Fa", Ok("\u{200F}a"));
        check("a%E2%80%8Db", Ok("a\u{200D}b"));
        check("%E2%80%8B", Err(NameError::Invisible));
        check("%20%EF%BB%BF", Err(NameError::Invisible));
        check("%20a", Ok(" a"));
    }

    fn check(encoded: &str, expected: Result<&str, NameError>) {
        let name = Name::decode(encoded);
        assert_eq!(
            name.as_ref().map(Name::as_str).map_err(|error| *error),
            expected
        );
    }

    #[test]
    fn encodes_what_it_decodes() {
        for name in ["cat.png", "two words", "naïve?#%.txt", "<b>&\"'"] {
            let encoded = Name(name.to_owned()).encoded().to_string();
            assert_eq!(Name::decode(&encoded), Ok(Name(name.to_owned())));
        }
    }

    #[test]
    fn of_a_path_is_its_last_component() {
        check("cat.png", "cat.png");
        check("folder/cat.png", "cat.png");
        check("/cat.png", "cat.png");
        check("folder/", "");
        check("C:\\pictures\\cat.png", "cat.png");
        check("c:/pictures/cat.png", "cat.png");
        check("\\\\host\\pictures\\cat.png", "cat.png");
        check("back\\slash", "back\\slash");
        check("\\\\odd", "\\\\odd");
        check("1:\\odd", "1:\\odd");
        check("../cat.png", "../cat.png");
        check("a/../cat.png", "a/../cat.png");
        check("C:\\..\\cat.png", "cat.png");

        fn check(path: &str, expected: &str) {
            assert_eq!(last_component(path, is_path_of_windows(path)), expected);
        }
    }
}
