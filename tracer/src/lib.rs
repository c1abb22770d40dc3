//! Shows what TCP did: kernel events in, timelines of uploads out.
//!
//! The data goes one way: `source` → `core` → `sink`; `session` plugs them together, and `kernel` is
//! all that touches the kernel. `ARCHITECTURE.md` beside `Cargo.toml` has the map and the glossary.

mod caller;
pub mod cli;
mod control;
mod core;
mod doctor;
mod kernel;
mod privileges;
mod session;
mod sink;
mod source;
pub mod stderr;

use self::stderr::message;
pub use self::{
    doctor::doctor,
    session::{CannotStart, record, replay, trace},
};

/// The one door for the tests on a kernel and for the fuzzer.
#[cfg(feature = "internals")]
pub mod internals {
    pub mod caller {
        pub use crate::caller::*;
    }
    pub mod core {
        pub use crate::core::*;
    }
    pub mod kernel {
        pub use crate::kernel::*;
    }
    pub mod privileges {
        pub use crate::privileges::*;
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
}
