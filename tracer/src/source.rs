//! Where inputs come from: the live kernel, the upload server's feed, a recording.

mod cgroup_names;
pub mod feed;
pub mod live;
mod liveness;
mod poll_interval;
pub mod presence;
pub mod recording;
