//! Encoded words (RFC 2047), with which .NET, PowerShell and libraries for mail write names that are not
//! ASCII: `=?utf-8?B?bmHDr3ZlLnR4dA==?=`.

use base64::{
    Engine,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

use super::file_name::{FileNameError, decode_charset};

/// Some clients leave the padding out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// A word, or several that follow each other: a letter may begin in one and end in another.
struct Words<'a> {
    charset: &'a str,
    bytes: Vec<u8>,
}

impl Words<'_> {
    fn decode(&self) -> Result<String, FileNameError> {
        decode_charset(self.charset, &self.bytes)
    }
}

/// The text with its words decoded. `None` where it has no words.
pub(super) fn decode(text: &str) -> Result<Option<String>, FileNameError> {
    let mut rest = text;
    let mut decoded = String::new();
    let mut words: Option<Words> = None;
    while let Some((before, next, after)) = next_word(rest)? {
        rest = after;
        // White space between two words is not part of the text.
        let follows = before.trim().is_empty();
        if let Some(words) = &mut words
            && follows
            && words.charset.eq_ignore_ascii_case(next.charset)
        {
            words.bytes.extend(next.bytes);
            continue;
        }
        let is_first = words.is_none();
        if let Some(words) = words.replace(next) {
            decoded += &words.decode()?;
        }
        if is_first || !follows {
            decoded += before;
        }
    }
    let Some(words) = words else {
        return Ok(None);
    };
    decoded += &words.decode()?;
    decoded += rest;
    Ok(Some(decoded))
}

/// The text before the next word, the word, and the text behind it.
fn next_word(text: &str) -> Result<Option<(&str, Words<'_>, &str)>, FileNameError> {
    for (at, _) in text.match_indices("=?") {
        let (before, word) = text.split_at(at);
        let Some((charset, encoding, encoded, after)) = split_word(word) else {
            continue;
        };
        let bytes = match encoding {
            "B" | "b" => BASE64.decode(encoded).map_err(|_| FileNameError::Word)?,
            "Q" | "q" => quoted(encoded).ok_or(FileNameError::Word)?,
            _ => continue,
        };
        return Ok(Some((before, Words { charset, bytes }, after)));
    }
    Ok(None)
}

/// Charset, encoding and encoded text of the word at the beginning, and the text behind it.
fn split_word(text: &str) -> Option<(&str, &str, &str, &str)> {
    let (charset, rest) = text.strip_prefix("=?")?.split_once('?')?;
    let (encoding, rest) = rest.split_once('?')?;
    let (encoded, after) = rest.split_once("?=")?;
    // A language may follow the charset (RFC 2231, 5).
    let charset = charset.split('*').next()?;
    Some((charset, encoding, encoded, after))
}

/// The encoding "Q" (RFC 2047, 4.2).
fn quoted(encoded: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut rest = encoded.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'_' => b' ',
            b'=' => {
                let digits = [rest.next()?, rest.next()?];
                u8::from_str_radix(str::from_utf8(&digits).ok()?, 16).ok()?
            }
            byte => byte,
        });
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_words() {
        check("=?utf-8?B?bmHDr3ZlLnR4dA==?=", "naïve.txt");
        check("=?UTF-8?b?bmHDr3ZlLnR4dA?=", "naïve.txt");
        check("=?utf-8?Q?na=C3=AFve_file.txt?=", "naïve file.txt");
        check("=?iso-8859-1?Q?na=EFve.txt?=", "naïve.txt");
        check("=?us-ascii*en?Q?a.txt?=", "a.txt");
        check("=?shift_jis?B?g2WDWINn?=", "テスト");
        check("=?utf-8?Q?na?= =?utf-8?Q?=C3=AFve?=", "naïve");
        // Half a letter in each word.
        check("=?utf-8?Q?na=C3?= =?UTF-8?Q?=AFve?=", "naïve");
        check("=?utf-8?Q?a?=\t=?iso-8859-1?Q?=EF?=", "aï");
        check("a =?utf-8?Q?=C3=AF?= b.txt", "a ï b.txt");
        check("=?utf-8?Q?=C3=AF?= b =?utf-8?Q?c?=", "ï b c");

        fn check(text: &str, expected: &str) {
            let decoded = decode(text).unwrap();
            assert_eq!(decoded.as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn other_text_has_no_words() {
        for text in ["", "a.txt", "=?", "=?a?b.txt", "=?a?X?b?=", "why=?.txt"] {
            assert_eq!(decode(text), Ok(None), "{text}");
        }
    }

    #[test]
    fn refuses_words_that_have_no_meaning() {
        check("=?utf-8?B?!?=");
        check("=?utf-8?Q?=Z?=");
        check("=?utf-8?Q?=FF?=");
        check("=?unknown?Q?a?=");

        fn check(text: &str) {
            assert_eq!(decode(text), Err(FileNameError::Word), "{text}");
        }
    }
}
