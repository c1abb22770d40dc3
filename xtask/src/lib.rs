//! What the verbs of `cargo xtask` share: running programs, installing what is missing, the architectures, knowing the
//! source of the eBPF programs, finding the commands that the documents name, and what tshark calls what the tracer
//! finds.

pub mod architecture;
pub mod command;
pub mod documents;
#[path = "../../tracer/build/source.rs"]
pub mod ebpf_source;
#[path = "../../tracer/build/nightly.rs"]
pub mod nightly;
pub mod setup;
pub mod tshark;
