//! What a server passes on to Unix sockets: the layout of its records.

use super::Header;
#[cfg(doc)]
use super::{UNIX_BYTES, UNIX_RELAY};

wire! {
    /// A thread that had read from an accepted TCP socket sent on a Unix socket whose peer has a name. The
    /// header's cookie is the TCP socket's.
    pub struct UnixRelay[176] {
        /// Kind [`UNIX_RELAY`].
        pub header: Header,
        /// The Unix socket's cookie.
        pub socket: u64,
        /// How many bytes it sent the first time; before Linux 6.3 how many it asked for.
        pub bytes: u64,
        /// The process that made the peer listen (`SO_PEERCRED`); 0 where it has no id for the tracer.
        pub pid: u32,
        /// Its user.
        pub uid: u32,
        /// Its name, ended by a NUL; all zero where it has ended.
        pub comm: [u8; 16],
        /// Where the peer is bound: `sun_path`, as far as [`name_length`](Self::name_length) goes, then zeros.
        pub name: [u8; 108],
        /// How many bytes of the name there are. An abstract one begins with a NUL.
        pub name_length: u32,
    }
}

wire! {
    /// What a thread sent on a Unix socket since its last [`UnixRelay`] or [`UnixBytes`]: submitted once the TCP
    /// socket is answered, or another Unix socket is sent on.
    pub struct UnixBytes[40] {
        /// Kind [`UNIX_BYTES`]. The cookie is the TCP socket's.
        pub header: Header,
        /// The Unix socket's cookie.
        pub socket: u64,
        /// How many bytes; before Linux 6.3 how many it asked to send.
        pub bytes: u64,
    }
}
