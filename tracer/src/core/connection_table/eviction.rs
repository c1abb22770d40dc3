//! Finds connections to remove from the table before their end was seen.

use std::collections::HashSet;

use super::{ConnectionTable, Key};
use crate::core::{
    connection::{Unfinished, View},
    input::Present,
};

/// sock_diag does not list a socket that has just begun to connect: do not take it for gone.
const BEGINS_NS: u64 = 1_000_000_000;

impl ConnectionTable {
    #[must_use]
    pub fn len(&self) -> usize {
        self.connections.len()
    }

    /// The `count` connections that were idle for longest, the idlest first.
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

    /// Connections none of whose sockets was in `present`, and without an event since.
    #[must_use]
    pub fn absent(&self, present: &Present) -> Vec<Key> {
        let looked_at: HashSet<u32> = present.netns.iter().copied().collect();
        let cookies: HashSet<u64> = present.cookies.iter().copied().collect();
        let is_gone = |key: Key, view: &View| {
            let now = self.sockets.get(&view.cookie);
            // A socket that connected again belongs to another connection now.
            let is_its = now == Some(&key);
            let is_known = looked_at.contains(&view.addresses.netns);
            !is_its || is_known && !cookies.contains(&view.cookie)
        };
        let mut absent: Vec<Key> = self
            .connections
            .iter()
            .filter(|(_, connection)| {
                connection.last_ns.saturating_add(BEGINS_NS) < present.asked_ns
            })
            .filter(|(key, connection)| connection.views().all(|(_, view)| is_gone(**key, view)))
            .map(|(key, _)| *key)
            .collect();
        absent.sort_unstable();
        absent
    }

    /// Marks a connection that leaves the table before its end.
    pub fn leave_unfinished(&mut self, key: Key, why: Unfinished) {
        if let Some(connection) = self.connections.get_mut(&key) {
            connection.unfinished = Some(why);
            self.any_unfinished = true;
        }
    }
}
