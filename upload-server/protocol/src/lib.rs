//! The contract between the upload server, the tracer and scripts that read the tracer's output.
//!
//! - [`upload`]: the server's feed, `GET /uploads` on its control socket, one [`upload::FeedLine`] per line.
//! - [`mod@line`]: the tracer's NDJSON, one [`line::Line`] per line; `schema.json` beside `Cargo.toml`
//!   describes the same for other languages.
//! - [`timeline`]: one connection's timeline, which the tracer builds and sends, and the server shows.
//! - [`explain`] and [`units`]: the sentences and numbers that both show.
//! - [`version`]: which source a program was built from.
//! - [`control_path`] and `client`: where the control socket is, and requests to it.
//!
//! Field names and values are promises to scripts: add, never rename. `null` is unknown, never 0. A
//! reader ignores fields that it does not know, and treats a missing one as unknown.

#[cfg(all(feature = "client", unix))]
pub mod client;
pub mod connection;
#[cfg(unix)]
pub mod control_path;
pub mod explain;
pub mod line;
pub mod moment;
mod names;
pub mod plain;
pub mod segment;
pub mod tcp;
pub mod timeline;
pub mod units;
pub mod upload;
pub mod version;

pub use self::{
    connection::{ConnectionId, MptcpToken, OwnerFrom, RolesFrom},
    moment::Moment,
    tcp::{AcceptQueue, End, Flags, SegmentOptions, State},
    timeline::Timeline,
    upload::Cookie,
};
