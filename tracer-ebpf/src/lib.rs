//! The wire format between the eBPF programs and the tracer: the records of the ring buffer, the
//! struct members whose offsets the loader fills in, and the filter's bits. It decides nothing,
//! allocates nothing, and builds for the kernel and for the host alike.

#![no_std]

pub mod filter;
pub mod member;
pub mod record;
