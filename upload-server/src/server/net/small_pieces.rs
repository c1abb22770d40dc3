//! A body in pieces of the size of a frame of HTTP/2. Once the client has opened its window by a single byte, all of
//! a piece is copied into the memory of the connection: so a piece is small.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};

/// The size of a frame, if the client does not ask for larger ones (RFC 9113, 6.5.2).
const PIECE_BYTES: usize = 16 * 1024;

pub(super) struct SmallPieces {
    body: Body,
    /// What is left of the piece that the body gave.
    rest: Bytes,
}

impl SmallPieces {
    pub(super) fn of(body: Body) -> Body {
        Body::new(Self {
            body,
            rest: Bytes::new(),
        })
    }
}

impl HttpBody for SmallPieces {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                end => return Poll::Ready(end),
            }
        }
        let length = self.rest.len().min(PIECE_BYTES);
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(length)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.rest.len() as u64;
        let of_body = self.body.size_hint();
        let mut hint = SizeHint::new();
        if let Some(upper) = of_body.upper() {
            hint.set_upper(upper + rest);
        }
        hint.set_lower(of_body.lower() + rest);
        hint
    }
}

#[cfg(test)]
mod tests {
    use tokio_stream::StreamExt;

    use super::*;

    #[tokio::test]
    async fn the_bytes_are_the_same() {
        let content: Vec<u8> = (0..=u8::MAX).cycle().take(100_000).collect();
        let body = SmallPieces::of(Body::from(content.clone()));
        assert_eq!(body.size_hint().exact(), Some(100_000));
        let mut pieces = body.into_data_stream();
        let mut all = Vec::new();
        while let Some(piece) = pieces.next().await {
            let piece = piece.unwrap();
            assert!(piece.len() <= PIECE_BYTES);
            all.extend_from_slice(&piece);
        }
        assert!(all == content);
    }
}
