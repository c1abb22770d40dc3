//! What a slow wire is made of.

use std::path::Path;

use slow_wire::{NetemWire, Ports, Way, Wire};

use crate::{
    lab::{Lab, skip},
    netem,
};

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// TUN devices, and threads that carry packets between them.
    Tun,
    /// A bridge with the kernel's `netem`.
    Netem,
}

impl Kind {
    /// Whether this kernel has it. If not, the test is skipped.
    pub(super) fn is_possible(self) -> bool {
        match self {
            Self::Tun if !Path::new("/dev/net/tun").exists() => {
                skip("this kernel has no TUN devices");
                false
            }
            Self::Tun => true,
            Self::Netem => !netem::is_missing(&Lab::new()),
        }
    }
}

/// A wire that is there for as long as this is.
#[expect(dead_code, reason = "kept until it is dropped")]
pub(super) enum Laid {
    Tun(Wire),
    Netem(NetemWire),
}

/// A way that takes so long.
pub(super) const fn way(delay_ms: u64) -> Way {
    Way {
        delay_ms,
        ..Way::DIRECT
    }
}

/// The same with a rate, and a queue of so many bytes before it.
pub(super) const fn line(delay_ms: u64, rate_kbit: u64, queue: usize) -> Way {
    Way {
        rate_kbit,
        queue,
        ..way(delay_ms)
    }
}

/// Lays a wire between two network namespaces. A wire of netem translates no port.
pub(super) fn lay(
    kind: Kind,
    between: (&Path, &Path),
    number: u8,
    ways: (Way, Way),
    ports: Option<Ports>,
) -> Laid {
    match kind {
        Kind::Tun => Laid::Tun(Wire::lay(between, number, ways, ports).unwrap()),
        Kind::Netem => Laid::Netem(NetemWire::lay(between, number, ways).unwrap()),
    }
}
