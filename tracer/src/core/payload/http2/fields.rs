//! Decompresses field blocks (HPACK, RFC 7541). A block that cannot be read, or was not captured, leaves unknown
//! what every later one refers to.

mod static_table;

use std::{borrow::Cow, collections::VecDeque};

use httlib_huffman::{DecoderSpeed, decode};

use self::static_table::STATIC_TABLE;

/// One direction's table.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Decoder {
    /// The newest first.
    entries: VecDeque<Entry>,
    /// Of the entries (RFC 7541, section 4.1).
    bytes: usize,
    /// As its sender set it.
    max_bytes: usize,
}

#[derive(Clone, Debug, PartialEq)]
struct Entry {
    name: Box<[u8]>,
    value: Box<[u8]>,
}

/// A field in a block, with its name in the block or in the table.
struct Literal<'table, 'block> {
    name: Cow<'table, [u8]>,
    value: Cow<'block, [u8]>,
}

/// Why a field block was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unreadable {
    Malformed,
    /// It wants more memory than it gets here.
    TooLarge,
}

/// RFC 9113, section 6.5.2.
const DEFAULT_BYTES: usize = 4096;
/// Browsers allow as much (`SETTINGS_HEADER_TABLE_SIZE`), servers mostly less.
const MAX_TABLE_BYTES: usize = 64 << 10;
/// Of all names and values in a block, which may refer to the same entry again and again.
const MAX_LIST_BYTES: usize = 1 << 20;
/// RFC 7541, section 4.1.
const ENTRY_BYTES: usize = 32;

impl Default for Decoder {
    fn default() -> Self {
        Self {
            entries: VecDeque::new(),
            bytes: 0,
            max_bytes: DEFAULT_BYTES,
        }
    }
}

impl Decoder {
    /// Reads a whole block, and passes each field on with its name and its value.
    pub(super) fn read(
        &mut self,
        mut block: &[u8],
        mut to: impl FnMut(&[u8], &[u8]),
    ) -> Result<(), Unreadable> {
        let mut list_bytes = 0_usize;
        let mut pass = |name: &[u8], value: &[u8]| {
            list_bytes += name.len() + value.len() + ENTRY_BYTES;
            to(name, value);
            if list_bytes > MAX_LIST_BYTES {
                return Err(Unreadable::TooLarge);
            }
            Ok(())
        };
        while let Some(first) = block.first() {
            match first {
                0x80.. => {
                    let (name, value) = self.entry(integer(&mut block, 7)?)?;
                    pass(name, value)?;
                }
                0x40..=0x7f => {
                    let Literal { name, value } = self.literal(&mut block, 6)?;
                    pass(&name, &value)?;
                    let entry = Entry {
                        name: name.into(),
                        value: value.into(),
                    };
                    self.add(entry);
                }
                0x20..=0x3f => {
                    let size = integer(&mut block, 5)?;
                    if size > MAX_TABLE_BYTES {
                        return Err(Unreadable::TooLarge);
                    }
                    self.max_bytes = size;
                    self.evict();
                }
                0x00..=0x1f => {
                    let Literal { name, value } = self.literal(&mut block, 4)?;
                    pass(&name, &value)?;
                }
            }
        }
        Ok(())
    }

    fn literal<'table, 'block: 'table>(
        &'table self,
        block: &mut &'block [u8],
        prefix: u32,
    ) -> Result<Literal<'table, 'block>, Unreadable> {
        let name = match integer(block, prefix)? {
            0 => string(block)?,
            index => Cow::Borrowed(self.entry(index)?.0),
        };
        let value = string(block)?;
        Ok(Literal { name, value })
    }

    fn entry(&self, index: usize) -> Result<(&[u8], &[u8]), Unreadable> {
        let place = index.checked_sub(1).ok_or(Unreadable::Malformed)?;
        if let Some((name, value)) = STATIC_TABLE.get(place) {
            return Ok((name.as_bytes(), value.as_bytes()));
        }
        let entry = self.entries.get(place - STATIC_TABLE.len());
        let Entry { name, value } = entry.ok_or(Unreadable::Malformed)?;
        Ok((name, value))
    }

    fn add(&mut self, entry: Entry) {
        self.bytes += entry.bytes();
        self.entries.push_front(entry);
        self.evict();
    }

    fn evict(&mut self) {
        while self.bytes > self.max_bytes
            && let Some(oldest) = self.entries.pop_back()
        {
            self.bytes -= oldest.bytes();
        }
    }
}

impl Entry {
    fn bytes(&self) -> usize {
        self.name.len() + self.value.len() + ENTRY_BYTES
    }
}

/// An integer whose first byte has so many bits of it (RFC 7541, section 5.1). Larger ones than fit in four
/// more bytes have no use.
fn integer(block: &mut &[u8], prefix: u32) -> Result<usize, Unreadable> {
    let mask = (1_usize << prefix) - 1;
    let mut next = || {
        let (first, rest) = block.split_first().ok_or(Unreadable::Malformed)?;
        *block = rest;
        Ok(usize::from(*first))
    };
    let mut value = next()? & mask;
    if value < mask {
        return Ok(value);
    }
    for shift in [0, 7, 14, 21] {
        let byte = next()?;
        value += (byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(Unreadable::Malformed)
}

/// A string (RFC 7541, section 5.2).
fn string<'a>(block: &mut &'a [u8]) -> Result<Cow<'a, [u8]>, Unreadable> {
    let is_huffman = block.first().is_some_and(|first| first & 0x80 != 0);
    let length = integer(block, 7)?;
    let (string, rest) = block
        .split_at_checked(length)
        .ok_or(Unreadable::Malformed)?;
    *block = rest;
    if !is_huffman {
        return Ok(Cow::Borrowed(string));
    }
    let mut decoded = Vec::new();
    decode(string, &mut decoded, DecoderSpeed::FourBits).map_err(|_| Unreadable::Malformed)?;
    Ok(Cow::Owned(decoded))
}

#[cfg(test)]
mod tests;
