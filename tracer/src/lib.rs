//! Shows what TCP did: kernel events in, timelines of uploads out.
//!
//! The data goes one way: `source` → `core` → `sink`; `session` plugs them together, and `kernel` is
//! all that touches the kernel. Without live tracing (`cfg(live)`, see `build.rs`), what remains reads captures and
//! recordings on any system. `ARCHITECTURE.md` beside `Cargo.toml` has the map and the glossary.

#[cfg(live)]
mod caller;
pub mod cli;
#[cfg(live)]
mod control;
#[cfg_attr(
    not(any(live, feature = "internals")),
    expect(
        dead_code,
        unused_imports,
        reason = "it is the same in each build, and a part serves live tracing alone"
    )
)]
mod core;
#[cfg(live)]
mod doctor;
mod ending;
#[cfg(live)]
mod kernel;
#[cfg(live)]
mod privileges;
mod session;
#[cfg_attr(
    not(any(live, feature = "internals")),
    expect(
        dead_code,
        unused_imports,
        reason = "it is the same in each build, and a part serves live tracing alone"
    )
)]
mod sink;
mod source;
pub mod stderr;
mod system;
#[cfg(live)]
mod terminal;
#[cfg(not(live))]
mod without_live;

pub use self::session::{exit_code, live, read, replay};
use self::stderr::message;
#[cfg(not(live))]
use self::without_live::{caller, privileges};

/// The one door for the tests on a kernel and for the fuzzer.
#[cfg(feature = "internals")]
pub mod internals {
    pub mod core {
        pub use crate::core::*;
    }
    pub mod ending {
        pub use crate::ending::*;
    }
    pub mod session {
        pub use crate::session::*;
    }
    pub mod sink {
        pub use crate::sink::*;
    }
    pub mod source {
        pub use crate::source::*;
    }
    #[cfg(live)]
    pub use self::live::*;

    #[cfg(live)]
    mod live {
        pub mod caller {
            pub use crate::caller::*;
        }
        pub mod kernel {
            pub use crate::kernel::*;
        }
        pub mod privileges {
            pub use crate::privileges::*;
        }
        pub mod terminal {
            pub use crate::terminal::*;
        }
    }
}
