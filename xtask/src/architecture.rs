//! The architectures that the programs are built for, tested and shipped on.

use std::{env::consts::ARCH, fmt};

use anyhow::{Context as _, Result};
use clap::ValueEnum;

/// An architecture, as rustc, Debian and rpm name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ValueEnum)]
pub enum Architecture {
    /// AMD and Intel
    #[value(name = "x86_64")]
    X86_64,
    /// ARM, 64 bits
    Aarch64,
}

impl Architecture {
    pub const ALL: [Self; 2] = [Self::X86_64, Self::Aarch64];

    /// With musl, since that is linked into the program.
    #[must_use]
    pub const fn target(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64-unknown-linux-musl",
            Self::Aarch64 => "aarch64-unknown-linux-musl",
        }
    }

    /// rpm's name, and the kernel's.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
        }
    }

    /// # Errors
    /// On a machine of another architecture.
    pub fn of_this_machine() -> Result<Self> {
        let is_this = |found: &Self| found.name() == ARCH;
        let found = Self::ALL.into_iter().find(is_this);
        found.with_context(|| format!("nothing is built for {ARCH}"))
    }

    /// Debian's name.
    #[must_use]
    pub const fn of_debian(self) -> &'static str {
        match self {
            Self::X86_64 => "amd64",
            Self::Aarch64 => "arm64",
        }
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
