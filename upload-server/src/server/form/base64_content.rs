//! A file that is sent in base64 (RFC 2045, 6.8), as by `curl -F 'file=@cat.png;encoder=base64'`.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use axum::body::Bytes;
use base64::{Engine, prelude::BASE64_STANDARD};
use tokio_stream::Stream;

use super::refusal;
use crate::server::error::Error;

/// The decoded bytes.
pub(super) struct Base64Content<S> {
    encoded: S,
    /// Digits that do not make a group of four yet.
    rest: Vec<u8>,
    /// The digits have ended with padding.
    is_padded: bool,
}

impl<S> Base64Content<S> {
    pub(super) fn new(encoded: S) -> Self {
        Self {
            encoded,
            rest: Vec::new(),
            is_padded: false,
        }
    }

    fn decode(&mut self, encoded: &[u8]) -> Result<Bytes, Error> {
        let is_digit = |byte: &u8| !byte.is_ascii_whitespace();
        self.rest.extend(encoded.iter().copied().filter(is_digit));
        let whole = self.rest.len() - self.rest.len() % 4;
        let digits: Vec<_> = self.rest.drain(..whole).collect();
        if self.is_padded && (whole > 0 || !self.rest.is_empty()) {
            return Err(malformed());
        }
        self.is_padded |= digits.contains(&b'=');
        let decoded = BASE64_STANDARD.decode(digits);
        decoded.map(Bytes::from).map_err(|_| malformed())
    }
}

impl<S> Stream for Base64Content<S>
where
    S: Stream<Item = Result<Bytes, Error>> + Unpin,
{
    type Item = Result<Bytes, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(match ready!(Pin::new(&mut self.encoded).poll_next(cx)) {
            Some(Ok(encoded)) => Some(self.decode(&encoded)),
            None if !self.rest.is_empty() => {
                self.rest.clear();
                Some(Err(malformed()))
            }
            end => end,
        })
    }
}

fn malformed() -> Error {
    refusal("its Content-Transfer-Encoding is base64, and its content is not")
}

#[cfg(test)]
mod tests {
    use tokio_stream::{StreamExt, iter};

    use super::*;

    #[tokio::test]
    async fn decodes_however_it_is_cut() {
        check(b"", Some(b"")).await;
        check(b"YWJj", Some(b"abc")).await;
        check(b"YWJj\r\nZGU=\r\n", Some(b"abcde")).await;
        check(b"YW Jj", Some(b"abc")).await;
        check(b"YWJ", None).await;
        check(b"YWJjZ", None).await;
        check(b"YQ==YQ==", None).await;
        check(b"YQ==Y", None).await;
        check(b"Y!Jj", None).await;

        async fn check(encoded: &[u8], expected: Option<&[u8]>) {
            for size in 1..=encoded.len().max(1) {
                let pieces = encoded.chunks(size).map(Bytes::copy_from_slice);
                let content = Base64Content::new(iter(pieces.map(Ok)));
                let decoded: Result<Vec<Bytes>, Error> = content.collect().await;
                let decoded = decoded.ok().map(|pieces| pieces.concat());
                assert_eq!(decoded.as_deref(), expected, "{encoded:?} by {size}");
            }
        }
    }
}
