//! An upload server that reports when and how each upload arrived. It knows nothing of eBPF: its
//! records go out through the control socket to any program that asks.

pub mod options;
pub mod record;
pub mod server;
pub mod stderr;

pub use upload_protocol::control_path;
