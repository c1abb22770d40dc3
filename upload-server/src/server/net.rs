//! Connections: accepted, made secure where that is asked for, spoken HTTP over, and closed so that
//! the client reads the last answer. What a request asks for is not known here.

pub(crate) mod accept;
mod access_log;

pub(crate) mod connection;
pub(crate) mod connection_limit;
mod http;
mod http1;
mod http2;
mod received;
pub(crate) mod requests;
mod response_body;
mod socket;
mod timed_stream;
pub(crate) mod tls;
