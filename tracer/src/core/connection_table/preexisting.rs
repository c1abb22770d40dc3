//! Sockets opened before the tracer attached.

use tracer_ebpf::record;
use upload_protocol::{End, OwnerFrom, State};

use super::{Change, ConnectionTable, Key};
use crate::core::{connection::Task, event::Addresses, input::OpenSocket};

impl ConnectionTable {
    /// Adds a socket opened before the tracer attached: a connection's, or a listener.
    pub fn add_open_socket(&mut self, socket: OpenSocket, mono_ns: u64) {
        if socket.is_listening() {
            self.listeners.insert(socket.addresses);
            return;
        }
        let OpenSocket {
            cookie,
            addresses,
            state,
            holders,
            cgroup_id,
            ..
        } = socket;
        let is_new = !self.sockets.contains_key(&cookie);
        let (key, end) = self.socket(cookie, addresses, found_in(state));
        if let Some(connection) = self.connections.get_mut(&key) {
            connection.last_ns = connection.last_ns.max(mono_ns);
        }
        let holders: Vec<_> = holders
            .into_iter()
            .map(|holder| {
                self.tasks.share(Task {
                    pid: holder.pid,
                    uid: holder.uid,
                    comm: holder.comm.into(),
                    cgroup: cgroup_id.unwrap_or_default(),
                })
            })
            .collect();
        let Some(view) = self.view_mut(key, end) else {
            return;
        };
        if is_new {
            view.found_ns = Some(mono_ns);
        }
        let processes: Vec<u32> = holders.iter().map(|task| task.pid).collect();
        for task in holders {
            view.learn_owner(task, OwnerFrom::Proc);
        }
        for process in processes {
            self.record_intermediary(process, key, end);
        }
    }

    /// Adds a socket that the programs trace only from now on.
    pub(super) fn adopt(
        &mut self,
        cookie: u64,
        addresses: Addresses,
        state: State,
        mono_ns: u64,
        task: Option<record::Task>,
    ) -> Option<(Key, End)> {
        let task = task.map(|task| self.tasks.of_record(&task));
        let (key, end) = self.socket(cookie, addresses, found_in(state));
        let process = task.as_ref().map(|task| task.pid);
        let view = self.view_mut(key, end)?;
        view.found_ns = Some(mono_ns);
        if let Some(task) = task {
            view.learn_owner(task, OwnerFrom::Read);
        }
        if let Some(process) = process {
            self.record_intermediary(process, key, end);
        }
        Some((key, end))
    }
}

/// A socket in this state; how it came there was not seen.
const fn found_in(state: State) -> Change {
    Change {
        old: state,
        new: state,
        in_repair: false,
        again: false,
    }
}
