use super::{BadBtf, Btf, BtfMember, HEADER_BYTES, MAGIC, VERSION};

/// BTF in the making.
struct Made {
    types: Vec<u8>,
    strings: Vec<u8>,
    count: u32,
}

const INT: u32 = 1;
const PTR: u32 = 2;
const ARRAY: u32 = 3;
const STRUCT: u32 = 4;
const UNION: u32 = 5;
const TYPEDEF: u32 = 8;
const CONST: u32 = 10;
const FUNC_PROTO: u32 = 13;
const KIND_FLAG: u32 = 1 << 7;

impl Made {
    fn new() -> Self {
        Self {
            types: Vec::new(),
            strings: vec![0],
            count: 0,
        }
    }

    fn name(&mut self, name: &str) -> u32 {
        if name.is_empty() {
            return 0;
        }
        let offset = self.strings.len().try_into().unwrap();
        self.strings.extend(name.as_bytes());
        self.strings.push(0);
        offset
    }

    /// Adds a type, and gives its id.
    fn add(&mut self, name: &str, kind: u32, length: usize, target: u32, rest: &[u32]) -> u32 {
        let name = self.name(name);
        let info = kind << 24 | u32::try_from(length).unwrap();
        for word in [name, info, target].iter().chain(rest) {
            self.types.extend(word.to_ne_bytes());
        }
        self.count += 1;
        self.count
    }

    /// Members are names, types and offsets.
    fn composite(&mut self, name: &str, kind: u32, members: &[(&str, u32, u32)]) -> u32 {
        let mut rest = Vec::new();
        for (name, type_id, offset) in members {
            rest.extend([self.name(name), *type_id, *offset]);
        }
        self.add(name, kind, members.len(), 0, &rest)
    }

    fn int(&mut self) -> u32 {
        self.add("int", INT, 0, 4, &[32])
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(MAGIC.to_ne_bytes());
        bytes.extend([VERSION, 0]);
        let [types, strings] =
            [&self.types, &self.strings].map(|part| u32::try_from(part.len()).unwrap());
        let header = u32::try_from(HEADER_BYTES).unwrap();
        for word in [header, 0, types, types, strings] {
            bytes.extend(word.to_ne_bytes());
        }
        bytes.extend(&self.types);
        bytes.extend(&self.strings);
        bytes
    }
}

fn at(bit: u32, type_id: u32) -> Option<BtfMember> {
    Some(BtfMember {
        bit,
        bit_field: None,
        type_id,
    })
}

#[test]
fn members_of_a_struct_and_of_the_anonymous_ones_within_it() {
    let mut made = Made::new();
    let int = made.int();
    let inner = made.composite("", STRUCT, &[("deep", int, 32)]);
    let either = made.composite("", UNION, &[("left", int, 0), ("", inner, 0)]);
    let named = made.composite("other", STRUCT, &[("hidden", int, 0)]);
    let sock = made.composite(
        "sock",
        STRUCT,
        &[("first", int, 0), ("", either, 64), ("other", named, 128)],
    );
    let bytes = made.bytes();
    let btf = Btf::parse(&bytes).unwrap();
    assert_eq!(btf.struct_named("sock"), Some(sock));
    assert_eq!(btf.struct_named("int"), None);
    assert_eq!(btf.member(sock, "first"), at(0, int));
    assert_eq!(btf.member(sock, "left"), at(64, int));
    assert_eq!(btf.member(sock, "deep"), at(96, int));
    assert_eq!(btf.member(sock, "other"), at(128, named));
    assert_eq!(btf.member(sock, "hidden"), None);
    assert_eq!(btf.member(int, "first"), None);
}

#[test]
fn members_behind_typedefs_qualifiers_and_arrays() {
    let mut made = Made::new();
    let int = made.int();
    let inner = made.composite("", STRUCT, &[("v", int, 32)]);
    let array = made.add("", ARRAY, 0, 0, &[inner, int, 3]);
    let qualified = made.add("", CONST, 0, array, &[]);
    let named = made.add("minmax", TYPEDEF, 0, qualified, &[]);
    let pointer = made.add("", PTR, 0, inner, &[]);
    let bytes = made.bytes();
    let btf = Btf::parse(&bytes).unwrap();
    assert_eq!(btf.member(named, "v"), at(32, int));
    assert_eq!(btf.member(pointer, "v"), None);
}

#[test]
fn bit_fields() {
    let mut made = Made::new();
    let int = made.int();
    let kind = STRUCT | KIND_FLAG;
    let options = made.composite(
        "options",
        kind,
        &[("ok", int, 1 << 24 | 35), ("size", int, 64)],
    );
    let bytes = made.bytes();
    let btf = Btf::parse(&bytes).unwrap();
    let ok = btf.member(options, "ok").unwrap();
    assert_eq!((ok.bit, ok.bit_field), (35, Some(1)));
    assert_eq!(btf.member(options, "size"), at(64, int));
}

#[test]
fn arguments_of_a_tracepoint() {
    let mut made = Made::new();
    let parameters = [0; 6];
    let prototype = made.add("", FUNC_PROTO, 3, 0, &parameters);
    let pointer = made.add("", PTR, 0, prototype, &[]);
    made.add("btf_trace_tcp_probe", TYPEDEF, 0, pointer, &[]);
    made.composite("btf_trace_struct", STRUCT, &[]);
    let bytes = made.bytes();
    let btf = Btf::parse(&bytes).unwrap();
    assert_eq!(btf.tracepoint_arguments("tcp_probe"), Some(2));
    assert_eq!(btf.tracepoint_arguments("struct"), None);
    assert_eq!(btf.tracepoint_arguments("tcp"), None);
}

#[test]
fn circles_end() {
    let mut made = Made::new();
    made.add("btf_trace_round", TYPEDEF, 0, 1, &[]);
    let itself = made.composite("itself", STRUCT, &[("", 2, 0), ("", 2, 0)]);
    let bytes = made.bytes();
    let btf = Btf::parse(&bytes).unwrap();
    assert_eq!(btf.tracepoint_arguments("round"), None);
    assert_eq!(btf.member(1, "v"), None);
    assert_eq!(btf.member(itself, "v"), None);
}

#[test]
fn damaged_bytes_are_errors() {
    let mut made = Made::new();
    let int = made.int();
    made.composite("sock", STRUCT, &[("first", int, 0)]);
    let whole = made.bytes();
    for length in 0..whole.len() {
        let error = Btf::parse(&whole[..length]).unwrap_err();
        assert!(
            matches!(error, BadBtf::Header | BadBtf::Sections),
            "{error}"
        );
    }
    let check = |at: usize, byte: u8, expected: BadBtf| {
        let mut damaged = whole.clone();
        damaged[at] = byte;
        assert_eq!(Btf::parse(&damaged).unwrap_err(), expected);
    };
    check(0, 0, BadBtf::Header);
    check(2, 2, BadBtf::Version(2));
    // The section of the types ends within the second.
    check(12, 36, BadBtf::Type(2));
    let kind = HEADER_BYTES + 7;
    check(kind, 31, BadBtf::Kind { id: 1, kind: 31 });
}

/// A pointer's target outside the file, and a name outside the strings.
#[test]
fn references_that_lead_nowhere() {
    let mut made = Made::new();
    let lost = made.add("", TYPEDEF, 0, 1000, &[]);
    let sock = made.composite("sock", STRUCT, &[("first", lost, 0)]);
    let mut bytes = made.bytes();
    let btf = Btf::parse(&bytes).unwrap();
    assert_eq!(btf.member(lost, "first"), None);
    assert_eq!(btf.member(sock, "first"), at(0, lost));
    let name = HEADER_BYTES + 12;
    bytes[name..name + 4].copy_from_slice(&u32::MAX.to_ne_bytes());
    assert_eq!(Btf::parse(&bytes).unwrap().struct_named("sock"), None);
}

#[test]
fn values_of_an_enum() {
    const ENUM: u32 = 6;
    let mut made = Made::new();
    let entries = [made.name("NONE"), 0, made.name("SOME"), 7];
    made.add("reason", ENUM, 2, 4, &entries);
    let bytes = made.bytes();
    let btf = Btf::parse(&bytes).unwrap();
    let found: Vec<(&[u8], u32)> = btf.enumerators("reason").unwrap().collect();
    assert_eq!(found, [(&b"NONE"[..], 0), (b"SOME", 7)]);
    assert!(btf.enumerators("other").is_none());
}
