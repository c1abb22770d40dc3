use super::*;

/// What a path should name, in this order and each only if there is one: container (`?` for an unknown runtime), pod,
/// unit, and who claims it. `<1>` and `<2>` are ids, `<uid>` is a pod's UID, `<u_i_d>` the same in a slice.
#[track_caller]
fn check(path: &str, expected: &str) {
    let uid = "6a3d1f2e-7a41-4b8e-9f5c-0d2f3f1b7a11";
    let [path, expected] = [path, expected].map(|text| {
        text.replace("<1>", &"0123456789abcdef".repeat(4))
            .replace("<2>", &"fedcba9876543210".repeat(4))
            .replace("<uid>", uid)
            .replace("<u_i_d>", &uid.replace('-', "_"))
    });
    assert_eq!(shown(&names(&path)), expected, "{path}");
}

fn shown(names: &Names<'_>) -> String {
    let mut shown = Vec::new();
    if let Some(container) = &names.container {
        let runtime = container.runtime.map_or("?", ContainerRuntime::name);
        let name = container.id.or(container.name.as_deref()).unwrap();
        shown.push(format!("{runtime} {name}"));
    }
    shown.extend(names.pod.as_ref().map(|pod| format!("pod {pod}")));
    shown.extend(names.unit.map(|unit| format!("unit {unit}")));
    shown.extend(names.claimed_by.map(|by| format!("claimed by {by}")));
    shown.join(", ")
}

#[test]
fn docker() {
    check(
        "/system.slice/docker-<1>.scope",
        "docker <1>, unit docker-<1>.scope",
    );
    check(
        "/batch.slice/docker-<1>.scope/init",
        "docker <1>, unit docker-<1>.scope",
    );
    check("/docker/<1>", "docker <1>");
    check("/docker/<1>/init.scope", "docker <1>");
}

#[test]
fn podman() {
    check(
        "/machine.slice/libpod-<1>.scope",
        "podman <1>, unit libpod-<1>.scope",
    );
    check(
        "/machine.slice/libpod-<1>.scope/container",
        "podman <1>, unit libpod-<1>.scope",
    );
    check(
        "/machine.slice/machine-libpod_pod_<2>.slice/libpod-<1>.scope",
        "podman <1>, pod <2>, unit libpod-<1>.scope",
    );
    check("/libpod_parent/libpod-<1>", "podman <1>");
    check("/libpod_parent/<2>/libpod-<1>", "podman <1>, pod <2>");
    check(
        "/machine.slice/libpod-conmon-<1>.scope",
        "unit libpod-conmon-<1>.scope",
    );
    check("/libpod_parent/conmon", "");
}

#[test]
fn kubernetes() {
    let slices = "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod<u_i_d>.slice";
    check(
        &format!("{slices}/cri-containerd-<1>.scope"),
        "containerd <1>, pod <uid>, unit cri-containerd-<1>.scope",
    );
    check(
        &format!("{slices}/crio-<1>.scope"),
        "cri-o <1>, pod <uid>, unit crio-<1>.scope",
    );
    check(
        &format!("{slices}/crio-<1>.scope/container"),
        "cri-o <1>, pod <uid>, unit crio-<1>.scope",
    );
    check(
        &format!("{slices}/docker-<1>.scope"),
        "docker <1>, pod <uid>, unit docker-<1>.scope",
    );
    check(
        &format!("{slices}/crio-conmon-<1>.scope"),
        "pod <uid>, unit crio-conmon-<1>.scope",
    );
    check(slices, "pod <uid>");
    check(
        "/kubepods.slice/kubepods-pod<u_i_d>.slice/cri-containerd-<1>.scope",
        "containerd <1>, pod <uid>, unit cri-containerd-<1>.scope",
    );
    check("/kubepods/burstable/pod<uid>/<1>", "? <1>, pod <uid>");
    check("/kubepods/pod<uid>/<1>", "? <1>, pod <uid>");
    check(
        "/kubepods/besteffort/pod<uid>/crio-<1>",
        "cri-o <1>, pod <uid>",
    );
    // A static pod's UID is a digest.
    let digest = "0123456789abcdef".repeat(2);
    check(
        &format!("/kubepods/burstable/pod{digest}/<1>"),
        &format!("? <1>, pod {digest}"),
    );
    // containerd, where its cgroup driver is not the kubelet's.
    check(
        "/system.slice/containerd.service/kubepods-pod<u_i_d>.slice:cri-containerd:<1>",
        "containerd <1>, pod <uid>, unit containerd.service, claimed by containerd.service",
    );
    check(
        "/kubepods-burstable-pod<u_i_d>.slice:cri-containerd:<1>",
        "containerd <1>, pod <uid>",
    );
}

#[test]
fn other_runtimes() {
    check("/default/<1>", "containerd <1>");
    check(
        "/system.slice/nerdctl-<1>.scope",
        "containerd <1>, unit nerdctl-<1>.scope",
    );
    check("/system.slice/new-<1>.scope", "? <1>, unit new-<1>.scope");
    check("/lxc.payload.web", "lxc web");
    check("/lxc.payload.web/system.slice/ssh.service", "lxc web");
    check("/lxc.monitor.web", "");
    check("/lxc/web", "lxc web");
    check(
        r"/machine.slice/machine-web\x2d1.scope/payload/init.scope",
        r"systemd-nspawn web-1, unit machine-web\x2d1.scope",
    );
    check(
        "/machine.slice/systemd-nspawn@web.service/payload",
        "systemd-nspawn web, unit systemd-nspawn@web.service",
    );
    check(
        "/machine.slice/systemd-nspawn@web.service/supervisor",
        "unit systemd-nspawn@web.service",
    );
    // A virtual machine.
    check(
        r"/machine.slice/machine-qemu\x2d1\x2dweb.scope/libvirt/emulator",
        r"unit machine-qemu\x2d1\x2dweb.scope",
    );
}

#[test]
fn units() {
    check("/system.slice/ssh.service", "unit ssh.service");
    check(
        "/system.slice/system-getty.slice/getty@tty1.service",
        "unit getty@tty1.service",
    );
    check("/init.scope", "unit init.scope");
    check(
        "/user.slice/user-1000.slice/session-3.scope",
        "unit session-3.scope",
    );
    check(
        "/user.slice/user-1000.slice/user@1000.service/app.slice/editor.service",
        "unit user@1000.service",
    );
    check("/system.slice", "");
    check("/", "");
    check("", "");
}

/// Beneath these, cgroups are made by others than root.
#[test]
fn names_that_users_and_containers_chose_are_claims() {
    let user = "/user.slice/user-1000.slice/user@1000.service";
    check(
        &format!("{user}/user.slice/libpod-<1>.scope/container"),
        "podman <1>, unit user@1000.service, claimed by user@1000.service",
    );
    check(
        &format!("{user}/user.slice/user-libpod_pod_<2>.slice/libpod-<1>.scope"),
        "podman <1>, pod <2>, unit user@1000.service, claimed by user@1000.service",
    );
    check(
        &format!("{user}/kubepods.slice/kubepods-pod<u_i_d>.slice/cri-containerd-<1>.scope"),
        "containerd <1>, pod <uid>, unit user@1000.service, claimed by user@1000.service",
    );
    check(
        &format!("{user}/kubepods/burstable/pod<uid>/<1>"),
        "? <1>, pod <uid>, unit user@1000.service, claimed by user@1000.service",
    );
    check(
        &format!("{user}/system.slice/ssh.service/docker/<1>"),
        "docker <1>, unit user@1000.service, claimed by user@1000.service",
    );
    check(
        "/user.slice/user-1000.slice/session-3.scope/lxc.payload.web",
        "lxc web, unit session-3.scope, claimed by session-3.scope",
    );
    check(
        "/system.slice/ci.service/docker/<1>",
        "docker <1>, unit ci.service, claimed by ci.service",
    );
    // A parent that an administrator chose, or anything else.
    check("/batch/<1>", "? <1>, claimed by batch");
    check("/batch/docker/<1>", "docker <1>, claimed by batch");
    check(
        "/default/chosen/docker/<1>",
        "docker <1>, claimed by chosen",
    );
    check("/system.slice/docker/<1>", "? <1>, claimed by docker");
    check(
        "/kubepods/burstable/other/pod<uid>/<1>",
        "? <1>, claimed by other",
    );
}

/// The container that the system named stays, whatever is made beneath it.
#[test]
fn a_container_is_the_outermost() {
    check("/docker/<1>/docker/<2>", "docker <1>");
    check("/docker/<1>/lxc.payload.web", "docker <1>");
    check(
        "/docker/<1>/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod<u_i_d>.slice/cri-containerd-<2>.scope",
        "docker <1>",
    );
    check(
        "/system.slice/docker-<1>.scope/system.slice/docker-<2>.scope",
        "docker <1>, unit docker-<1>.scope",
    );
    check(
        "/kubepods/pod<uid>/<1>/kubepods/pod00000000-0000-0000-0000-000000000000/<2>",
        "? <1>, pod <uid>",
    );
    check("/kubepods/pod<uid>/chosen/docker/<1>", "pod <uid>");
    check("/lxc.payload.web/docker/<1>", "lxc web");
    check(
        "/user.slice/user-1000.slice/user@1000.service/libpod-<1>.scope/libpod-<2>.scope",
        "podman <1>, unit user@1000.service, claimed by user@1000.service",
    );
}

#[test]
fn what_only_looks_like_a_name_is_none() {
    let id = "0123456789abcdef".repeat(4);
    for wrong in [
        &id[1..],
        &format!("{id}0"),
        &id.to_uppercase(),
        &format!("é{}", &id[2..]),
    ] {
        check(&format!("/docker/{wrong}"), "");
        check(&format!("/system.slice/x-{wrong}.slice"), "");
    }
    for wrong in [
        "",
        "6a3d1f2e",
        "6a3d1f2e-7a41-4b8e-9f5c-0d2f3f1b7a1g",
        "----",
        "é",
    ] {
        check(&format!("/kubepods/burstable/pod{wrong}"), "");
        check(&format!("/kubepods.slice/kubepods-pod{wrong}.slice"), "");
    }
    for wrong in ["", "a b", "\u{202e}web", r"\x1b", "..%", &"a".repeat(129)] {
        check(&format!("/lxc.payload.{wrong}"), "");
        let scope = format!("machine-{wrong}.scope");
        check(
            &format!("/machine.slice/{scope}/payload"),
            &format!("unit {scope}"),
        );
    }
    // No directory has so long a name.
    check(&format!("/system.slice/{}.service", "a".repeat(248)), "");
    check(&format!("/{}/docker/<1>", "a".repeat(256)), "");
}
