//! Where inputs come from: the live kernel, the upload server's feed, a recording.

pub mod attached;
pub mod feed;
pub mod live;
mod names;
mod period;
pub mod recording;
mod roll_call;
