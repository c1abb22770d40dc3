//! What the eBPF programs and the tracer agree on: the records of the ring buffers, the filter's
//! bits, where a captured head ends, and two tables, of the hooks and of the struct members that the
//! programs read. It decides
//! nothing, allocates nothing, and builds for the kernel and for the host alike.

#![no_std]

pub mod filter;
pub mod head;
pub mod hook;
pub mod member;
pub mod record;
