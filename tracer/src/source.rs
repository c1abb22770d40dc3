//! Where inputs come from: the live kernel, the upload server's feed, a recording.

pub mod feed;
pub mod live;
mod names;
pub mod recording;
