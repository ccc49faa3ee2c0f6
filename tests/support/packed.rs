//! Bodies that are packed by a client.

use std::io::Write as _;

use flate2::{Compression, write::GzEncoder};

/// Packs bytes as one member of gzip.
///
/// # Panics
/// Never: a vector takes everything.
pub fn gzip(data: &[u8]) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::best());
    packed.write_all(data).expect("packed");
    packed.finish().expect("packed")
}

/// Packs bytes as a zstd frame with one raw block (RFC 8878 section 3.1.1), which needs no compressor.
///
/// # Panics
/// For data that is too long for one block.
pub fn zstd(data: &[u8]) -> Vec<u8> {
    let length = u32::try_from(data.len()).expect("short data");
    assert!(length < 1 << 17, "one block holds less than {length} bytes");
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd];
    // Single segment, a content size of four bytes, no checksum.
    frame.push(0b1010_0000);
    frame.extend_from_slice(&length.to_le_bytes());
    // The last block, raw.
    frame.extend_from_slice(&((length << 3) | 1).to_le_bytes()[..3]);
    frame.extend_from_slice(data);
    frame
}
