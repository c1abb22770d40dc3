//! The object of the eBPF programs as the tracer carries it: compressed with zlib (RFC 1950), to a sixth. xtask uses this
//! file, too.

use std::io::{self, Write as _};

use flate2::{Compression, write::ZlibEncoder};

/// The same bytes for the same object.
pub fn packed(object: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(object)?;
    encoder.finish()
}
