//! The eBPF programs. Each observes an event, fills a record and submits it, or counts that there was
//! no room for it. The only decision they make is the filter's. Where each is attached:
//! [`tracer_ebpf::hook::HOOKS`].

#![no_std]
#![no_main]
#![cfg_attr(
    target_arch = "bpf",
    allow(internal_features, reason = "the target's AtomicU64 cannot add"),
    feature(asm_experimental_arch, core_intrinsics)
)]
#![expect(
    unsafe_code,
    reason = "kernel memory and helpers are reached through raw pointers, checked by the verifier"
)]
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "helpers and tracepoints pack small values into wide ones, and a program cannot panic"
)]
#![expect(
    clippy::needless_pass_by_value,
    reason = "the program macros hand the context over by value"
)]

mod addresses;
mod burst;
mod error;
mod filter;
mod head;
mod holder;
mod kernel;
mod limits;
mod memory;
mod mptcp;
mod packet;
mod pid_namespace;
mod process;
mod relay;
mod reset;
mod retransmit;
mod ring;
mod sample;
mod second;
mod segment;
mod sock;
mod socket;
mod socket_event;
mod state_change;
mod task;
mod unix;

#[cfg(not(test))]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
