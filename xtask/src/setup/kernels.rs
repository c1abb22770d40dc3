//! What the kernel tests call, and what runs them on other kernels.

use anyhow::Result;

use super::{debian::packages, for_build};
use crate::architecture::Architecture;

/// Programs that the kernel tests call, and the Debian package of each.
pub const KERNEL_TEST_TOOLS: &[(&str, &str)] = &[
    ("capsh", "libcap2-bin"),
    ("setcap", "libcap2-bin"),
    ("curl", "curl"),
    ("ip", "iproute2"),
    ("ss", "iproute2"),
    ("nft", "nftables"),
    ("nsenter", "util-linux"),
    ("openssl", "openssl"),
    ("python3", "python3"),
    ("tcpdump", "tcpdump"),
    ("tshark", "tshark"),
];

/// What `cargo xtask kernels` needs for kernels of these architectures.
pub fn for_kernels(mut architectures: impl Iterator<Item = Architecture>) -> Result<()> {
    for_build()?;
    packages(KERNEL_TEST_TOOLS)?;
    packages(&[("kmod", "kmod"), ("strip", "binutils")])?;
    let own = Architecture::of_this_machine()?;
    architectures.try_for_each(|architecture| {
        let emulator = match architecture {
            Architecture::X86_64 => ("qemu-system-x86_64", "qemu-system-x86"),
            Architecture::Aarch64 => ("qemu-system-aarch64", "qemu-system-arm"),
        };
        packages(&[emulator])?;
        if architecture == own {
            return Ok(());
        }
        packages(&[("mmdebstrap", "mmdebstrap")])
    })
}
