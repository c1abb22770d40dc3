//! Bytes on their way to the disk. The large chunks of HTTP/1.1 are kept as they are. HTTP/2 comes in chunks
//! of 16 KiB: freed on the thread that writes, their memory would go back to the kernel, and be taken
//! again for the next ones, at a page fault every 4 KiB. Such chunks are copied into memory that the
//! next batch uses again.

use std::{
    fs::File,
    io::{self, IoSlice, Write},
    mem,
};

use bytes::Bytes;

use crate::server::digest::Digester;

/// Chunks of fewer bytes are copied.
const COPIED_BELOW: usize = 64 * 1024;

/// The most chunks that one `writev` takes (IOV_MAX).
const MOST_CHUNKS: usize = 1_024;

#[derive(Default)]
pub(super) struct Batch {
    chunks: Vec<Bytes>,
    /// Follows the chunks.
    copied: Vec<u8>,
    bytes: usize,
}

impl Batch {
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether no further chunk has room.
    pub(super) fn is_full(&self) -> bool {
        self.chunks.len() + 1 >= MOST_CHUNKS
    }

    /// Adds a chunk. The batch will have about `capacity` bytes.
    pub(super) fn push(&mut self, chunk: Bytes, capacity: usize) {
        // The only chunk of a small file is not copied.
        let copies = chunk.len() < COPIED_BELOW && self.bytes > 0;
        self.bytes += chunk.len();
        if copies {
            let missing = capacity.saturating_sub(self.copied.len());
            if self.copied.len() + chunk.len() > COPIED_BELOW {
                self.copied.reserve_exact(missing.max(chunk.len()));
            }
            self.copied.extend_from_slice(&chunk);
            return;
        }
        self.keep_copied();
        self.chunks.push(chunk);
    }

    /// Writes everything, and empties the batch.
    pub(super) fn write(&mut self, file: &File, digester: &mut Digester) -> io::Result<()> {
        write_all(file, &self.chunks, &self.copied, digester)?;
        self.chunks.clear();
        self.copied.clear();
        self.bytes = 0;
        Ok(())
    }

    pub(super) fn into_chunks(mut self) -> Vec<Bytes> {
        self.keep_copied();
        self.chunks
    }

    fn keep_copied(&mut self) {
        if !self.copied.is_empty() {
            self.chunks.push(mem::take(&mut self.copied).into());
        }
    }
}

/// Writes the chunks, and then the last bytes.
pub(super) fn write_all(
    mut file: &File,
    chunks: &[Bytes],
    last: &[u8],
    digester: &mut Digester,
) -> io::Result<()> {
    let all = || chunks.iter().map(|chunk| &chunk[..]).chain([last]);
    let mut slices: Vec<_> = all().map(IoSlice::new).collect();
    let mut rest = &mut slices[..];
    IoSlice::advance_slices(&mut rest, 0);
    while !rest.is_empty() {
        match file.write_vectored(rest) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut rest, written),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    for bytes in all() {
        digester.update(bytes);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{fs, iter::repeat_n};

    use super::*;

    const CAPACITY: usize = 512 * 1024;

    /// Chunks of these lengths are written in their order, twice by the same batch.
    #[test]
    fn writes_the_chunks_in_order() {
        check([]);
        check([1]);
        check([0, 1, 0]);
        check([1, 2, 3]);
        check([COPIED_BELOW, 1, COPIED_BELOW - 1, 2 * COPIED_BELOW, 5]);
        check(repeat_n(16_384, 40));

        fn check(lengths: impl IntoIterator<Item = usize>) {
            let root = tempfile::tempdir().unwrap();
            let path = root.path().join("file");
            let file = File::create(&path).unwrap();
            let (mut batch, mut sent) = (Batch::default(), Vec::new());
            let (mut last, lengths): (Batch, Vec<usize>) =
                (Batch::default(), lengths.into_iter().collect());
            for (number, &length) in (0_u8..).zip(&lengths) {
                sent.resize(sent.len() + length, number);
                let chunk = Bytes::from(vec![number; length]);
                batch.push(chunk.clone(), CAPACITY);
                last.push(chunk, CAPACITY);
            }
            assert_eq!(batch.bytes(), sent.len());
            batch.write(&file, &mut Digester::default()).unwrap();
            assert_eq!(batch.bytes(), 0);
            batch.push(Bytes::from_static(b"end"), CAPACITY);
            batch.write(&file, &mut Digester::default()).unwrap();
            let expected = [&sent[..], b"end"].concat();
            assert!(fs::read(&path).unwrap() == expected, "{lengths:?}");
            assert!(last.into_chunks().concat() == sent, "{lengths:?}");
        }
    }
}
