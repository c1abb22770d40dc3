//! The part of a file that a request asks for (RFC 9110, 14): one range, or all of it. A request for
//! several ranges gets the whole file, which is a valid answer (14.2) and needs no format of its own.

use std::{
    fs::File,
    io::{self, Seek, SeekFrom},
    ops::RangeInclusive,
    time::SystemTime,
};

use axum::{
    body::Body,
    http::{
        HeaderMap, HeaderValue, Method, StatusCode,
        header::{IF_RANGE, RANGE},
    },
};
use http_range_header::{RangeUnsatisfiableError, parse_range_header};
use tokio::io::AsyncReadExt;
use tokio_stream::StreamExt;
use tokio_util::io::ReaderStream;

use crate::server::{
    error::Error, limits::ClientSlot, preconditions::whole_seconds, store::FileStat,
};

/// How much of a file is read at a time.
const CHUNK_BYTES: usize = 256 * 1024;

/// What is sent of a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Content {
    /// None for the whole file.
    range: Option<RangeInclusive<u64>>,
    of_bytes: u64,
}

impl Content {
    /// An error where the file has nothing of the range: 416. A range that cannot be read counts as
    /// none, as does one of a file that has changed since.
    pub(super) fn requested(
        method: &Method,
        headers: &HeaderMap,
        stat: &FileStat,
    ) -> Result<Self, Error> {
        let whole = Self {
            range: None,
            of_bytes: stat.bytes,
        };
        let asked = headers.get(RANGE).filter(|_| {
            let counts = headers.get(IF_RANGE).is_none_or(|same| is_same(same, stat));
            method == Method::GET && counts
        });
        let Some(Ok(asked)) = asked.map(HeaderValue::to_str) else {
            return Ok(whole);
        };
        let ranges = parse_range_header(asked).and_then(|ranges| ranges.validate(stat.bytes));
        match ranges.as_deref() {
            Ok([range]) => Ok(Self {
                range: Some(range.clone()),
                ..whole
            }),
            Err(RangeUnsatisfiableError::Unsatisfiable) => Err(Error::Range(stat.bytes)),
            Ok(_) | Err(_) => Ok(whole),
        }
    }

    pub(super) fn status(&self) -> StatusCode {
        match self.range {
            Some(_) => StatusCode::PARTIAL_CONTENT,
            None => StatusCode::OK,
        }
    }

    /// The value of Content-Range.
    pub(super) fn field(&self) -> Option<String> {
        let (range, bytes) = (self.range.as_ref()?, self.of_bytes);
        Some(format!("bytes {}-{}/{bytes}", range.start(), range.end()))
    }

    pub(super) fn length(&self) -> u64 {
        match &self.range {
            Some(range) => range.end() - range.start() + 1,
            None => self.of_bytes,
        }
    }
}

/// The bytes. A file that grows meanwhile is sent up to the length that it had at first. The slot is free again
/// once they are read, or given up.
pub(super) fn stream(mut file: File, content: &Content, slot: ClientSlot) -> io::Result<Body> {
    let start = content.range.as_ref().map_or(0, |range| *range.start());
    file.seek(SeekFrom::Start(start))?;
    let bytes = tokio::fs::File::from_std(file).take(content.length());
    let chunks = ReaderStream::with_capacity(bytes, CHUNK_BYTES);
    Ok(Body::from_stream(chunks.map(move |chunk| {
        let _held = &slot;
        chunk
    })))
}

/// Whether the file is the one that the client has a part of: by its tag, or by its exact date. The
/// client must not send the date of a file that could have changed twice in that second (RFC 9110,
/// 13.1.5).
fn is_same(condition: &HeaderValue, stat: &FileStat) -> bool {
    let Ok(condition) = condition.to_str() else {
        return false;
    };
    let is_date = |date: SystemTime| date == whole_seconds(stat.modified);
    condition == stat.tag() || httpdate::parse_http_date(condition).is_ok_and(is_date)
}
