//! The kernel's type information.

use tracer::internals::kernel::btf::Btf;

/// Type ids to look members up in: those of the seed, void, and some beyond it.
const IDS: u32 = 32;

/// Whatever the bytes are, parsing and each look-up end, and a bit-field has a width.
pub fn check(bytes: &[u8]) {
    let Ok(btf) = Btf::parse(bytes) else {
        return;
    };
    let of_sock = btf.struct_named("sock");
    for id in (0..IDS).chain(of_sock) {
        for name in ["state", "port", "flag", "absent"] {
            let Some(found) = btf.member(id, name) else {
                continue;
            };
            assert_ne!(found.bit_field, Some(0), "a bit-field without bits");
        }
    }
    btf.tracepoint_arguments("tcp_probe");
}
