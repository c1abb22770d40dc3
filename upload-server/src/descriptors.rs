//! How many files and sockets the process may have open.

use rustix::process::{Resource, getrlimit, setrlimit};
use tracing::debug;

/// Takes as many as the process may have. The lower limit that a process begins with is there for
/// programs that still use `select(2)`.
pub(crate) fn raise_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        debug!(%error, "the limit of open files stays as it is");
    }
}
