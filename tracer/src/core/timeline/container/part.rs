//! What one directory of a cgroup's path names.

use std::borrow::Cow;

use upload_protocol::timeline::ContainerRuntime;

use super::Within;

/// Digits of an id that a container runtime makes.
const ID_DIGITS: usize = 64;
/// Digits of the groups of a UUID (RFC 9562, section 4).
const UUID_GROUPS: [usize; 5] = [8, 4, 4, 4, 12];
/// Digits of the UID of a pod that the node itself has (a static pod).
const STATIC_UID_DIGITS: usize = 32;
/// The longest name of a container.
const MAX_NAME: usize = 128;

/// A container: its id, or else its name.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::core::timeline) struct Container<'a> {
    /// 64 hexadecimal digits.
    pub(in crate::core::timeline) id: Option<&'a str>,
    pub(in crate::core::timeline) name: Option<Cow<'a, str>>,
    pub(in crate::core::timeline) runtime: Option<ContainerRuntime>,
}

impl<'a> Container<'a> {
    /// The container of this directory. `next` is the one beneath it.
    pub(super) fn named(part: &'a str, next: Option<&str>, within: Within) -> Option<Self> {
        Self::with_id(part, within).or_else(|| Self::with_name(part, next, within))
    }

    /// Alone (Docker and Kubernetes with the cgroupfs driver, containerd) or behind the runtime's name
    /// (`docker-….scope`, `libpod-…`, `kubepods-….slice:cri-containerd:…`).
    fn with_id(part: &'a str, within: Within) -> Option<Self> {
        let part = part.strip_suffix(".scope").unwrap_or(part);
        let (before, id) = part.rsplit_once(['-', ':']).unwrap_or(("", part));
        let prefix = before.rsplit(':').next().unwrap_or(before);
        // conmon watches a container from outside.
        if !is_id(id) || prefix.ends_with("conmon") {
            return None;
        }
        let runtime = match (prefix, within) {
            // A pod of Podman's: its containers have a prefix.
            ("", Within::Runtime(ContainerRuntime::Podman)) => return None,
            ("", Within::Runtime(runtime)) => Some(runtime),
            ("docker", _) => Some(ContainerRuntime::Docker),
            ("libpod", _) => Some(ContainerRuntime::Podman),
            ("cri-containerd" | "nerdctl", _) => Some(ContainerRuntime::Containerd),
            ("crio", _) => Some(ContainerRuntime::CriO),
            _ => None,
        };
        Some(Self {
            id: Some(id),
            name: None,
            runtime,
        })
    }

    fn with_name(part: &'a str, next: Option<&str>, within: Within) -> Option<Self> {
        let of_lxc = || match within {
            Within::Runtime(ContainerRuntime::Lxc) => Some(part),
            _ => part.strip_prefix("lxc.payload."),
        };
        // A virtual machine's scope has the same name, and no payload.
        let of_nspawn = || {
            let scope = part
                .strip_prefix("machine-")
                .and_then(|part| part.strip_suffix(".scope"));
            let service = || {
                part.strip_prefix("systemd-nspawn@")?
                    .strip_suffix(".service")
            };
            scope.or_else(service).filter(|_| next == Some("payload"))
        };
        let (name, runtime) = match (of_lxc(), of_nspawn()) {
            (Some(name), _) => (Cow::Borrowed(name), ContainerRuntime::Lxc),
            (None, Some(name)) => (unescaped(name), ContainerRuntime::SystemdNspawn),
            (None, None) => return None,
        };
        is_name(&name).then_some(Self {
            id: None,
            name: Some(name),
            runtime: Some(runtime),
        })
    }
}

/// The pod of this directory: the UID that Kubernetes gave it, or the id that Podman did.
pub(super) fn pod(part: &str, within: Within) -> Option<Cow<'_, str>> {
    match within {
        Within::Slices => {
            // With containerd, the slice may be what is before a colon.
            let slice = part.split(':').next()?.strip_suffix(".slice")?;
            match slice.rsplit_once("libpod_pod_") {
                Some((_, id)) => is_id(id).then_some(id.into()),
                None if slice.contains("kubepods") => uid(slice.rsplit_once("-pod")?.1),
                None => None,
            }
        }
        Within::Kubernetes => uid(part.strip_prefix("pod")?),
        Within::Runtime(ContainerRuntime::Podman) => is_id(part).then_some(part.into()),
        Within::Runtime(_) => None,
    }
}

/// Whether this is a directory of one of Kubernetes' classes of service.
pub(super) fn is_pod_class(part: &str) -> bool {
    ["guaranteed", "burstable", "besteffort"].contains(&part)
}

/// Whether this is a unit that has processes: all kinds but slices.
pub(super) fn is_unit(part: &str) -> bool {
    let kinds = [".service", ".scope", ".socket", ".mount", ".swap"];
    kinds.iter().any(|kind| part.ends_with(kind))
}

/// A pod's UID with hyphens. systemd's driver writes underscores, since a hyphen is a level of its slices.
fn uid(text: &str) -> Option<Cow<'_, str>> {
    if text.len() == STATIC_UID_DIGITS && is_hexadecimal(text) {
        return Some(text.into());
    }
    let uid = match text.contains('_') {
        true => Cow::Owned(text.replace('_', "-")),
        false => Cow::Borrowed(text),
    };
    let groups = uid.split('-');
    let is_uuid =
        groups.clone().map(str::len).eq(UUID_GROUPS) && groups.clone().all(is_hexadecimal);
    is_uuid.then_some(uid)
}

fn is_id(text: &str) -> bool {
    text.len() == ID_DIGITS && is_hexadecimal(text)
}

fn is_hexadecimal(text: &str) -> bool {
    text.bytes()
        .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Without systemd's escaping of the one letter in the names of machines that it escapes.
fn unescaped(name: &str) -> Cow<'_, str> {
    match name.contains(r"\x2d") {
        true => name.replace(r"\x2d", "-").into(),
        false => name.into(),
    }
}

fn is_name(text: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=MAX_NAME).contains(&text.len()) && text.bytes().all(is_letter)
}
