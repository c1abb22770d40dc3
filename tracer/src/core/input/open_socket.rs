//! Sockets that are open already, as sock_diag(7) and `/proc` list them.

use serde::{Deserialize, Serialize};
use upload_protocol::State;

use crate::core::event::Addresses;

/// Which sockets there were at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Present {
    /// CLOCK_MONOTONIC before the kernel was asked.
    pub asked_ns: u64,
    /// The network namespaces that were looked at.
    pub netns: Vec<u32>,
    /// The sockets' cookies.
    pub cookies: Vec<u64>,
}

/// A TCP socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenSocket {
    /// The socket's cookie.
    pub cookie: u64,
    /// Its two ends; for a listener, the remote one is unspecified.
    pub addresses: Addresses,
    pub state: State,
    /// Inode number of the socket; 0 where no process holds it: before `accept()`, or after the
    /// last `close()`.
    pub inode: u32,
    /// The user whose socket it is.
    pub uid: u32,
    /// Id of the cgroup (v2) that the socket was made in, from Linux 5.7 on.
    pub cgroup_id: Option<u64>,
    /// What it did so far; meaningless for a listener.
    pub counters: Counters,
    /// The processes that hold it, the oldest first: it made the socket, or inherited it before
    /// the others did. (By start time; process ids begin again from the bottom.)
    pub holders: Vec<Holder>,
}

impl OpenSocket {
    /// Whether it waits for connections.
    #[must_use]
    pub fn is_listening(&self) -> bool {
        self.state == State::Listen
    }
}

/// What `struct tcp_info` counted from the connection's begin on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Sequence numbers acknowledged by the peer; a SYN and a FIN count one each.
    pub bytes_acked: u64,
    /// Sequence numbers received in order; a FIN counts one.
    pub bytes_received: u64,
    /// Segments sent.
    pub segs_out: u32,
    /// Segments received.
    pub segs_in: u32,
    /// Segments retransmitted.
    pub total_retrans: u32,
}

/// A process with a descriptor of a socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Process id.
    pub pid: u32,
    /// Its real user id.
    pub uid: u32,
    /// Its name, that is its first thread's.
    pub comm: String,
    /// Its cgroup (v2), as a path below the mounted root, that begins with a slash.
    pub cgroup: Option<String>,
}
