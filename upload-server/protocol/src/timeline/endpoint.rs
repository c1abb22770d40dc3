//! One end of a connection: where it is, and whose.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use crate::{Cookie, MptcpToken, OwnerFrom, names::names};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Endpoint {
    /// IPv4 on a dual-stack socket as IPv4.
    pub addr: IpAddr,
    pub port: u16,
    /// The process that the socket belongs to.
    #[serde(flatten)]
    pub owner: Process,
    /// Other processes that acted on the socket: it was passed on, or inherited over `fork`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<Process>,
    /// Inode number of its network namespace, as in `/proc/PID/ns/net`; `null` where the socket is
    /// not on this machine or was not seen.
    pub netns: Option<u32>,
    /// Its address as the other end sees it, where that is another (NAT). With one end alone on this
    /// machine: as the packets on the wire have it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seen_as: Option<SocketAddr>,
    /// The socket's cookie; `null` where the socket is not on this machine or was not seen.
    pub cookie: Option<Cookie>,
    /// The token of the MPTCP socket whose subflow this end's socket is. Its other subflows have the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mptcp: Option<MptcpToken>,
}

impl Default for Endpoint {
    fn default() -> Self {
        Self {
            addr: Ipv4Addr::UNSPECIFIED.into(),
            port: 0,
            owner: Process::default(),
            also: Vec::new(),
            netns: None,
            seen_as: None,
            cookie: None,
            mptcp: None,
        }
    }
}

/// A process; every field is `null` where it is not known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Process {
    pub pid: Option<u32>,
    /// The process's name (`/proc/PID/comm`).
    pub comm: Option<Arc<str>>,
    pub uid: Option<u32>,
    /// Path of its cgroup (v2) below the root.
    pub cgroup: Option<Arc<str>>,
    /// Id of the container that the cgroup is part of, the outermost one if nested: 64 hexadecimal digits
    /// (OpenTelemetry's `container.id`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// The container's name, where its cgroup has a name and no id (`container.name`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container_name: Option<String>,
    /// What runs the container (`container.runtime.name`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container_runtime: Option<ContainerRuntime>,
    /// UID of the Kubernetes pod (`k8s.pod.uid`), or id of the Podman pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod: Option<String>,
    /// The system's systemd unit that the process belongs to, as the journal's `_SYSTEMD_UNIT`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// The cgroup beneath which container and pod were named, if that was left to others: they are then
    /// claims of its processes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claimed_by: Option<String>,
    /// How it was learned that the socket is the process's own.
    pub owner_from: Option<OwnerFrom>,
}

names! {
    /// What runs containers.
    pub enum ContainerRuntime {
        Docker = "docker",
        Podman = "podman",
        /// containerd itself, for Kubernetes or `nerdctl`.
        Containerd = "containerd",
        CriO = "cri-o",
        /// LXC, LXD and Incus.
        Lxc = "lxc",
        SystemdNspawn = "systemd-nspawn",
    }
}
