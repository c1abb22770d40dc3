//! Joins the subflows of an MPTCP socket: a process acts on that socket, and so on each of them.

use std::sync::Arc;

use foldhash::HashMap;
use upload_protocol::{End, OwnerFrom};

use super::{ConnectionTable, Key};
use crate::core::{
    connection::{Owner, SubflowOf, Task},
    event::SocketCall,
};

/// The cookies of an MPTCP socket's subflows, by that of the first.
#[derive(Debug, Default)]
pub(super) struct Mptcp(HashMap<u64, Vec<u64>>);

/// A path manager makes up to eight by default (`MPTCP_PM_ADDR_MAX`), and may make more.
const MAX_SUBFLOWS: usize = 64;

impl Mptcp {
    pub(super) fn remove(&mut self, first: u64, subflow: u64) {
        if let Some(subflows) = self.0.get_mut(&first) {
            subflows.retain(|cookie| *cookie != subflow);
            if subflows.is_empty() {
                self.0.remove(&first);
            }
        }
    }
}

impl ConnectionTable {
    /// A socket is a subflow: it belongs to whom the others belong to.
    pub(super) fn subflow(&mut self, cookie: u64, of: SubflowOf) -> Option<(Key, End)> {
        let subflows = self.mptcp.0.entry(of.first).or_default();
        if !subflows.contains(&cookie) && subflows.len() < MAX_SUBFLOWS {
            subflows.push(cookie);
        }
        let known: Vec<Owner> = subflows
            .iter()
            .filter(|other| **other != cookie)
            .filter_map(|other| {
                let connection = self.connections.get(self.sockets.get(other)?)?;
                let view = connection.view(connection.end_of(*other)?)?;
                view.owner.clone()
            })
            .collect();
        let found = self.with_view(cookie, |view| {
            view.record_mptcp(of);
            for Owner { task, from } in known {
                view.learn_owner(task, from);
            }
        });
        if found.is_none() {
            self.mptcp.remove(of.first, cookie);
        }
        found
    }

    /// A process made a system call on the socket that has this cookie, or for which it stands.
    pub(super) fn mptcp_held(&mut self, first: u64, task: &Arc<Task>, how: SocketCall) {
        let Some(subflows) = self.mptcp.0.get(&first) else {
            return;
        };
        for cookie in subflows.clone() {
            self.with_view(cookie, |view| {
                view.learn_owner(Arc::clone(task), OwnerFrom::from(how));
            });
        }
    }
}
