//! Connections: accepted, secured by TLS where it is enabled, served over HTTP, and closed so that the
//! client reads the last answer. This module does not know the routes.

pub(crate) mod accept;
mod access_log;
mod answer_progress;
pub(crate) mod connection;
pub(crate) mod connection_limit;
pub(crate) mod event_loops;
pub(crate) mod held_records;
pub(crate) mod http;
mod http1;
mod http2;
mod kept_body;
pub(crate) mod linger;
mod read_ahead;
pub(crate) mod read_ahead_budget;
pub(crate) mod request;
mod serve;
mod small_pieces;
mod socket;
mod timed_stream;
pub(crate) mod tls;
