//! The token that a request must show: as bearer token (RFC 6750), or as the password of any user (RFC
//! 7617), which browsers and `curl -u :TOKEN` send. Without a password, the user is taken for it: the
//! dialog of a browser asks for the user first.
//!
//! A token that the server makes can be typed on a phone: `kwqm-trxz-pzdf-hvtn`. Its letters are never
//! taken for others, are on the first layer of the keyboard, and make no words. They are 69 bits: at a
//! million tries a second, finding it takes ten million years. So nobody who mistypes is locked out.

use std::{fmt, io};

use axum::http::{HeaderMap, header::AUTHORIZATION};
use base64::{Engine, prelude::BASE64_STANDARD};
use ring::{
    digest::{SHA256, digest},
    rand::{SecureRandom, SystemRandom},
};
use subtle::ConstantTimeEq;

use crate::server::error::Error;

/// The fewest characters of a token: a shorter one could be guessed.
const FEWEST: usize = 16;

/// The letters of a token that the server makes. Not among them: `i`, `l` and `o`, which look like
/// others, and the other vowels.
const LETTERS: &[u8; 20] = b"bcdfghjkmnpqrstvwxyz";
const GROUPS: usize = 4;
const GROUP: usize = 4;

/// A secret, kept as its digest alone: comparing it takes the same time for every input, and reveals
/// not even its length.
#[derive(Clone)]
pub struct Token {
    digest: [u8; 32],
    /// The token has the form of those that the server makes.
    is_made: bool,
}

/// Why a text is not a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    #[error("a token has at least {FEWEST} characters")]
    TooShort,
    #[error("a token is one line of letters, digits and punctuation, without spaces")]
    NotPlain,
}

impl Token {
    pub fn new(text: &str) -> Result<Self, TokenError> {
        if text.chars().any(|character| !character.is_ascii_graphic()) {
            Err(TokenError::NotPlain)
        } else if text.len() < FEWEST {
            Err(TokenError::TooShort)
        } else {
            let is_made = is_made(text);
            Ok(Self {
                digest: sha256(&spelled(text.as_bytes(), is_made)),
                is_made,
            })
        }
    }

    /// The text of a new token.
    pub fn make() -> io::Result<String> {
        // Every letter stands for as many bytes; the bytes beyond are dropped.
        let fair = u8::MAX - u8::MAX % 20;
        let random = SystemRandom::new();
        let mut text = String::new();
        let mut letters = 0;
        while letters < GROUPS * GROUP {
            let mut bytes = [0; GROUPS * GROUP];
            let filled = random.fill(&mut bytes);
            filled.map_err(|_| io::Error::other("there are no random numbers"))?;
            for byte in bytes.into_iter().filter(|&byte| byte < fair) {
                if letters < GROUPS * GROUP {
                    if letters > 0 && letters % GROUP == 0 {
                        text.push('-');
                    }
                    text.extend(
                        LETTERS
                            .get(usize::from(byte % 20))
                            .map(|&letter| char::from(letter)),
                    );
                    letters += 1;
                }
            }
        }
        Ok(text)
    }

    /// An error for a request without the token.
    pub(crate) fn check(&self, headers: &HeaderMap) -> Result<(), Error> {
        let shown = headers
            .get(AUTHORIZATION)
            .and_then(|value| shown(value.as_bytes()))
            .ok_or(Error::Unauthorized)?;
        if bool::from(sha256(&spelled(&shown, self.is_made)).ct_eq(&self.digest)) {
            Ok(())
        } else {
            Err(Error::Unauthorized)
        }
    }
}

// Not derived: a log must not show the secret.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").finish_non_exhaustive()
    }
}

/// Whether the request shows a bearer token.
pub(super) fn is_bearer(headers: &HeaderMap) -> bool {
    headers
        .get(AUTHORIZATION)
        .and_then(|value| value.as_bytes().get(..7))
        .is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"Bearer "))
}

fn is_made(text: &str) -> bool {
    let is_group =
        |group: &str| group.len() == GROUP && group.bytes().all(|byte| LETTERS.contains(&byte));
    text.split('-').count() == GROUPS && text.split('-').all(is_group)
}

/// A phone begins with a capital letter, and people leave out hyphens: for a token that the server
/// makes, neither counts. No two of those tokens become the same.
fn spelled(text: &[u8], is_made: bool) -> Vec<u8> {
    if is_made {
        let letters = text.iter().filter(|byte| !matches!(byte, b'-' | b' '));
        letters.map(u8::to_ascii_lowercase).collect()
    } else {
        text.to_vec()
    }
}

fn shown(authorization: &[u8]) -> Option<Vec<u8>> {
    let space = authorization.iter().position(|&byte| byte == b' ')?;
    let (scheme, credentials) = authorization.split_at(space);
    let credentials = credentials.trim_ascii();
    if scheme.eq_ignore_ascii_case(b"Bearer") {
        return Some(credentials.to_vec());
    }
    if scheme.eq_ignore_ascii_case(b"Basic") {
        let decoded = BASE64_STANDARD.decode(credentials).ok()?;
        let colon = decoded.iter().position(|&byte| byte == b':')?;
        let (user, password) = (decoded.get(..colon)?, decoded.get(colon + 1..)?);
        let shown = if password.is_empty() { user } else { password };
        return Some(shown.to_vec());
    }
    None
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut sha256 = [0; 32];
    sha256.copy_from_slice(digest(&SHA256, bytes).as_ref());
    sha256
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "0123456789abcdef:+";

    #[test]
    fn takes_it_as_bearer_or_password() {
        let basic = |text: &str| format!("Basic {}", BASE64_STANDARD.encode(text));
        check(&format!("Bearer {TOKEN}"), true);
        check(&format!("bearer  {TOKEN} "), true);
        check(&basic(&format!(":{TOKEN}")), true);
        check(&basic(&format!("anybody:{TOKEN}")), true);
        check(&format!("Bearer {TOKEN}x"), false);
        check(&format!("Bearer {}", &TOKEN[1..]), false);
        check("Bearer ", false);
        check("Bearer", false);
        check(TOKEN, false);
        check(&format!("Digest {TOKEN}"), false);
        check(&basic(TOKEN.trim_end_matches(":+")), false);
        // The token itself has a colon, before which the user ends.
        check(&basic(&format!("{TOKEN}:")), false);
        check("Basic !", false);
        check("", false);

        fn check(authorization: &str, expected: bool) {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, authorization.parse().unwrap());
            let token = Token::new(TOKEN).unwrap();
            assert_eq!(token.check(&headers).is_ok(), expected, "{authorization}");
        }
    }

    #[test]
    fn is_demanded() {
        let token = Token::new(TOKEN).unwrap();
        assert!(token.check(&HeaderMap::new()).is_err());
    }

    #[test]
    fn is_no_easy_guess_and_can_be_sent() {
        check("short", Some(TokenError::TooShort));
        check("", Some(TokenError::TooShort));
        check("two words of enough letters", Some(TokenError::NotPlain));
        check("two-lines-of\nenough-letters", Some(TokenError::NotPlain));
        check("naïve-but-long-enough", Some(TokenError::NotPlain));
        check(TOKEN, None);

        fn check(text: &str, expected: Option<TokenError>) {
            assert_eq!(Token::new(text).err(), expected, "{text:?}");
        }
    }

    #[test]
    fn a_made_token_may_be_typed_carelessly() {
        let made = Token::make().unwrap();
        assert!(is_made(&made), "{made}");
        assert_ne!(made, Token::make().unwrap());
        let [capital, spaced] = [made.to_ascii_uppercase(), made.replace('-', " ")];
        check(&made, &made, true);
        check(&made, &made.replace('-', ""), true);
        check(&made, &capital, true);
        check(&made, &spaced, true);
        check(&made, &made[1..], false);
        check(&made, &format!("{made}x"), false);
        check(TOKEN, &TOKEN.to_ascii_uppercase(), false);
        // A person's own token is what it is.
        check("kwqm-trxz-pzdf-hvta", "kwqmtrxzpzdfhvta", false);

        fn check(token: &str, shown: &str, expected: bool) {
            let token = Token::new(token).unwrap();
            for credentials in [
                format!(":{shown}"),
                format!("me:{shown}"),
                format!("{shown}:"),
            ] {
                let basic = format!("Basic {}", BASE64_STANDARD.encode(&credentials));
                let headers = [(AUTHORIZATION, basic.parse().unwrap())];
                let passed = token.check(&headers.into_iter().collect()).is_ok();
                assert_eq!(passed, expected, "{credentials}");
            }
        }
    }

    #[test]
    fn every_letter_of_a_made_token_is_as_likely() {
        let mut counts = [0; 20];
        for _ in 0..1_000 {
            for byte in Token::make().unwrap().bytes().filter(|&byte| byte != b'-') {
                counts[LETTERS.iter().position(|&letter| letter == byte).unwrap()] += 1;
            }
        }
        // 800 of each on average, with a standard deviation of 28.
        assert!(
            counts.iter().all(|count| (600..1_000).contains(count)),
            "{counts:?}"
        );
    }

    #[test]
    fn is_not_shown() {
        assert_eq!(format!("{:?}", Token::new(TOKEN).unwrap()), "Token { .. }");
    }
}
