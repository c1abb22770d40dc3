//! Undoes the compression around a capture: gzip (RFC 1952) or zstd (RFC 8878), told by the first bytes.

use std::io::{self, BufRead as _, BufReader, Chain, Cursor, Read};

use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::StreamingDecoder;

const GZIP: [u8; 3] = [0x1f, 0x8b, 8];
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

type Source = Box<dyn Read + Send>;

/// What the source has, without its compression.
pub(super) fn decompress(mut source: Source) -> io::Result<Source> {
    let mut first = Vec::with_capacity(ZSTD.len());
    source
        .by_ref()
        .take(ZSTD.len() as u64)
        .read_to_end(&mut first)?;
    let is_gzip = first.starts_with(&GZIP);
    let is_zstd = first.starts_with(&ZSTD);
    let whole = Cursor::new(first).chain(source);
    Ok(if is_gzip {
        Box::new(MultiGzDecoder::new(BufReader::new(whole)))
    } else if is_zstd {
        Box::new(ZstdFrames {
            source: Some(BufReader::new(whole)),
            current: None,
        })
    } else {
        Box::new(whole)
    })
}

type Compressed = BufReader<Chain<Cursor<Vec<u8>>, Source>>;

/// The frames of a zstd file, one after another.
struct ZstdFrames {
    /// Between two frames.
    source: Option<Compressed>,
    /// Within a frame.
    current: Option<StreamingDecoder<Compressed, ruzstd::decoding::FrameDecoder>>,
}

impl Read for ZstdFrames {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(frame) = &mut self.current {
                match frame.read(buffer)? {
                    0 if !buffer.is_empty() => {
                        let ended = self.current.take();
                        self.source = ended.map(StreamingDecoder::into_inner);
                    }
                    count => return Ok(count),
                }
            }
            let Some(mut source) = self.source.take() else {
                return Ok(0);
            };
            if source.fill_buf()?.is_empty() {
                return Ok(0);
            }
            let frame = StreamingDecoder::new(source);
            self.current = Some(frame.map_err(io::Error::other)?);
        }
    }
}
