//! A budget that all connections share: each gets a part of what is left, so the more there are, the less do
//! further ones get.

use std::sync::Arc;

use parking_lot::Mutex;

/// The budget of a server. Clones share it.
#[derive(Clone)]
pub(crate) struct SharedBudget {
    left: Arc<Mutex<usize>>,
    allotment: Allotment,
}

/// How much a connection gets.
#[derive(Clone, Copy)]
pub(super) struct Allotment {
    /// A connection gets this part of what is left of the budget.
    pub(super) part: usize,
    /// Every connection gets at least this, whatever is left.
    pub(super) least: usize,
    /// No connection gets more.
    pub(super) most: usize,
}

/// A connection's share. Dropping it returns it to the budget.
pub(super) struct Share {
    pub(super) amount: usize,
    of_budget: usize,
    budget: SharedBudget,
}

impl SharedBudget {
    /// `beyond` is what the shares of all connections are together, beyond the least of each.
    pub(super) fn new(beyond: usize, allotment: Allotment) -> Self {
        Self {
            left: Arc::new(Mutex::new(beyond)),
            allotment,
        }
    }

    /// The share of a new connection.
    pub(super) fn share(&self) -> Share {
        let Allotment { part, least, most } = self.allotment;
        let mut left = self.left.lock();
        let amount = (*left / part).clamp(least, most);
        let of_budget = amount.min(*left);
        *left -= of_budget;
        Share {
            amount,
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
        let allotment = Allotment {
            part: 8,
            least: 10,
            most: 100,
        };
        let budget = SharedBudget::new(1_600, allotment);
        let first = budget.share();
        assert_eq!(first.amount, 100);
        let more: Vec<_> = (0..200).map(|_| budget.share()).collect();
        assert!(more.is_sorted_by(|before, next| before.amount >= next.amount));
        assert!(more.iter().all(|share| share.amount >= 10));
        let all: usize = more.iter().map(|share| share.amount).sum();
        assert!(first.amount + all <= 1_600 + 200 * 10);
        drop((first, more));
        assert_eq!(budget.share().amount, 100);
    }
}
