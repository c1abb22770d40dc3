//! The commands: live tracing, recording, replaying and reading captures, each from its source through the pipeline
//! to the sink.

#[cfg(live)]
pub mod command;
#[cfg(live)]
mod live;
#[cfg(live)]
mod live_outputs;
mod outputs;
#[cfg(live)]
mod plan;
mod read;
mod replay;
#[cfg(live)]
mod service_manager;
#[cfg(live)]
mod signals;
mod stopped;
#[cfg(live)]
mod unmatched;

pub use self::{
    live::{exit_code, live},
    read::read,
    replay::replay,
};
#[cfg(not(live))]
use crate::without_live::{live, live_outputs};
