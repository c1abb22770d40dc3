//! The command line's filter, for the eBPF programs and for sockets that are already open.

use std::collections::HashSet;

use anyhow::{Result, bail};
use tracer_ebpf::filter::Listener;

use crate::{
    cli::TraceArgs,
    core::input::{Holder, OpenSocket},
    kernel::{
        Filter,
        cgroups::CgroupRoot,
        pid_namespace::{self, NoProcess},
        sockets,
    },
    message,
};

use super::process;

pub(super) struct Selection {
    /// For the eBPF programs.
    pub(super) filter: Filter,
    /// Paths of the cgroups in the filter.
    cgroups: Vec<String>,
}

/// Longest process name that the kernel keeps (`TASK_COMM_LEN`, without the NUL).
const COMM_BYTES: usize = 15;

impl Selection {
    pub(super) fn of(arguments: &TraceArgs) -> Result<Self> {
        for comm in arguments.comm.iter().filter(|comm| comm.len() > COMM_BYTES) {
            message(&format!(
                "the kernel keeps {COMM_BYTES} bytes of a process's name: tracing every `{}`",
                kept(comm)
            ));
        }
        let own_id = pid_namespace::own_id().map_err(|_| NoProcess::ForeignProc);
        if !arguments.pid.is_empty() {
            own_id?;
        }
        let pids: Vec<u32> = arguments
            .pid
            .iter()
            .map(|pid| process::find(*pid))
            .collect::<Result<_>>()?;
        let ancestor = if arguments.run.is_empty() {
            None
        } else {
            Some(own_id?)
        };
        let mut selection = Self {
            filter: Filter {
                ports: arguments.port.clone(),
                pids,
                ancestor,
                comms: arguments.comm.iter().map(|comm| kept(comm)).collect(),
                cookies: arguments.cookie.clone(),
                follow: !arguments.no_follow,
                ..Filter::default()
            },
            cgroups: Vec::new(),
        };
        if !arguments.cgroup.is_empty() {
            let Some(root) = CgroupRoot::find()? else {
                bail!(
                    "--cgroup needs a cgroup v2 hierarchy, and none is mounted here: `mount -t cgroup2 none DIRECTORY` mounts it"
                );
            };
            let names = root.names()?;
            for path in &arguments.cgroup {
                let cgroup = names.id_of(path)?;
                selection.filter.cgroups.push(cgroup);
                let Some(path) = names.path(cgroup.id) else {
                    continue;
                };
                if names.is_populated(path) == Some(false) {
                    message(&format!("no process is in the cgroup {path} now"));
                }
                selection.cgroups.push(path.to_owned());
            }
        }
        if arguments.names_processes() {
            let dump = sockets::dump()?;
            if let Some(left_out) = dump.left_out.describe() {
                message(&format!(
                    "connections accepted by the chosen processes may be missing: {left_out}"
                ));
            }
            selection.filter.listeners = dump
                .listeners
                .iter()
                .filter(|socket| socket.holders.iter().any(|holder| selection.holds(holder)))
                .map(as_listener)
                .collect();
        }
        Ok(selection)
    }

    /// The sockets that match the filter, and their other ends.
    pub(super) fn of_sockets(&self, sockets: Vec<OpenSocket>) -> Vec<OpenSocket> {
        let ends: HashSet<_> = sockets
            .iter()
            .filter(|socket| self.wants(socket))
            .map(|socket| (socket.addresses.local, socket.addresses.remote))
            .collect();
        sockets
            .into_iter()
            .filter(|socket| {
                let (local, remote) = (socket.addresses.local, socket.addresses.remote);
                ends.contains(&(local, remote)) || ends.contains(&(remote, local))
            })
            .collect()
    }

    fn wants(&self, socket: &OpenSocket) -> bool {
        let filter = &self.filter;
        let ports = [
            socket.addresses.local.port(),
            socket.addresses.remote.port(),
        ];
        let names_processes =
            !(filter.pids.is_empty() && filter.comms.is_empty() && filter.cgroups.is_empty());
        let by_port =
            filter.ports.is_empty() || ports.iter().any(|port| filter.ports.contains(port));
        let by_process = !names_processes || socket.holders.iter().any(|holder| self.holds(holder));
        let only_cookies =
            filter.ports.is_empty() && !names_processes && !filter.cookies.is_empty();
        filter.cookies.contains(&socket.cookie) || !only_cookies && by_port && by_process
    }

    /// Whether a process matches every process filter.
    fn holds(&self, holder: &Holder) -> bool {
        let filter = &self.filter;
        let beneath = |path: &String| {
            self.cgroups
                .iter()
                .any(|selection| is_beneath(path, selection))
        };
        (filter.pids.is_empty() || filter.pids.contains(&holder.pid))
            && (filter.comms.is_empty() || filter.comms.contains(&holder.comm))
            && (self.cgroups.is_empty() || holder.cgroup.as_ref().is_some_and(beneath))
    }
}

/// Where a socket listens, as the programs name it.
pub(super) fn as_listener(socket: &OpenSocket) -> Listener {
    Listener {
        netns: socket.addresses.netns,
        port: u32::from(socket.addresses.local.port()),
    }
}

/// Truncates a name as the kernel does.
fn kept(comm: &str) -> String {
    String::from_utf8_lossy(&comm.as_bytes()[..comm.len().min(COMM_BYTES)]).into_owned()
}

fn is_beneath(path: &str, of: &str) -> bool {
    let of = of.trim_end_matches('/');
    path.strip_prefix(of)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::{is_beneath, kept};

    #[test]
    fn cgroups_beneath() {
        let check = |path, of, expected| assert_eq!(is_beneath(path, of), expected, "{path} {of}");
        check("/a/b", "/a", true);
        check("/a", "/a", true);
        check("/ab", "/a", false);
        check("/a", "/a/b", false);
        check("/a", "/", true);
    }

    #[test]
    fn names_are_cut_off() {
        assert_eq!(kept("curl"), "curl");
        assert_eq!(kept("a-name-that-is-too-long"), "a-name-that-is-");
    }
}
