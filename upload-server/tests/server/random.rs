//! Numbers that differ from run to run. A failed test prints their seed.

use std::time::SystemTime;

/// xorshift64 (Marsaglia, Xorshift RNGs, 2003).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new() -> Self {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let seed = u64::try_from(now.unwrap().as_nanos()).unwrap() | 1;
        println!("the random numbers begin with {seed}");
        Self(seed)
    }

    /// Other numbers, that follow from these.
    pub(crate) fn fork(&mut self) -> Self {
        Self(self.next() | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below this one.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).unwrap()
    }
}
