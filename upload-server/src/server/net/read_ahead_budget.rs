//! How much a connection of HTTP/2 may hold in memory at most, even if some of its bodies are not read while
//! the readers of others wait. The connections share a budget: the more there are, the less do further ones
//! get.

use std::sync::Arc;

use parking_lot::Mutex;

/// What the shares of all connections are together, beyond the smallest.
const BUDGET: usize = 128 * 1024 * 1024;

/// A connection gets this part of what is left of the budget.
const PART: usize = 8;

/// Every connection gets at least this, whatever is left.
const SMALLEST: usize = 1024 * 1024;

/// The budget of a server. Clones share it.
#[derive(Clone)]
pub(crate) struct ReadAheadBudget {
    left: Arc<Mutex<usize>>,
}

/// A connection's share. Dropping it returns it to the budget.
pub(super) struct Share {
    pub(super) bytes: usize,
    of_budget: usize,
    budget: ReadAheadBudget,
}

impl ReadAheadBudget {
    pub(crate) fn new() -> Self {
        Self {
            left: Arc::new(Mutex::new(BUDGET)),
        }
    }

    /// The share of a new connection.
    pub(super) fn share(&self) -> Share {
        let mut left = self.left.lock();
        let bytes = (*left / PART).max(SMALLEST);
        let of_budget = bytes.min(*left);
        *left -= of_budget;
        Share {
            bytes,
            of_budget,
            budget: self.clone(),
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        *self.budget.left.lock() += self.of_budget;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_is_shared() {
        let budget = ReadAheadBudget::new();
        let first = budget.share();
        assert_eq!(first.bytes, BUDGET / PART);
        let more: Vec<_> = (0..200).map(|_| budget.share()).collect();
        assert!(more.is_sorted_by(|before, next| before.bytes >= next.bytes));
        assert!(more.iter().all(|share| share.bytes >= SMALLEST));
        let all: usize = more.iter().map(|share| share.bytes).sum();
        assert!(first.bytes + all <= BUDGET + 200 * SMALLEST);
        drop((first, more));
        assert_eq!(budget.share().bytes, BUDGET / PART);
    }
}
