//! Where the running kernel keeps the struct members that the programs read, from its BTF.

use tracer_ebpf::{
    member::{MEMBERS, Member, Place},
    record::{MAX_RESET_REASONS, RESET_REASONS},
};

use super::{Missing, btf::Btf};

/// The places of all [`MEMBERS`], and how many arguments a tracepoint has.
pub(super) struct Layout {
    places: Vec<(&'static Member, Place)>,
    /// Whether `tcp_retransmit_skb` has the argument that marks failed attempts.
    pub(super) retransmit_has_error: bool,
    /// For each number of the reasons for a RST, its record's; `None` where `tcp_send_reset` has none.
    pub(super) reset_reasons: Option<[u8; MAX_RESET_REASONS]>,
    /// Whether the kernel has MPTCP, and shows its sockets to programs.
    pub(super) has_mptcp: bool,
}

impl Layout {
    /// Looks every member up; one that this kernel lacks is [`Place::ABSENT`].
    pub(super) fn resolve(btf: &Btf<'_>) -> Self {
        let places = MEMBERS
            .iter()
            .map(|member| (member, find(btf, member).unwrap_or(Place::ABSENT)))
            .collect();
        Self {
            places,
            retransmit_has_error: btf.tracepoint_arguments("tcp_retransmit_skb") == Some(3),
            reset_reasons: reset_reasons(btf),
            has_mptcp: btf.has_helper("bpf_skc_to_mptcp_sock"),
        }
    }

    /// Each global with the value it must be given.
    pub(super) fn globals(&self) -> impl Iterator<Item = (&'static str, u32)> {
        self.places
            .iter()
            .map(|(member, place)| (member.global, place.to_bits()))
    }

    /// What this kernel lacks of it.
    pub(super) fn missing(&self) -> Vec<Missing> {
        let members = self.places.iter().filter(|(member, place)| {
            let is_needed = self.has_mptcp || member.of != "mptcp_sock";
            is_needed && !place.exists()
        });
        let mut missing: Vec<Missing> = members.map(|(one, _)| Missing::Member(one)).collect();
        if !self.retransmit_has_error {
            missing.push(Missing::RetransmitError);
        }
        if self.reset_reasons.is_none() {
            missing.push(Missing::ResetReason);
        }
        missing
    }

    /// How many members this kernel has.
    pub(super) fn found(&self) -> usize {
        self.places
            .iter()
            .filter(|(_, place)| place.exists())
            .count()
    }
}

/// A number that has no name here is 0, that is unknown.
fn reset_reasons(btf: &Btf<'_>) -> Option<[u8; MAX_RESET_REASONS]> {
    if btf.tracepoint_arguments("tcp_send_reset") != Some(3) {
        return None;
    }
    let mut reasons = [0; MAX_RESET_REASONS];
    for (name, number) in btf.enumerators("sk_rst_reason")? {
        let place = name.strip_prefix(b"SK_RST_REASON_").and_then(|name| {
            RESET_REASONS
                .iter()
                .position(|known| known.as_bytes() == name)
        });
        let number = usize::try_from(number).unwrap_or(usize::MAX);
        if let (Some(place), Some(reason)) = (place, reasons.get_mut(number)) {
            *reason = u8::try_from(place + 1).unwrap_or(0);
        }
    }
    Some(reasons)
}

/// Follows a dotted path and adds the offsets up.
fn find(btf: &Btf<'_>, member: &Member) -> Option<Place> {
    let mut within = btf.struct_named(member.of)?;
    let mut bit = 0_u32;
    let mut bit_field = None;
    for name in member.path.split('.') {
        let found = btf.member(within, name)?;
        bit = bit.checked_add(found.bit)?;
        bit_field = found.bit_field;
        within = found.type_id;
    }
    match bit_field {
        Some(width) => Place::bits(bit, width),
        None => u16::try_from(bit / 8).ok().map(Place::at),
    }
}
