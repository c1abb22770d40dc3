//! Cgroups by id and by path, held against what the kernel says of sockets and processes.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use tracer::internals::kernel::{
    cgroups::{Cgroup, CgroupNames, cgroup2_root},
    sockets,
};

use crate::{lab::Lab, sockets::Listening, trace::Trace};

fn root() -> PathBuf {
    cgroup2_root().unwrap().expect("no cgroup2 is mounted")
}

/// Two nested cgroups, removed with this.
struct Nested {
    outer: PathBuf,
    inner: PathBuf,
    name: String,
}

impl Nested {
    /// The lab is what makes tests go one at a time.
    fn new(_lab: &Lab) -> Self {
        let name = format!("tracer-test-{}", std::process::id());
        let outer = root().join(&name);
        let inner = outer.join("inner.service");
        fs::create_dir_all(&inner).unwrap();
        Self { outer, inner, name }
    }
}

impl Drop for Nested {
    fn drop(&mut self) {
        for directory in [&self.inner, &self.outer] {
            let _ = fs::remove_dir(directory);
        }
    }
}

fn id(path: &Path) -> u64 {
    fs::metadata(path).unwrap().ino()
}

#[test]
fn a_sockets_cgroup_has_the_name_that_its_process_is_in() {
    let lab = Lab::new();
    let mut names = CgroupNames::new(root()).unwrap();
    let nested = Nested::new(&lab);
    let mut command = Command::new("sh");
    command.arg("-c").arg(format!(
        r#"echo $$ >{}/cgroup.procs; exec "$@""#,
        nested.inner.display()
    ));
    command.arg("sh");
    let listening = Listening::start(command);
    let dump = sockets::dump().unwrap();
    let socket = dump.listeners.iter().find(|one| {
        one.holders
            .first()
            .is_some_and(|holder| holder.pid == listening.pid)
    });
    let socket = socket.unwrap();
    let id = socket.cgroup_id.expect("Linux 5.7 tells it");
    let expected = format!("/{}/inner.service", nested.name);
    assert_eq!(socket.holders[0].cgroup.as_deref(), Some(&*expected));

    assert_eq!(names.path(id), None);
    names.refresh().unwrap();
    assert_eq!(names.path(id), Some(&*expected));
    assert_eq!(names.path(1), Some("/"));
    drop(listening);
    drop(nested);
    assert_eq!(names.path(id), Some(&*expected));
    names.refresh().unwrap();
    assert_eq!(names.path(id), None);
}

#[test]
fn a_path_is_absolute_or_as_systemd_names_it() {
    let lab = Lab::new();
    let names = CgroupNames::new(root()).unwrap();
    let nested = Nested::new(&lab);
    let Nested { outer, inner, name } = &nested;
    let mounted = root().display().to_string();
    for (path, directory, level) in [
        (format!("{mounted}/{name}"), outer, 1),
        (format!("/{name}"), outer, 1),
        (name.clone(), outer, 1),
        (format!("{name}/"), outer, 1),
        (format!("{mounted}/{name}/inner.service"), inner, 2),
        (format!("/{name}/inner.service"), inner, 2),
        (format!("{name}/inner.service"), inner, 2),
        (format!("{name}/inner.service/.."), outer, 1),
        (mounted.clone(), &root(), 0),
        ("/".to_owned(), &root(), 0),
    ] {
        let id = id(directory);
        let found = names.id_of(path.as_ref()).unwrap();
        assert_eq!(found, Cgroup { id, level }, "{path}");
    }
    for path in [
        "no-such.slice",
        "/no-such.slice",
        "/etc",
        "",
        "..",
        "../..",
        "cgroup.procs",
        &format!("{mounted}/no-such.slice"),
        &format!("{name}/cgroup.procs/x"),
    ] {
        let error = names.id_of(path.as_ref()).unwrap_err().to_string();
        let sentence = format!("there is no cgroup {path}: name one below {mounted}");
        assert!(error.starts_with(&sentence), "{error}");
    }
}

#[test]
fn within_a_container_the_cgroup_level_is_unknown() {
    let lab = Lab::new();
    let nested = Nested::new(&lab);
    let names = CgroupNames::new(nested.outer.clone()).unwrap();
    assert_eq!(names.path(id(&nested.inner)), Some("/inner.service"));
    let error = names.id_of("inner.service".as_ref()).unwrap_err();
    let sentence = "a container's: run the tracer outside of it";
    assert!(error.to_string().ends_with(sentence), "{error}");
}

/// `ip netns exec` mounts a new `/sys`, in which no cgroup hierarchy is mounted.
#[test]
fn segments_are_seen_where_no_hierarchy_is_mounted() {
    let lab = Lab::new();
    let server = lab.server(&[]);
    let netns = lab.namespace_path();
    let netns = netns.file_name().unwrap();
    let mut command = Command::new("ip");
    command.args(["netns", "exec"]).arg(netns);
    command.arg(env!("CARGO_BIN_EXE_tracer"));
    let url = server.url("");
    command.args(["-o", "ndjson", "--port", "5000", "--", "curl", "-s", &url]);
    let timeline = only(&mut command);
    server.stop();
    assert_eq!(timeline["phases"][0]["certainty"], "observed");
    assert_eq!(timeline["phases"][0]["steps"][0]["certainty"], "observed");
    let own = fs::read_to_string("/proc/self/cgroup").unwrap();
    let own = own.lines().find_map(|line| line.strip_prefix("0::"));
    assert_eq!(timeline["client"]["cgroup"].as_str(), own);
}

/// By its path below the root, or where it is mounted elsewhere on this machine.
#[test]
fn a_cgroup_is_found_where_no_hierarchy_is_mounted() {
    let lab = Lab::new();
    let nested = Nested::new(&lab);
    let check = |path: &str, status: i32, sentence: &str| {
        let output = Command::new("unshare")
            .args(["--mount", "sh", "-c", "umount -l $0 && exec \"$@\""])
            .arg(root())
            .args([env!("CARGO_BIN_EXE_tracer"), "--duration", "0", "--cgroup"])
            .arg(path)
            .output()
            .unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(status), "{stderr}");
        assert!(stderr.contains(sentence), "{stderr}");
    };
    let name = &nested.name;
    check(&format!("{name}/inner.service"), 0, "attached");
    check(&format!("/{name}"), 0, "attached");
    check(
        "no-such.slice",
        1,
        "there is no cgroup no-such.slice: name one below the root",
    );
}

/// In a container's cgroup namespace the root is hidden, unless the machine's process 1 is not.
#[test]
fn a_container_that_sees_a_part_of_the_hierarchy() {
    let lab = Lab::new();
    let nested = Nested::new(&lab);
    let trace = |unshare: &[&str]| {
        let script = format!(
            "echo $$ >{}/cgroup.procs && exec unshare --cgroup --mount {} sh -c \
             'umount -l {root} && mkdir -p /tmp && mount -t tmpfs none /mnt && mkdir /mnt/c && mount -t cgroup2 none /mnt/c && exec {} -o ndjson --port 4002 -- curl -s http://127.0.0.1:4002/'",
            nested.inner.display(),
            unshare.join(" "),
            env!("CARGO_BIN_EXE_tracer"),
            root = root().display(),
        );
        let output = lab.inside("sh").args(["-c", &script]).output().unwrap();
        let stdout = String::from_utf8(output.stdout).unwrap();
        Trace::new(stdout.lines().map(str::to_owned).collect())
    };
    let lacks = |trace: &Trace| {
        let missing = trace.summary()["missing"].as_array().cloned();
        missing.into_iter().flatten().any(|part| {
            part["what"] == "root of the cgroup v2 hierarchy (a container sees its own part)"
        })
    };
    assert!(!lacks(&trace(&[])));
    assert!(lacks(&trace(&["--pid", "--fork", "--mount-proc"])));
}

fn only(tracer: &mut Command) -> serde_json::Value {
    let output = tracer.output().unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    let trace = Trace::new(stdout.lines().map(str::to_owned).collect());
    trace.only_to(5000).clone()
}

#[test]
fn without_the_hierarchy_there_are_no_names() {
    let nowhere = tempfile::tempdir().unwrap();
    assert!(CgroupNames::new(nowhere.path().join("cgroup")).is_err());
}

/// Everybody can make cgroups, and connect from a new one each time: looking for their names must not keep
/// the tracer from its records. The ring has room for the moments in which a busy machine does not let it run.
#[test]
fn many_cgroups_cost_no_record() {
    let lab = Lab::new();
    let nested = Nested::new(&lab);
    let script = format!(
        "import os, socket, sys
base = '{base}'
for number in range(10000): os.mkdir(f'{{base}}/{{number}}')
print(flush=True)
sys.stdin.readline()
listener = socket.create_server(('127.0.0.1', 4002))
for number in range(100):
    directory = f'{{base}}/new-{{number}}'
    os.mkdir(directory)
    with open(directory + '/cgroup.procs', 'w') as procs: procs.write('0')
    for _ in range(10):
        client = socket.create_connection(('127.0.0.1', 4002))
        server = listener.accept()[0]
        for _ in range(20):
            client.send(b'x'); server.recv(1); server.send(b'y'); client.recv(1)
        client.close(); server.close()
with open('{root}/cgroup.procs', 'w') as procs: procs.write('0')
for directory in os.listdir(base):
    if os.path.isdir(f'{{base}}/{{directory}}'): os.rmdir(f'{{base}}/{{directory}}')",
        base = nested.inner.display(),
        root = root().display(),
    );
    let mut maker = lab.inside("python3");
    maker.args(["-c", &script]);
    let mut maker = maker
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut made = String::new();
    let mut stdout = BufReader::new(maker.stdout.take().unwrap());
    stdout.read_line(&mut made).unwrap();
    let mut tracer =
        lab.tracer_alone(&["-o", "ndjson", "--port", "4002", "--ring-size", "16777216"]);
    maker.stdin.take().unwrap().write_all(b"\n").unwrap();
    assert!(maker.wait().unwrap().success());
    tracer.wait_for_timelines(1000);
    let trace = tracer.stop();
    assert_eq!(trace.summary()["lost"], 0);
    // Of the others, the name is not known yet when they end: their process has moved on.
    let is_named = |timeline: &&serde_json::Value| timeline["client"]["cgroup"].is_string();
    assert!(trace.timelines().iter().any(is_named));
}
