//! A reader for BTF, the kernel's type information: structs with their members, enums, and the
//! prototypes of tracepoints. It reads the one file of the running kernel: no modules, no split BTF, native
//! byte order. Format: `Documentation/bpf/btf.rst` in the kernel's source.

use std::{fs, io::ErrorKind, ops::Range};

use foldhash::{HashMap, HashMapExt as _};

use super::AttachError;

/// The running kernel's type information.
pub(super) const PATH: &str = "/sys/kernel/btf/vmlinux";

/// The only version of the format.
const VERSION: u8 = 1;
const MAGIC: u16 = 0xeb9f;
/// `struct btf_header` up to and with `str_len`.
const HEADER_BYTES: usize = 24;
/// `struct btf_type`.
const TYPE_BYTES: usize = 12;
/// `struct btf_member`.
const MEMBER_BYTES: usize = 12;
/// `struct btf_enum`.
const ENUMERATOR_BYTES: usize = 8;
/// Each tracepoint has a typedef of its prototype, named so.
const TRACEPOINT: &str = "btf_trace_";
/// Type 0 has no entry.
const VOID: u32 = 0;
/// A chain of typedefs and qualifiers is a few types long. BTF may hold a circle.
const MAX_LINKS: usize = 32;
/// `struct task_struct` has some 300 members, those of anonymous structs included. An anonymous
/// struct may contain itself.
const MAX_MEMBERS: usize = 1 << 14;

/// `BTF_KIND_*` of the types that are looked at.
mod kind {
    pub(super) const PTR: u8 = 2;
    pub(super) const ARRAY: u8 = 3;
    pub(super) const STRUCT: u8 = 4;
    pub(super) const UNION: u8 = 5;
    pub(super) const ENUM: u8 = 6;
    pub(super) const TYPEDEF: u8 = 8;
    pub(super) const VOLATILE: u8 = 9;
    pub(super) const CONST: u8 = 10;
    pub(super) const RESTRICT: u8 = 11;
    pub(super) const FUNC_PROTO: u8 = 13;
    pub(super) const TYPE_TAG: u8 = 18;
}

/// Why bytes are not BTF.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadBtf {
    #[error("it does not begin with a BTF header of this machine's byte order")]
    Header,
    #[error("it has version {0} of the format, which is unknown")]
    Version(u8),
    #[error("it ends before the sections that its header names")]
    Sections,
    #[error("type {0} is cut short")]
    Type(usize),
    #[error("type {id} is of the unknown kind {kind}")]
    Kind { id: usize, kind: u8 },
}

/// All types of the kernel.
#[derive(Debug)]
pub struct Btf<'a> {
    types: &'a [u8],
    strings: &'a [u8],
    /// Where each type starts within `types`: type 1 comes first.
    starts: Vec<u32>,
    /// By name.
    structs: HashMap<&'a [u8], u32>,
    typedefs: HashMap<&'a [u8], u32>,
    enums: HashMap<&'a [u8], u32>,
}

/// A member of a struct, or of an anonymous struct or union within it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BtfMember {
    /// From the start of the struct that was searched, in bits.
    pub bit: u32,
    /// Width in bits, for a bit-field.
    pub bit_field: Option<u32>,
    /// Id of its type.
    pub type_id: u32,
}

/// `struct btf_type`, and what follows it.
#[derive(Clone, Copy)]
struct Type<'a> {
    name: u32,
    kind: u8,
    /// In structs: offsets hold the width of bit-fields, too.
    kind_flag: bool,
    /// How many members or parameters follow.
    length: usize,
    /// The type that a pointer, typedef, qualifier or prototype refers to.
    target: u32,
    rest: &'a [u8],
}

/// The running kernel's BTF, some 5 MB. Read once, for this reader and for aya's.
pub(super) fn read() -> Result<Vec<u8>, AttachError> {
    fs::read(PATH).map_err(|error| match error.kind() {
        ErrorKind::NotFound => AttachError::NoBtf { path: PATH },
        _ => unreadable(error),
    })
}

/// [`Btf::parse`] of what [`read`] gave.
pub(super) fn parse(bytes: &[u8]) -> Result<Btf<'_>, AttachError> {
    Btf::parse(bytes).map_err(unreadable)
}

pub(super) fn unreadable(error: impl std::fmt::Display) -> AttachError {
    AttachError::BadBtf {
        path: PATH,
        reason: error.to_string(),
    }
}

impl<'a> Btf<'a> {
    /// Finds where each type starts, and the names of structs and typedefs.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, BadBtf> {
        let (types, strings) = sections(bytes)?;
        let mut btf = Self {
            types,
            strings,
            starts: Vec::with_capacity(types.len() / 24),
            structs: HashMap::new(),
            typedefs: HashMap::new(),
            enums: HashMap::new(),
        };
        let mut start = 0;
        while start < types.len() {
            let index = btf.starts.len() + 1;
            let found = Type::read(types, start).ok_or(BadBtf::Type(index))?;
            let size = found.size().ok_or(BadBtf::Kind {
                id: index,
                kind: found.kind,
            })?;
            // Lengths of a section are 32 bits wide.
            btf.starts
                .push(u32::try_from(start).map_err(|_| BadBtf::Sections)?);
            let id = u32::try_from(index).map_err(|_| BadBtf::Sections)?;
            let names = match found.kind {
                kind::STRUCT => Some(&mut btf.structs),
                kind::TYPEDEF => Some(&mut btf.typedefs),
                kind::ENUM => Some(&mut btf.enums),
                _ => None,
            };
            if let Some(names) = names {
                // Modules aside, a name has one struct. Where it has several, the kernel and libbpf
                // take the first, too.
                names.entry(name_at(strings, found.name)).or_insert(id);
            }
            start += size;
            if start > types.len() {
                return Err(BadBtf::Type(index));
            }
        }
        Ok(btf)
    }

    /// The id of `struct name`.
    pub fn struct_named(&self, name: &str) -> Option<u32> {
        self.structs.get(name.as_bytes()).copied()
    }

    /// The member `name` of a struct or union.
    pub fn member(&self, of: u32, name: &str) -> Option<BtfMember> {
        let mut waiting = vec![(self.composite(of)?, 0_u32)];
        let mut looked_at = 0;
        while let Some((composite, base)) = waiting.pop() {
            for member in composite
                .rest
                .chunks_exact(MEMBER_BYTES)
                .take(composite.length)
            {
                looked_at += 1;
                if looked_at > MAX_MEMBERS {
                    return None;
                }
                let offset = word(member, 8)?;
                let (offset, width) = if composite.kind_flag {
                    (offset & 0x00ff_ffff, offset >> 24)
                } else {
                    (offset, 0)
                };
                let found = BtfMember {
                    bit: base.checked_add(offset)?,
                    bit_field: Some(width).filter(|width| *width > 0),
                    type_id: word(member, 4)?,
                };
                let member_name = name_at(self.strings, word(member, 0)?);
                if member_name == name.as_bytes() {
                    return Some(found);
                }
                if member_name.is_empty()
                    && let Some(anonymous) = self.composite(found.type_id)
                {
                    waiting.push((anonymous, found.bit));
                }
            }
        }
        None
    }

    /// The names of `enum name` with their values, which take up to 32 bits.
    pub fn enumerators(&self, name: &str) -> Option<impl Iterator<Item = (&'a [u8], u32)>> {
        let found = self.get(*self.enums.get(name.as_bytes())?)?;
        let entries = found.rest.chunks_exact(ENUMERATOR_BYTES);
        let strings = self.strings;
        Some(
            entries.take(found.length).filter_map(move |entry| {
                Some((name_at(strings, word(entry, 0)?), word(entry, 4)?))
            }),
        )
    }

    /// How many arguments a tracepoint hands to its programs. The prototype behind
    /// `btf_trace_NAME` has one before them, the kernel's own context.
    pub fn tracepoint_arguments(&self, tracepoint: &str) -> Option<usize> {
        let name = format!("{TRACEPOINT}{tracepoint}");
        let mut id = *self.typedefs.get(name.as_bytes())?;
        for _ in 0..MAX_LINKS {
            let found = self.get(id)?;
            match found.kind {
                kind::TYPEDEF | kind::PTR => id = found.target,
                kind::FUNC_PROTO => return found.length.checked_sub(1),
                _ => return None,
            }
        }
        None
    }

    /// Whether eBPF programs can call a helper of this name. The macro that defines one makes a typedef
    /// of its prototype (`BPF_CALL_1` and its like).
    pub fn has_helper(&self, name: &str) -> bool {
        self.typedefs.contains_key(format!("btf_{name}").as_bytes())
    }

    /// The struct or union behind qualifiers, typedefs and arrays.
    fn composite(&self, mut id: u32) -> Option<Type<'a>> {
        for _ in 0..MAX_LINKS {
            let found = self.get(id)?;
            id = match found.kind {
                kind::STRUCT | kind::UNION => return Some(found),
                kind::ARRAY => word(found.rest, 0)?,
                kind::TYPEDEF | kind::VOLATILE | kind::CONST | kind::RESTRICT | kind::TYPE_TAG => {
                    found.target
                }
                _ => return None,
            };
        }
        None
    }

    fn get(&self, id: u32) -> Option<Type<'a>> {
        if id == VOID {
            return None;
        }
        let index = usize::try_from(id).ok()? - 1;
        let start = usize::try_from(*self.starts.get(index)?).ok()?;
        Type::read(self.types, start)
    }
}

impl<'a> Type<'a> {
    fn read(types: &'a [u8], start: usize) -> Option<Self> {
        let bytes = types.get(start..)?;
        let info = word(bytes, 4)?;
        Some(Self {
            name: word(bytes, 0)?,
            kind: (info >> 24 & 0x1f) as u8,
            kind_flag: info >> 31 != 0,
            length: (info & 0xffff) as usize,
            target: word(bytes, 8)?,
            rest: bytes.get(TYPE_BYTES..)?,
        })
    }

    /// Bytes up to the next type; `None` for an unknown kind.
    fn size(&self) -> Option<usize> {
        let rest = match self.kind {
            // PTR, FWD, TYPEDEF, VOLATILE, CONST, RESTRICT, FUNC, FLOAT, TYPE_TAG
            2 | 7..=12 | 16 | 18 => 0,
            // INT, VAR, DECL_TAG
            1 | 14 | 17 => 4,
            // ARRAY
            3 => 12,
            // STRUCT, UNION, DATASEC, ENUM64
            4 | 5 | 15 | 19 => self.length * 12,
            // ENUM, FUNC_PROTO
            6 | 13 => self.length * 8,
            _ => return None,
        };
        Some(TYPE_BYTES + rest)
    }
}

/// The types and the strings.
fn sections(bytes: &[u8]) -> Result<(&[u8], &[u8]), BadBtf> {
    let header = bytes.get(..HEADER_BYTES).ok_or(BadBtf::Header)?;
    if header[..2] != MAGIC.to_ne_bytes() {
        return Err(BadBtf::Header);
    }
    if header[2] != VERSION {
        return Err(BadBtf::Version(header[2]));
    }
    let field = |at: usize| {
        let value = word(header, at).ok_or(BadBtf::Header)?;
        usize::try_from(value).map_err(|_| BadBtf::Sections)
    };
    let after_header = bytes.get(field(4)?..).ok_or(BadBtf::Sections)?;
    let section = |offset: usize, length: usize| {
        let range: Range<usize> = offset..offset.checked_add(length)?;
        after_header.get(range)
    };
    let types = section(field(8)?, field(12)?).ok_or(BadBtf::Sections)?;
    let strings = section(field(16)?, field(20)?).ok_or(BadBtf::Sections)?;
    Ok((types, strings))
}

/// Empty for an anonymous type, and for an offset outside the strings.
fn name_at(strings: &[u8], offset: u32) -> &[u8] {
    let offset = usize::try_from(offset).unwrap_or(usize::MAX);
    let name = strings.get(offset..).unwrap_or_default();
    let end = name.iter().position(|byte| *byte == 0);
    &name[..end.unwrap_or(name.len())]
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..)?.first_chunk()?;
    Some(u32::from_ne_bytes(*bytes))
}

#[cfg(test)]
mod tests;
