//! What the upload server and the tracer say to each other, and what the tracer writes for scripts.
//!
//! - [`upload`]: the server's feed, `GET /uploads` on its control socket, a [`upload::FeedLine`] a line.
//! - [`mod@line`]: the tracer's NDJSON, a [`line::Line`] a line; `schema.json` beside `Cargo.toml`
//!   describes the same for other languages.
//! - [`timeline`]: one connection's story, which the tracer builds and hands in, and the server shows.
//! - [`explain`] and [`units`]: the sentences and numbers that both show.
//! - [`control_path`] and `client`: where the control socket is, and requests to it.
//!
//! Field names and values are promises to scripts: add, never rename. `null` is unknown, never 0. A
//! reader passes over fields that it does not know, and takes a missing one for unknown.

#[cfg(feature = "client")]
pub mod client;
pub mod connection;
pub mod control_path;
pub mod explain;
pub mod line;
pub mod moment;
mod names;
pub mod segment;
pub mod tcp;
pub mod timeline;
pub mod units;
pub mod upload;

pub use self::{
    connection::{ConnectionId, OwnerFrom, RolesFrom},
    moment::Moment,
    tcp::{AcceptQueue, End, Flags, SegmentOptions, State},
    timeline::Timeline,
    upload::Cookie,
};
