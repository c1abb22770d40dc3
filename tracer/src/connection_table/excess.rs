//! Connections that the table is better off without.

use super::{ConnectionTable, Key};
use crate::connection::Unfinished;

impl ConnectionTable {
    /// How many connections there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.connections.len()
    }

    /// So many connections of which nothing was seen for the longest time, the idlest first.
    #[must_use]
    pub fn idlest(&self, count: usize) -> Vec<Key> {
        let mut all: Vec<(u64, Key)> = self
            .connections
            .iter()
            .map(|(key, connection)| (connection.last_ns, *key))
            .collect();
        if count < all.len() {
            all.select_nth_unstable(count);
            all.truncate(count);
        }
        all.sort_unstable();
        all.into_iter().map(|(_, key)| key).collect()
    }

    /// The connection will be told without its end.
    pub fn leave_unfinished(&mut self, key: Key, why: Unfinished) {
        if let Some(connection) = self.connections.get_mut(&key) {
            connection.unfinished = Some(why);
            self.any_unfinished = true;
        }
    }
}
