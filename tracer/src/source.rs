//! Where inputs come from: the live kernel, the upload server's feed, a recording, a capture.

pub mod capture;
#[cfg(live)]
mod cgroup_names;
#[cfg(live)]
pub mod feed;
#[cfg(live)]
pub mod live;
#[cfg(live)]
mod liveness;
#[cfg(live)]
mod poll_interval;
#[cfg(live)]
pub mod presence;
#[cfg(live)]
mod readings;
pub mod recording;
