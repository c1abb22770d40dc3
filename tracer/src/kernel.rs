//! Everything that touches the kernel: struct layouts from its BTF, loading and attaching the
//! programs, the filter's maps, the ring buffers and the loss counters. It does not interpret the
//! records.

mod attach;
mod attach_error;
pub mod btf;
pub mod cgroups;
pub mod clock;
mod filter;
mod inventory;
mod layout;
mod loss;
mod missing;
pub mod pid_namespace;
mod probe;
mod required_helpers;
mod rings;
pub mod sockets;

pub use attach_error::AttachError;
pub use filter::{Filter, Refused};
pub use inventory::{Inventory, inventory};
pub use loss::Lost;
pub use missing::Missing;
pub use probe::{Probe, Records};
