//! Reads the header at a capture's start whole, however small the pieces are in which a pipe brings it.

use std::io::{self, Cursor, Read};

type Source = Box<dyn Read + Send>;

/// The file header of pcap.
const PCAP_HEADER_BYTES: usize = 24;
/// The section header block of pcapng, up to where its length and its byte order stand.
const SECTION_START_BYTES: usize = 12;
/// A larger section header has a comment of many pages: it is not read.
const MAX_SECTION_HEADER_BYTES: usize = 1 << 17;

/// The source, whose first `read` gives the whole header, if there is one.
pub(super) fn whole_header(mut source: Source) -> io::Result<Source> {
    let mut header = Vec::new();
    read_up_to(&mut source, &mut header, SECTION_START_BYTES)?;
    let length = section_header_length(&header).unwrap_or(PCAP_HEADER_BYTES);
    read_up_to(&mut source, &mut header, length)?;
    Ok(Box::new(Cursor::new(header).chain(source)))
}

/// The length of a section header block; `None` if the bytes begin no section, or too long a one.
fn section_header_length(start: &[u8]) -> Option<usize> {
    const BLOCK_TYPE: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];
    const LITTLE_ENDIAN: [u8; 4] = [0x4d, 0x3c, 0x2b, 0x1a];
    let (kind, rest) = start.split_first_chunk::<4>()?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    if *kind != BLOCK_TYPE {
        return None;
    }
    let length = if rest == LITTLE_ENDIAN {
        u32::from_le_bytes(*length)
    } else {
        u32::from_be_bytes(*length)
    };
    let length = usize::try_from(length).ok()?;
    (length <= MAX_SECTION_HEADER_BYTES).then_some(length)
}

fn read_up_to(source: &mut Source, header: &mut Vec<u8>, length: usize) -> io::Result<()> {
    let missing = length.saturating_sub(header.len());
    source.take(missing as u64).read_to_end(header)?;
    Ok(())
}
