//! The examples of RFC 7541, appendix C, and blocks that lie.

use super::{Decoder, MAX_TABLE_BYTES, Unreadable};

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

fn read(decoder: &mut Decoder, block: &[u8]) -> Result<Vec<String>, Unreadable> {
    let mut fields = Vec::new();
    decoder.read(block, |name, value| {
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        fields.push(format!("{}: {}", text(name), text(value)));
    })?;
    Ok(fields)
}

/// Blocks of one direction, one behind another.
fn check(blocks: &[(&str, &[&str])]) {
    let mut decoder = Decoder::default();
    for (block, expected) in blocks {
        let fields = read(&mut decoder, &bytes(block)).unwrap();
        assert_eq!(fields, *expected, "{block}");
    }
}

#[test]
fn requests_of_the_standard() {
    let plain = "828684410f7777772e6578616d706c652e636f6d";
    let first: &[&str] = &[
        ":method: GET",
        ":scheme: http",
        ":path: /",
        ":authority: www.example.com",
    ];
    check(&[(plain, first)]);
    check(&[
        ("828684418cf1e3c2e5f23a6ba0ab90f4ff", first),
        (
            "828684be5886a8eb10649cbf",
            &[
                ":method: GET",
                ":scheme: http",
                ":path: /",
                ":authority: www.example.com",
                "cache-control: no-cache",
            ],
        ),
        (
            "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf",
            &[
                ":method: GET",
                ":scheme: https",
                ":path: /index.html",
                ":authority: www.example.com",
                "custom-key: custom-value",
            ],
        ),
    ]);
}

/// With a table of 256 bytes, from which entries are evicted.
#[test]
fn responses_of_the_standard() {
    check(&[
        (
            "3fe101 4882640258 85aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff
             6e919d29ad171863c78f0b97c8e9ae82ae43d3",
            &[
                ":status: 302",
                "cache-control: private",
                "date: Mon, 21 Oct 2013 20:13:21 GMT",
                "location: https://www.example.com",
            ],
        ),
        (
            "4883640effc1c0bf",
            &[
                ":status: 307",
                "cache-control: private",
                "date: Mon, 21 Oct 2013 20:13:21 GMT",
                "location: https://www.example.com",
            ],
        ),
        (
            "88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7b335
             dfdfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007",
            &[
                ":status: 200",
                "cache-control: private",
                "date: Mon, 21 Oct 2013 20:13:22 GMT",
                "location: https://www.example.com",
                "content-encoding: gzip",
                "set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1",
            ],
        ),
    ]);
}

#[test]
fn lies() {
    let check = |block: &[u8], expected: Unreadable| {
        let mut decoder = Decoder::default();
        assert_eq!(read(&mut decoder, block), Err(expected), "{block:x?}");
    };
    use Unreadable::{Malformed, TooLarge};
    // An index that is none, or beyond the table.
    check(&[0x80], Malformed);
    check(&[0x80 | 62], Malformed);
    check(&[0xff, 0xff, 0xff, 0xff, 0x7f], Malformed);
    // Integers without an end.
    check(&[0xff], Malformed);
    check(&[0xff, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00], Malformed);
    // Strings longer than the block.
    check(&[0x00, 0x05, b'a'], Malformed);
    check(&[0x40, 0x01, b'a', 0xff, 0xff, 0xff, 0x7f], Malformed);
    check(&[0x44], Malformed);
    // Huffman: the end-of-string symbol, and padding of more than seven bits.
    check(&[0x44, 0x84, 0xff, 0xff, 0xff, 0xff], Malformed);
    check(&[0x44, 0x82, 0x63, 0xff], Malformed);
    // A table larger than any.
    check(&[0x3f, 0xe2, 0xff, 0x03], TooLarge);
}

/// An entry is sent once and named again and again.
#[test]
fn what_a_block_becomes_is_bounded() {
    let mut decoder = Decoder::default();
    let mut block = vec![0x40, 1, b'a', 0x7f, 0xa1, 0x1e];
    block.extend([b'x'; 4000]);
    assert_eq!(read(&mut decoder, &block).unwrap().len(), 1);
    let bomb = vec![0xbe; 1 << 16];
    assert_eq!(read(&mut decoder, &bomb), Err(Unreadable::TooLarge));
}

#[test]
fn the_table_is_bounded() {
    let mut decoder = Decoder::default();
    // To 64 KiB.
    read(&mut decoder, &[0x3f, 0xe1, 0xff, 0x03]).unwrap();
    for number in 0..10_000_u32 {
        let mut block = vec![0x40, 4];
        block.extend(number.to_be_bytes());
        block.extend([1, b'v']);
        read(&mut decoder, &block).unwrap();
        assert!(decoder.bytes <= MAX_TABLE_BYTES);
    }
    assert_eq!(decoder.entries.len(), MAX_TABLE_BYTES / (4 + 1 + 32));
    read(&mut decoder, &[0x20]).unwrap();
    assert_eq!((decoder.bytes, decoder.entries.len()), (0, 0));
}
