//! One end of a connection: where it is, and whose.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use serde::Serialize;
use upload_server::record::Cookie;

use crate::{
    core::{
        connection::{Connection, Learned, Owner},
        end::End,
        host::Host,
    },
    kernel::cgroups::container_id,
};

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Endpoint {
    /// IP address; IPv4 on a dual-stack socket as IPv4.
    pub addr: IpAddr,
    /// Port.
    pub port: u16,
    /// Whose it is.
    #[serde(flatten)]
    pub owner: Process,
    /// Other processes that acted on the socket: it was handed over, or inherited over `fork`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<Process>,
    /// Inode number of its network namespace, as in `/proc/PID/ns/net`; `null` where the socket is
    /// not on this machine or was not seen.
    pub netns: Option<u32>,
    /// Its address as the other end sees it, where that is another (NAT).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seen_as: Option<SocketAddr>,
    /// The socket's cookie; `null` where the socket is not on this machine or was not seen.
    pub cookie: Option<Cookie>,
}

/// A process; every field is `null` where it is not known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Process {
    /// Process id.
    pub pid: Option<u32>,
    /// Process name.
    pub comm: Option<Arc<str>>,
    /// User id.
    pub uid: Option<u32>,
    /// Path of its cgroup (v2) below the root.
    pub cgroup: Option<Arc<str>>,
    /// Id of the container that the cgroup is part of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// How it was learned that the socket is its own.
    pub owner_from: Option<Learned>,
}

impl Endpoint {
    pub(super) fn of(connection: &Connection, end: End, host: &Host) -> Option<Self> {
        let view = connection.view(end);
        let peer = connection.view(end.other());
        let seen_by_peer = peer.map(|peer| peer.addresses.remote);
        let address = view.map(|view| view.addresses.local).or(seen_by_peer)?;
        let owner = view.and_then(|view| view.owner.as_ref());
        let others = view.map_or(&[][..], |view| &view.incidents().holders);
        Some(Self {
            addr: address.ip(),
            port: address.port(),
            owner: owner.map_or_else(Process::default, |owner| Process::of(owner, host)),
            also: others
                .iter()
                .filter(|other| owner.is_none_or(|owner| owner.task.pid != other.task.pid))
                .map(|other| Process::of(other, host))
                .collect(),
            netns: view
                .map(|view| view.addresses.netns)
                .filter(|netns| *netns != 0),
            seen_as: seen_by_peer
                .filter(|seen| *seen != address && address.port() != 0)
                .map(SocketAddr::from),
            cookie: view.map(|view| Cookie(view.cookie)),
        })
    }
}

impl Process {
    fn of(owner: &Owner, host: &Host) -> Self {
        let cgroup = host.cgroup(owner.task.cgroup);
        Self {
            pid: Some(owner.task.pid),
            comm: Some(Arc::clone(&owner.task.comm)),
            // The server's word says nothing of the user.
            uid: Some(owner.task.uid).filter(|_| owner.learned != Learned::Cookie),
            cgroup: cgroup.map(Arc::clone),
            container: cgroup
                .and_then(|path| container_id(path))
                .map(str::to_owned),
            owner_from: Some(owner.learned),
        }
    }
}
