//! Where the running kernel keeps the struct members that the programs read, from its BTF.

use std::collections::HashMap;

use btf_rs::{Btf, Member as BtfMember, Type};
use tracer_ebpf::member::{MEMBERS, Member, Place};

use crate::core::input::Missing;

/// The running kernel's type information.
pub(super) const BTF: &str = "/sys/kernel/btf/vmlinux";

/// The places of all [`MEMBERS`], and what the tracepoints look like.
pub(super) struct Layout {
    places: Vec<(&'static Member, Place)>,
    /// Whether `tcp_retransmit_skb` says if the attempt failed.
    pub(super) retransmit_has_error: bool,
}

impl Layout {
    /// Looks every member up; one that this kernel lacks is [`Place::ABSENT`].
    pub(super) fn resolve(btf: &Btf) -> Self {
        let mut structs = HashMap::new();
        let places = MEMBERS
            .iter()
            .map(|member| {
                let root = structs
                    .entry(member.of)
                    .or_insert_with(|| struct_named(btf, member.of));
                let place = root
                    .as_ref()
                    .and_then(|root| find_path(btf, root, member.path))
                    .unwrap_or(Place::ABSENT);
                (member, place)
            })
            .collect();
        Self {
            places,
            retransmit_has_error: tracepoint_arguments(btf, "tcp_retransmit_skb") == Some(3),
        }
    }

    /// Each global with the value it must be given.
    pub(super) fn globals(&self) -> impl Iterator<Item = (&'static str, u32)> {
        self.places
            .iter()
            .map(|(member, place)| (member.global, place.to_bits()))
    }

    /// The members that this kernel lacks.
    pub(super) fn missing(&self) -> impl Iterator<Item = &'static Member> {
        self.places
            .iter()
            .filter(|(_, place)| !place.exists())
            .map(|(member, _)| *member)
    }

    /// The same with what rests on each, and what tracepoints do not say.
    pub(super) fn lacking(&self) -> Vec<Missing> {
        let mut lacking: Vec<Missing> = self.missing().map(Missing::member).collect();
        if !self.retransmit_has_error {
            lacking.push(Missing::failed_retransmits());
        }
        lacking
    }
}

/// How many arguments a tracepoint hands to its programs. Its prototype has one before them, the
/// programs' own context.
pub(super) fn tracepoint_arguments(btf: &Btf, tracepoint: &str) -> Option<usize> {
    let name = format!("btf_trace_{tracepoint}");
    let mut found = btf
        .resolve_types_by_name(&name)
        .ok()?
        .into_iter()
        .find(|found| matches!(found, Type::Typedef(_)))?;
    loop {
        found = match &found {
            Type::Typedef(inner) => btf.resolve_chained_type(inner).ok()?,
            Type::Ptr(inner) => btf.resolve_chained_type(inner).ok()?,
            Type::FuncProto(prototype) => return prototype.parameters.len().checked_sub(1),
            _ => return None,
        }
    }
}

fn struct_named(btf: &Btf, name: &str) -> Option<Type> {
    let types = btf.resolve_types_by_name(name).ok()?;
    types
        .into_iter()
        .find(|found| matches!(found, Type::Struct(_)))
}

/// Follows a dotted path and adds the offsets up.
fn find_path(btf: &Btf, root: &Type, path: &str) -> Option<Place> {
    let mut current = root.clone();
    let mut bit = 0;
    let mut width = None;
    for name in path.split('.') {
        let (offset, member) = find_member(btf, &current, name)?;
        bit += offset;
        width = member.bitfield_size().filter(|width| *width > 0);
        current = strip(btf, btf.resolve_chained_type(&member).ok()?)?;
    }
    match width {
        Some(width) => Place::bits(bit, width),
        None => u16::try_from(bit / 8).ok().map(Place::at),
    }
}

/// The member called `name`, in the struct itself or in an anonymous struct or union within it,
/// and its offset in bits.
fn find_member(btf: &Btf, of: &Type, name: &str) -> Option<(u32, BtfMember)> {
    let (Type::Struct(inner) | Type::Union(inner)) = of else {
        return None;
    };
    inner.members.iter().find_map(|member| {
        match btf.resolve_name(member) {
            Ok(found) if found == name => return Some((member.bit_offset(), member.clone())),
            Ok(found) if !found.is_empty() => return None,
            _ => {}
        }
        let anonymous = strip(btf, btf.resolve_chained_type(member).ok()?)?;
        let (offset, found) = find_member(btf, &anonymous, name)?;
        Some((member.bit_offset() + offset, found))
    })
}

/// The type behind qualifiers, typedefs and arrays.
fn strip(btf: &Btf, mut found: Type) -> Option<Type> {
    loop {
        found = match &found {
            Type::Typedef(inner) => btf.resolve_chained_type(inner).ok()?,
            Type::Const(inner) | Type::Volatile(inner) | Type::Restrict(inner) => {
                btf.resolve_chained_type(inner).ok()?
            }
            Type::TypeTag(inner) => btf.resolve_chained_type(inner).ok()?,
            Type::Array(inner) => btf.resolve_chained_type(inner).ok()?,
            _ => return Some(found),
        }
    }
}
