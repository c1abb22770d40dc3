//! Finds a cgroup's container, by its path.

#[cfg(test)]
mod tests;

/// The id of a cgroup's container, the innermost one if nested: 64 hexadecimal digits, alone (Docker and Kubernetes with the cgroupfs driver, containerd) or behind
/// the runtime's name (`docker-….scope`, `libpod-…`, `cri-containerd-…`, `crio-…`).
pub(super) fn container_id(path: &str) -> Option<&str> {
    path.rsplit('/').find_map(|name| {
        let name = name.strip_suffix(".scope").unwrap_or(name);
        let (runtime, id) = name.rsplit_once(['-', ':']).unwrap_or(("", name));
        // conmon watches a container from outside.
        (is_container_id(id) && !runtime.ends_with("conmon")).then_some(id)
    })
}

fn is_container_id(text: &str) -> bool {
    text.len() == 64
        && text
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}
