//! An upload server that says when and how each upload arrived. It knows nothing of eBPF: its
//! records go out through the control socket to whoever asks.
//!
//! Without its default features the crate is the [`record`] types and the place of the control
//! socket alone.

pub mod control_path;
pub mod record;
#[cfg(feature = "server")]
pub mod server;
