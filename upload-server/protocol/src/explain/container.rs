//! Explains where a process runs: its container, its pod, its systemd unit.

use crate::{tcp::End, timeline::Process};

/// Digits of an id that are enough for a person: as many as `docker ps` and `podman ps` show.
const SHORT: usize = 12;
/// Longer than the UID of a pod, and shorter than an id.
const LONG: usize = 40;

/// The container and the pod of a process, short; `None` where there is neither.
#[must_use]
pub fn container(process: &Process) -> Option<String> {
    let names = named(process, short)?;
    Some(match &process.claimed_by {
        Some(by) => format!("{names}, as {by} claims"),
        None => names,
    })
}

/// The same in full, or else the systemd unit, and how it is known.
#[must_use]
pub fn explain_place(end: End, process: &Process) -> Option<String> {
    let Some(names) = named(process, |id| id) else {
        let unit = process.unit.as_deref()?;
        return Some(format!(
            "The {end}'s process belongs to the systemd unit {unit}."
        ));
    };
    let known = match &process.claimed_by {
        Some(by) => format!(
            "The name of its cgroup has that, and is a claim: beneath {by}, processes may make cgroups of any name."
        ),
        None => "The path of its cgroup has that, and only root makes cgroups there.".to_owned(),
    };
    Some(format!("The {end}'s process runs in {names}. {known}"))
}

fn named(process: &Process, id: fn(&str) -> &str) -> Option<String> {
    let container = process.container.as_deref().map(id);
    let container = container.or(process.container_name.as_deref());
    let container = container.map(|container| match process.container_runtime {
        Some(runtime) => format!("container {container} ({runtime})"),
        None => format!("container {container}"),
    });
    let pod = process.pod.as_deref();
    let pod = pod.map(|pod| format!("pod {}", id(pod)));
    match (container, pod) {
        (Some(container), Some(pod)) => Some(format!("{container}, {pod}")),
        (container, pod) => container.or(pod),
    }
}

fn short(id: &str) -> &str {
    match id.len() < LONG {
        true => id,
        false => id.get(..SHORT).unwrap_or(id),
    }
}

#[cfg(test)]
mod tests {
    use super::{container, explain_place};
    use crate::{
        tcp::End,
        timeline::{ContainerRuntime, Process},
    };

    #[track_caller]
    fn check(process: &Process, short: Option<&str>, long: Option<&str>) {
        assert_eq!(container(process).as_deref(), short);
        assert_eq!(explain_place(End::Client, process).as_deref(), long);
    }

    #[test]
    fn where_a_process_runs() {
        let id = "0123456789abcdef".repeat(4);
        let mut process = Process::default();
        check(&process, None, None);
        process.unit = Some("docker.service".to_owned());
        check(
            &process,
            None,
            Some("The client's process belongs to the systemd unit docker.service."),
        );
        process.container = Some(id.clone());
        process.container_runtime = Some(ContainerRuntime::Docker);
        check(
            &process,
            Some("container 0123456789ab (docker)"),
            Some(&format!(
                "The client's process runs in container {id} (docker). The path of its cgroup has that, and only root makes cgroups there."
            )),
        );
        process.pod = Some("6a3d1f2e-7a41-4b8e-9f5c-0d2f3f1b7a11".to_owned());
        process.container_runtime = None;
        process.claimed_by = Some("docker.service".to_owned());
        let pod = "pod 6a3d1f2e-7a41-4b8e-9f5c-0d2f3f1b7a11";
        check(
            &process,
            Some(&format!(
                "container 0123456789ab, {pod}, as docker.service claims"
            )),
            Some(&format!(
                "The client's process runs in container {id}, {pod}. The name of its cgroup has that, and is a claim: beneath docker.service, processes may make cgroups of any name."
            )),
        );
        let process = Process {
            container_name: Some("web".to_owned()),
            pod: Some(id),
            ..Process::default()
        };
        let short = "container web, pod 0123456789ab";
        assert_eq!(container(&process).as_deref(), Some(short));
    }
}
