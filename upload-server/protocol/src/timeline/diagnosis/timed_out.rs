//! A time-out that ended an upload.

use serde::{Deserialize, Serialize};

use crate::{names::names, tcp::End};

/// An end gave up waiting: by a status that says so, or by closing the connection after a silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimedOut {
    /// The end that gave up.
    pub end: End,
    /// What it waited for.
    pub waited_for: WaitedFor,
    /// The status of its response (RFC 9110): 408, 502 or 504. `null` where it closed the connection.
    pub status: Option<u16>,
    /// For how long nothing of that had come. `null` where it is not known since when.
    pub silence_ns: Option<u64>,
}

names! {
    /// What an end waits for, and for how long is limited.
    pub enum WaitedFor {
        /// More of the request.
        Request = "request",
        /// The response.
        Response = "response",
        /// A request on a connection that is kept alive. The new one crossed with the end.
        NextRequest = "next_request",
    }
}
