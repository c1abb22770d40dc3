//! What cgroups name: containers, pods and units. The cgroups are real, and have the paths that the runtimes give theirs.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};
use tracer::internals::kernel::cgroups::cgroup2_root;

use crate::{
    lab::{Lab, Tracer},
    trace::Trace,
};

const ID: &str = "7aceb0a7b1c54ab1b4d0c2a4f3c0a5e1d2b3c4a5968778695a4b3c2d1e0f1a2b";
const POD: &str = "6a3d1f2e-7a41-4b8e-9f5c-0d2f3f1b7a11";
const FIELDS: [&str; 6] = [
    "container",
    "container_name",
    "container_runtime",
    "pod",
    "unit",
    "claimed_by",
];

/// A cgroup with those above it; those that this made are removed with it.
struct Made {
    directory: PathBuf,
    made: Vec<PathBuf>,
}

impl Made {
    fn new(path: &str) -> Self {
        let root = cgroup2_root().unwrap().expect("no cgroup2 is mounted");
        let directory = root.join(path.trim_start_matches('/'));
        let above: Vec<&Path> = directory.ancestors().collect();
        let missing = above.into_iter().take_while(|above| !above.exists());
        let made = missing.map(Path::to_owned).collect();
        fs::create_dir_all(&directory).unwrap();
        Self { directory, made }
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        for directory in &self.made {
            let _ = fs::remove_dir(directory);
        }
    }
}

/// curl connects from a process in the cgroup, again until that was fast enough for the cgroup's name.
fn connect_from(lab: &Lab, tracer: &mut Tracer, path: &str, url: &str) {
    let cgroup = Made::new(path);
    let enter = r#"echo $$ >"$1/cgroup.procs" && exec curl --silent "$2""#;
    for _ in 0..20 {
        let mut client: Command = lab.inside("sh");
        client.args(["-c", enter, "sh"]).arg(&cgroup.directory);
        assert!(client.arg(url).output().unwrap().status.success());
        tracer.wait_for_timelines(1);
        if named(&tracer.lines_so_far(), path).is_some() {
            return;
        }
    }
    panic!("the cgroup {path} has no name");
}

/// The client of the first connection from this cgroup.
fn named(trace: &Trace, path: &str) -> Option<Value> {
    let mut timelines = trace.timelines().into_iter();
    let found = timelines.find(|timeline| timeline["client"]["cgroup"] == path);
    found.map(|timeline| timeline["client"].clone())
}

#[test]
fn a_process_has_the_names_of_its_cgroup() {
    let pod = format!("kubepods-test-pod{}.slice", POD.replace('-', "_"));
    let cases = [
        (
            format!("/docker/{ID}"),
            json!({"container": ID, "container_runtime": "docker"}),
            Some("container 7aceb0a7b1c5 (docker)".to_owned()),
        ),
        (
            format!("/machine.slice/libpod-{ID}.scope/container"),
            json!({"container": ID, "container_runtime": "podman", "unit": format!("libpod-{ID}.scope")}),
            Some("container 7aceb0a7b1c5 (podman)".to_owned()),
        ),
        (
            format!("/kubepods.slice/{pod}/cri-containerd-{ID}.scope"),
            json!({"container": ID, "container_runtime": "containerd", "pod": POD, "unit": format!("cri-containerd-{ID}.scope")}),
            Some(format!("container 7aceb0a7b1c5 (containerd), pod {POD}")),
        ),
        (
            "/lxc.payload.tracer-test/system.slice/web.service".to_owned(),
            json!({"container_name": "tracer-test", "container_runtime": "lxc"}),
            Some("container tracer-test (lxc)".to_owned()),
        ),
        (
            "/system.slice/tracer-test.service".to_owned(),
            json!({"unit": "tracer-test.service"}),
            None,
        ),
        // A user may give cgroups such names.
        (
            format!(
                "/user.slice/user-64999.slice/user@64999.service/kubepods.slice/{pod}/cri-containerd-{ID}.scope"
            ),
            json!({"container": ID, "container_runtime": "containerd", "pod": POD, "unit": "user@64999.service", "claimed_by": "user@64999.service"}),
            Some(format!(
                "container 7aceb0a7b1c5 (containerd), pod {POD}, as user@64999.service claims"
            )),
        ),
    ];
    let lab = Lab::new();
    let server = lab.server(&[]);
    let recording = lab.dir.path().join("recording");
    let to = recording.to_str().unwrap();
    let mut tracer = lab.tracer_alone(&["record", to, "-o", "ndjson", "--port", "5000"]);
    for (path, ..) in &cases {
        connect_from(&lab, &mut tracer, path, &server.url(""));
    }
    let trace = tracer.stop();
    let text = shown(&["replay", to]);
    let explained = shown(&["replay", to, "--explain"]);
    let replayed = shown(&["replay", to, "--explain", "-o", "ndjson"]);
    let replayed = Trace::new(replayed.lines().map(str::to_owned).collect());
    for (path, names, container) in &cases {
        let client = named(&trace, path).unwrap();
        for field in FIELDS {
            assert_eq!(client[field], names[field], "{field} of {path}");
        }
        if let Some(container) = container {
            let line = format!("  the client runs in {container}");
            assert!(text.lines().any(|found| found == line), "{line}: {text}");
        }
        let replayed = named(&replayed, path).unwrap();
        let sentence = replayed["explain"].as_str().unwrap();
        assert!(explained.contains(sentence), "{sentence}: {explained}");
    }
    server.stop();
}

fn shown(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_tracer"))
        .args(arguments)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Fields without a value are absent, as in a process that is in the root alone.
#[test]
fn a_process_in_the_root_has_no_names() {
    let lab = Lab::new();
    let server = lab.server(&[]);
    let mut tracer = lab.tracer_alone(&["-o", "ndjson", "--port", "5000"]);
    connect_from(&lab, &mut tracer, "/", &server.url(""));
    let client = named(&tracer.stop(), "/").unwrap();
    server.stop();
    let named: Vec<&Value> = FIELDS
        .iter()
        .filter_map(|field| client.get(field))
        .collect();
    assert!(named.is_empty(), "{client}");
}

/// It reports that the socket is its own, and not where it runs.
#[test]
fn the_bundled_server_has_the_cgroup_that_it_read_in() {
    let lab = Lab::new();
    let server = lab.server(&[]);
    let mut tracer = lab.tracer(&[]);
    lab.upload(&lab.file("a", 100_000), &server.url(""));
    tracer.wait_for_timelines(1);
    let trace = tracer.stop();
    server.stop();
    let own = fs::read_to_string("/proc/self/cgroup").unwrap();
    let own = own.lines().find_map(|line| line.strip_prefix("0::"));
    let found = &trace.timelines()[0]["server"];
    assert_eq!(found["owner_from"], "cookie");
    assert_eq!(found["cgroup"].as_str(), own);
}
