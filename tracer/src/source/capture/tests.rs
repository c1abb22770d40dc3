//! Captures in each format and compression, in small pieces, and damaged.

use std::io::{Cursor, Read, Write as _};

use flate2::{Compression, write::GzEncoder};
use ruzstd::encoding::{CompressionLevel, compress_to_vec};

use super::{BadCapture, Capture};
use crate::core::input::Flow;

/// A packet's time since the first, its link type, its length before the cut, and its bytes.
type Row = (u64, u16, u32, Vec<u8>);

fn read(source: impl Read + Send + 'static) -> (Vec<Row>, u64, Result<(), BadCapture>) {
    let mut rows = Vec::new();
    let mut began_ns = 0;
    let ended = Capture::open(source).and_then(|mut capture| {
        capture.read(|packet, first_ns| {
            began_ns = first_ns;
            let bytes = packet.bytes.into_owned();
            rows.push((packet.mono_ns, packet.link_type, packet.length, bytes));
            Flow::GoOn
        })
    });
    (rows, began_ns, ended)
}

/// Two packets 1.5 s apart, the second cut from 9 bytes to 2.
fn pcap(magic: u32, is_big_endian: bool, fraction: u32) -> Vec<u8> {
    let word = |value: u32| {
        if is_big_endian {
            value.to_be_bytes()
        } else {
            value.to_le_bytes()
        }
    };
    let half = |value: u16| {
        if is_big_endian {
            value.to_be_bytes()
        } else {
            value.to_le_bytes()
        }
    };
    let mut file = word(magic).to_vec();
    file.extend(half(2));
    file.extend(half(4));
    for value in [0, 0, 65535, 101] {
        file.extend(word(value));
    }
    for (seconds, part, captured, length, bytes) in
        [(10, 0, 3, 3, &b"abc"[..]), (11, fraction, 2, 9, &b"de"[..])]
    {
        for value in [seconds, part, captured, length] {
            file.extend(word(value));
        }
        file.extend(bytes);
    }
    file
}

fn rows() -> Vec<Row> {
    vec![
        (0, 101, 3, b"abc".to_vec()),
        (1_500_000_000, 101, 9, b"de".to_vec()),
    ]
}

const MICROSECONDS: u32 = 0xa1b2_c3d4;
const NANOSECONDS: u32 = 0xa1b2_3c4d;

#[test]
fn pcap_of_each_kind() {
    for is_big_endian in [false, true] {
        for (magic, fraction) in [(MICROSECONDS, 500_000), (NANOSECONDS, 500_000_000)] {
            let (found, began_ns, ended) = read(Cursor::new(pcap(magic, is_big_endian, fraction)));
            ended.unwrap();
            assert_eq!(found, rows());
            assert_eq!(began_ns, 10_000_000_000);
        }
    }
}

fn block(kind: u32, body: &[u8]) -> Vec<u8> {
    let padded = body.len().next_multiple_of(4);
    let length = u32::try_from(12 + padded).unwrap().to_le_bytes();
    let mut block = [&kind.to_le_bytes()[..], &length, body].concat();
    block.resize(8 + padded, 0);
    block.extend(length);
    block
}

fn section() -> Vec<u8> {
    let mut body = 0x1a2b_3c4d_u32.to_le_bytes().to_vec();
    body.extend([1, 0, 0, 0]);
    body.extend([0xff; 8]);
    block(0x0a0d_0d0a, &body)
}

/// An interface whose timestamps count in units of ten to the minus `exponent`.
fn interface(link_type: u8, exponent: u8) -> Vec<u8> {
    let option = [9, 0, 1, 0, exponent, 0, 0, 0, 0, 0, 0, 0];
    block(
        1,
        &[&[link_type, 0, 0, 0, 0, 0, 0, 0][..], &option].concat(),
    )
}

fn enhanced(interface: u32, time: u64, length: u32, bytes: &[u8]) -> Vec<u8> {
    let captured = u32::try_from(bytes.len()).unwrap();
    let high = u32::try_from(time >> 32).unwrap();
    let low = u32::try_from(time & 0xffff_ffff).unwrap();
    let mut body = Vec::new();
    for value in [interface, high, low, captured, length] {
        body.extend(value.to_le_bytes());
    }
    body.extend(bytes);
    block(6, &body)
}

/// Two sections; in the first, interfaces of two link types and resolutions.
fn pcapng() -> Vec<u8> {
    [
        section(),
        interface(1, 6),
        interface(101, 9),
        enhanced(1, 10_000_000_000, 3, b"abc"),
        block(0x0bad, b"of a later version"),
        enhanced(0, 11_500_000, 9, b"de"),
        section(),
        interface(113, 3),
        enhanced(0, 12_000, 1, b"f"),
        // A simple packet has no time, and a packet of an interface that is not described no meaning.
        block(3, &[&2_u32.to_le_bytes()[..], b"gh"].concat()),
        enhanced(7, 0, 1, b"i"),
    ]
    .concat()
}

#[test]
fn pcapng_with_sections_and_interfaces() {
    let (found, _, ended) = read(Cursor::new(pcapng()));
    ended.unwrap();
    let expected = vec![
        (0, 101, 3, b"abc".to_vec()),
        (1_500_000_000, 1, 9, b"de".to_vec()),
        (2_000_000_000, 113, 1, b"f".to_vec()),
        (2_000_000_000, 113, 2, b"gh".to_vec()),
    ];
    assert_eq!(found, expected);
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    compress_to_vec(bytes, CompressionLevel::Fastest)
}

#[test]
fn compressed_and_in_several_parts() {
    let whole = pcap(MICROSECONDS, false, 500_000);
    let (first, second) = whole.split_at(50);
    for compress in [gzip, zstd] {
        let parts = [compress(first), compress(second)].concat();
        for file in [compress(&whole), parts] {
            let (found, _, ended) = read(Cursor::new(file));
            ended.unwrap();
            assert_eq!(found, rows());
        }
    }
}

/// A pipe brings a byte at a time.
struct Trickle(Cursor<Vec<u8>>);

impl Read for Trickle {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let most = buffer.len().min(1);
        self.0.read(&mut buffer[..most])
    }
}

#[test]
fn a_stream_in_small_pieces() {
    for file in [
        pcap(MICROSECONDS, false, 500_000),
        pcapng(),
        gzip(&pcapng()),
    ] {
        let (whole, ..) = read(Cursor::new(file.clone()));
        let (found, _, ended) = read(Trickle(Cursor::new(file)));
        ended.unwrap();
        assert_eq!(found, whole);
    }
}

/// Packets before the damage are read, and the damage has a sentence.
#[test]
fn damaged() {
    let check = |file: Vec<u8>, packets: usize, expected: &str| {
        let (found, _, ended) = read(Cursor::new(file));
        assert_eq!(found.len(), packets, "{expected}");
        assert_eq!(ended.unwrap_err().to_string(), expected);
    };
    let whole = pcap(MICROSECONDS, false, 0);
    check(Vec::new(), 0, "it is empty");
    check(
        b"[package]\nname = \"tracer\"\nversion = 1".to_vec(),
        0,
        "it is not a capture: it begins neither like pcap nor like pcapng",
    );
    check(
        whole[..20].to_vec(),
        0,
        "it ends in the middle of a packet, after 0 packets",
    );
    for end in [whole.len() - 1, whole.len() - 10] {
        check(
            whole[..end].to_vec(),
            1,
            "it ends in the middle of a packet, after 1 packet",
        );
    }
    let mut long = whole.clone();
    let length = whole.len() - 2 - 8;
    long[length..length + 4].copy_from_slice(&u32::MAX.to_le_bytes());
    check(long, 1, "it ends in the middle of a packet, after 1 packet");
    let packed = gzip(&whole);
    check(
        packed[..packed.len() - 12].to_vec(),
        1,
        "after 1 packet, it cannot be read on",
    );
}

/// A length that lies is refused before so much memory is taken.
#[test]
fn a_length_that_lies() {
    let mut file = pcap(MICROSECONDS, false, 0);
    let length = file.len() - 2 - 8;
    file[length..length + 4].copy_from_slice(&u32::MAX.to_le_bytes());
    let endless = Cursor::new(file).chain(std::io::repeat(0));
    let (found, _, ended) = read(endless);
    assert_eq!(found.len(), 1);
    assert!(
        matches!(ended, Err(BadCapture::TooLong { packets: 1 })),
        "{ended:?}"
    );
}
