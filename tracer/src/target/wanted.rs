//! The filter that the command line states, for the programs and for the sockets that are open
//! already.

use std::collections::HashSet;

use anyhow::{Result, bail};
use tracer_ebpf::filter::Listener;

use crate::{
    cgroups::CgroupNames,
    cli::TraceArgs,
    kernel::Filter,
    process, say,
    sockets::{self, Holder, OpenSocket},
};

/// See the module.
pub(super) struct Wanted {
    /// For the programs.
    pub(super) filter: Filter,
    /// Paths of the cgroups in the filter.
    cgroups: Vec<String>,
}

/// Longest process name that the kernel keeps (`TASK_COMM_LEN`, without the NUL).
const COMM_BYTES: usize = 15;

impl Wanted {
    /// # Errors
    /// When a process or a cgroup that was named is not there.
    pub(super) fn of(arguments: &TraceArgs) -> Result<Self> {
        for pid in &arguments.pid {
            if !process::exists(*pid) {
                bail!("there is no process {pid}");
            }
        }
        let mut wanted = Self {
            filter: Filter {
                ports: arguments.port.clone(),
                pids: arguments.pid.clone(),
                ancestor: (!arguments.run.is_empty()).then(std::process::id),
                comms: arguments.comm.iter().map(|comm| kept(comm)).collect(),
                cookies: arguments.cookie.clone(),
                ..Filter::default()
            },
            cgroups: Vec::new(),
        };
        if !arguments.cgroup.is_empty() {
            let Some(root) = process::cgroup2_root()? else {
                bail!("--cgroup needs a mounted cgroup v2 hierarchy, and there is none");
            };
            let names = CgroupNames::new(root)?;
            for path in &arguments.cgroup {
                let cgroup = names.id_of(path)?;
                wanted.filter.cgroups.push(cgroup);
                wanted
                    .cgroups
                    .extend(names.path(cgroup.id).map(str::to_owned));
            }
        }
        if arguments.names_processes() {
            let dump = sockets::dump()?;
            if let Some(left_out) = dump.left_out.describe() {
                say(&format!(
                    "connections that the chosen processes accept may be missing: {left_out}"
                ));
            }
            wanted.filter.listeners = dump
                .listeners
                .iter()
                .filter(|socket| socket.holders.iter().any(|holder| wanted.holds(holder)))
                .map(|socket| Listener {
                    netns: socket.addresses.netns,
                    port: u32::from(socket.addresses.local.port()),
                })
                .collect();
        }
        Ok(wanted)
    }

    /// Those of the sockets that are wanted, and the other ends of these.
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

    /// Whether a process meets every condition on processes.
    fn holds(&self, holder: &Holder) -> bool {
        let filter = &self.filter;
        let beneath = |path: &String| self.cgroups.iter().any(|wanted| is_beneath(path, wanted));
        (filter.pids.is_empty() || filter.pids.contains(&holder.pid))
            && (filter.comms.is_empty() || filter.comms.contains(&holder.comm))
            && (self.cgroups.is_empty() || holder.cgroup.as_ref().is_some_and(beneath))
    }
}

/// A name as the kernel keeps it: cut off.
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
