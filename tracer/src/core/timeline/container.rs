//! What a cgroup's path names: container, pod and systemd unit. Only root makes cgroups beneath slices and beneath the
//! directories of its container runtimes. Beneath a unit, a container or any other cgroup, they may be made by those who
//! run there (systemd's `Delegate=`, a cgroup namespace): a name from there is a claim, and is used only where the system
//! itself named nothing.

mod part;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use upload_protocol::timeline::ContainerRuntime;

use self::part::{Container, is_pod_class, is_unit, pod};

/// The longest name of a directory (`NAME_MAX`, `linux/limits.h`).
const MAX_PART: usize = 255;

/// Names from a path; each is `None` where the path has none.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Names<'a> {
    pub(super) container: Option<Container<'a>>,
    pub(super) pod: Option<Cow<'a, str>>,
    pub(super) unit: Option<&'a str>,
    /// The outermost cgroup beneath which container and pod are claims.
    pub(super) claimed_by: Option<&'a str>,
}

/// Whose directories the path has led through last.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Within {
    Slices,
    Runtime(ContainerRuntime),
    Kubernetes,
}

impl Within {
    /// What makes a directory of this name at the root, where root started it.
    fn named(part: &str) -> Option<Self> {
        Some(match part {
            "docker" => Self::Runtime(ContainerRuntime::Docker),
            "libpod_parent" => Self::Runtime(ContainerRuntime::Podman),
            "default" => Self::Runtime(ContainerRuntime::Containerd),
            "lxc" => Self::Runtime(ContainerRuntime::Lxc),
            "kubepods" => Self::Kubernetes,
            _ => return None,
        })
    }
}

/// The outermost container and pod, and the unit, of a cgroup with this path below the root.
pub(super) fn names(path: &str) -> Names<'_> {
    let mut names = Names::default();
    let mut within = Within::Slices;
    let mut parts = path.split('/').filter(|part| !part.is_empty()).peekable();
    let mut is_first = true;
    while let Some(part) = parts.next().filter(|part| part.len() <= MAX_PART) {
        let is_claimed = names.claimed_by.is_some();
        if within == Within::Slices && !is_claimed && is_unit(part) {
            names.unit = Some(part);
        }
        let pod = pod(part, within);
        let is_known = pod.is_some()
            || (within == Within::Slices && part.ends_with(".slice"))
            || (within == Within::Kubernetes && is_pod_class(part));
        names.pod = names.pod.or(pod);
        names.container = Container::named(part, parts.peek().copied(), within);
        if names.container.is_some() {
            return names;
        }
        if !is_known {
            let directory = Within::named(part).filter(|_| is_first || is_claimed);
            within = directory.unwrap_or(Within::Slices);
            if directory.is_none() && !is_claimed {
                if names.pod.is_some() {
                    // The system's own names are not mixed with claims.
                    return names;
                }
                names.claimed_by = Some(part);
            }
        }
        is_first = false;
    }
    names.claimed_by = names.claimed_by.filter(|_| names.pod.is_some());
    names
}
