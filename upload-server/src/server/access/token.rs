//! The token that a request must show: as bearer token (RFC 6750), or as the password of any user (RFC
//! 7617), which browsers and `curl -u :TOKEN` send.

use std::fmt;

use axum::http::{HeaderMap, header::AUTHORIZATION};
use base64::{Engine, prelude::BASE64_STANDARD};
use ring::digest::{SHA256, digest};
use subtle::ConstantTimeEq;

use crate::server::error::Error;

/// The fewest characters of a token: a shorter one could be guessed.
const FEWEST: usize = 16;

/// A secret, kept as its digest alone: comparing it takes the same time for every input, and reveals
/// not even its length.
#[derive(Clone)]
pub struct Token {
    digest: [u8; 32],
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
            Ok(Self {
                digest: sha256(text.as_bytes()),
            })
        }
    }

    /// An error for a request without the token.
    pub(crate) fn check(&self, headers: &HeaderMap) -> Result<(), Error> {
        let shown = headers
            .get(AUTHORIZATION)
            .and_then(|value| shown(value.as_bytes()))
            .ok_or(Error::Unauthorized)?;
        if bool::from(sha256(&shown).ct_eq(&self.digest)) {
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
        return decoded.get(colon + 1..).map(<[u8]>::to_vec);
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
    fn is_not_shown() {
        assert_eq!(format!("{:?}", Token::new(TOKEN).unwrap()), "Token { .. }");
    }
}
