use super::*;

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

#[test]
fn containers_are_known_by_their_runtimes_paths() {
    let inner = ID.replace('0', "f");
    let pod = "pod6a3d1f2e-7a41-4b8e-9f5c-0d2f3f1b7a11";
    let pod_ = pod.replace('-', "_");
    let short = &ID[..63];
    let upper = ID.to_uppercase();
    for (path, expected) in [
        (format!("/docker/{ID}"), Some(ID)),
        (format!("/docker/{ID}/init.scope"), Some(ID)),
        (format!("/system.slice/docker-{ID}.scope"), Some(ID)),
        (
            format!("/user.slice/user-1000.slice/user@1000.service/user.slice/docker-{ID}.scope"),
            Some(ID),
        ),
        (format!("/machine.slice/libpod-{ID}.scope"), Some(ID)),
        (
            format!("/machine.slice/libpod-{ID}.scope/container"),
            Some(ID),
        ),
        (format!("/libpod_parent/libpod-{ID}"), Some(ID)),
        (format!("/kubepods/burstable/{pod}/{ID}"), Some(ID)),
        (
            format!("/kubepods.slice/kubepods-{pod_}.slice/cri-containerd-{ID}.scope"),
            Some(ID),
        ),
        (
            format!("/kubepods.slice/kubepods-{pod_}.slice/crio-{ID}.scope"),
            Some(ID),
        ),
        (
            format!("/system.slice/containerd.service/kubepods-{pod_}.slice:cri-containerd:{ID}"),
            Some(ID),
        ),
        (format!("/default/{ID}"), Some(ID)),
        (
            format!("/docker/{ID}/kubelet.slice/cri-containerd-{inner}.scope"),
            Some(inner.as_str()),
        ),
        (format!("/machine.slice/libpod-conmon-{ID}.scope"), None),
        (format!("/kubepods.slice/crio-conmon-{ID}.scope"), None),
        ("/".to_owned(), None),
        (String::new(), None),
        ("/system.slice/ssh.service".to_owned(), None),
        (format!("/kubepods/burstable/{pod}"), None),
        (format!("/docker/{short}"), None),
        (format!("/docker/{ID}0"), None),
        (format!("/docker/{upper}"), None),
        (format!("/docker/é{short}"), None),
    ] {
        assert_eq!(container_id(&path), expected, "{path}");
    }
}
