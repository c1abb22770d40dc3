//! The port where the tracer itself listens, for those who read its metrics. To trace these connections would show the
//! tracer to itself: where every connection is traced, they are left out.

use aya_ebpf::Global;

/// The port; 0 for none.
#[unsafe(no_mangle)]
static OWN_PORT: Global<u32> = Global::new(0);

/// Inode number of the network namespace that it is in.
#[unsafe(no_mangle)]
static OWN_NETNS: Global<u32> = Global::new(0);

/// Whether it listens.
#[inline(always)]
pub(super) fn is_any() -> bool {
    OWN_PORT.load() != 0
}

/// Whether a connection is from or to that port. Its network namespace and its ports are only read where there is one.
#[inline(always)]
pub(super) fn is_of(connection: impl FnOnce() -> (u32, u16, u16)) -> bool {
    if !is_any() {
        return false;
    }
    let port = OWN_PORT.load();
    let (netns, local_port, remote_port) = connection();
    let is_port = u32::from(local_port) == port || u32::from(remote_port) == port;
    is_port && netns == OWN_NETNS.load()
}
