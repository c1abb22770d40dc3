//! Connections: accepted, secured by TLS where it is enabled, served over HTTP, and closed so that the
//! client reads the last answer. This module does not know the routes.

pub(crate) mod accept;
mod access_log;
pub(crate) mod answer_pace;
mod answer_progress;
pub(crate) mod connection;
pub(crate) mod connection_limit;
pub(crate) mod event_loops;
mod fields;
mod frames;
pub(crate) mod held_answers;
pub(crate) mod held_records;
pub(crate) mod http;
mod http1;
pub(crate) mod http2;
mod kept_body;
pub(crate) mod linger;
pub(crate) mod pulse;
pub(crate) mod read_ahead;
pub(crate) mod request;
mod send_queue;
mod serve;
pub(crate) mod shared_budget;
mod small_pieces;
mod socket;
mod timed_stream;
pub(crate) mod tls;
