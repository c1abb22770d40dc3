//! How much a client of HTTP/2 may send before the server has read it (RFC 9113, 5.2). A client sends
//! no more than that in a round trip, so that a small window makes a long path slow. But where the disk
//! is slower than the network, all of it is in memory. So the connections share a budget: the first
//! ones get large windows, and the more there are, the smaller are those of further ones.

use std::sync::Arc;

use parking_lot::Mutex;

/// What the large windows of all connections take together.
const BUDGET: u32 = 256 * 1024 * 1024;

/// A connection gets this part of what is left of the budget.
const SHARE: u32 = 2;

/// Every connection gets at least this, whatever is left.
const SMALLEST: u32 = 2 * 1024 * 1024;

/// The budget of a server. Clones share it.
#[derive(Clone)]
pub(crate) struct ReceiveWindows {
    left: Arc<Mutex<u32>>,
}

/// A connection's window. Dropping it returns it to the budget.
pub(super) struct ReceiveWindow {
    pub(super) bytes: u32,
    of_budget: u32,
    windows: ReceiveWindows,
}

impl ReceiveWindows {
    pub(crate) fn new() -> Self {
        Self {
            left: Arc::new(Mutex::new(BUDGET)),
        }
    }

    /// The window of a new connection.
    pub(super) fn open(&self) -> ReceiveWindow {
        let mut left = self.left.lock();
        let bytes = (*left / SHARE).max(SMALLEST);
        let of_budget = bytes.min(*left);
        *left -= of_budget;
        ReceiveWindow {
            bytes,
            of_budget,
            windows: self.clone(),
        }
    }
}

impl Drop for ReceiveWindow {
    fn drop(&mut self) {
        *self.windows.left.lock() += self.of_budget;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_is_shared() {
        let windows = ReceiveWindows::new();
        let first = windows.open();
        assert_eq!(first.bytes, BUDGET / SHARE);
        let more: Vec<_> = (0..50).map(|_| windows.open()).collect();
        assert!(more.is_sorted_by(|before, next| before.bytes >= next.bytes));
        let least = SMALLEST * 50;
        assert!(more.iter().all(|window| window.bytes >= SMALLEST));
        let all: u32 = more.iter().map(|window| window.bytes).sum();
        assert!(first.bytes + all <= BUDGET + least);
        drop((first, more));
        assert_eq!(windows.open().bytes, BUDGET / SHARE);
    }
}
