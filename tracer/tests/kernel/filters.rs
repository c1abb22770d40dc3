//! What is traced: a command and its descendants, a process name, a cgroup, and nothing else.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Output, Stdio},
};

use tracer::internals::kernel::cgroups::cgroup2_root;

use crate::{
    lab::{Lab, Script, run},
    loaded::Loaded,
    trace::Trace,
};

/// A server that answers anybody, and a crowd that calls it without end.
const CROWD: &str = "
import os, socket, sys, threading
def serve(s):
    while True:
        a, _ = s.accept()
        a.recv(1)
        a.close()
for port in (4301, 4302):
    s = socket.socket()
    s.bind(('127.0.0.1', port))
    s.listen(1000)
    threading.Thread(target=serve, args=(s,), daemon=True).start()
calls = 0
def call():
    global calls
    while True:
        try:
            c = socket.create_connection(('127.0.0.1', 4301))
            c.close()
            calls += 1
        except OSError:
            pass
threading.Thread(target=call, daemon=True).start()
while calls < 10:
    pass
print('ready')
before = calls
sys.stdin.read()
print(calls - before)
";

/// Runs the tracer on a command within the lab.
fn trace_command(lab: &Lab, arguments: &[&str]) -> Output {
    lab.inside(env!("CARGO_BIN_EXE_tracer"))
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn lines(output: &Output) -> Trace {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    Trace::new(text.lines().map(str::to_owned).collect())
}

#[test]
fn a_command_and_its_descendants_and_nothing_else() {
    let lab = Lab::new();
    let crowd = Script::start(lab.inside("python3"), CROWD);
    let script = "curl -s http://127.0.0.1:4302/ & (sh -c 'curl -s http://127.0.0.1:4302/; true') & wait; echo said; exit 3";
    let output = trace_command(&lab, &["-o", "ndjson", "--", "sh", "-c", script]);
    let calls: u64 = crowd.end()[0].parse().unwrap();
    assert!(calls > 100, "the crowd called {calls} times only");
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let stderr = String::from_utf8(output.stderr.clone()).unwrap();
    assert!(stderr.lines().any(|line| line == "said"), "{stderr}");
    let trace = lines(&output);
    assert_eq!(trace.timelines().len(), 2);
    for timeline in trace.timelines() {
        assert_eq!(timeline["client"]["comm"], "curl");
        assert_eq!(timeline["client"]["owner_from"], "connect");
        assert_eq!(timeline["server"]["port"], 4302);
        assert_eq!(timeline["server"]["comm"], "python3");
        assert_eq!(timeline["complete"], true);
        assert_eq!(timeline["phases"][0]["steps"][0]["name"], "SYN");
    }
}

/// What the command is, its own stdout and its end are its own.
#[test]
fn a_command_in_text() {
    let lab = Lab::new();
    let output = trace_command(&lab, &["--", "sh", "-c", "echo said; kill -TERM $$"]);
    assert_eq!(output.status.code(), Some(128 + 15), "{output:?}");
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert!(stdout.starts_with("said\n"), "{stdout}");
    let missing = trace_command(&lab, &["--", "no-such-command"]);
    assert_eq!(missing.status.code(), Some(127));
    assert!(missing.stdout.is_empty());
}

/// What is said of a command that leaves a connection behind, in a background process.
fn leave_behind(lab: &Lab, arguments: &[&str]) -> Output {
    let listener = Script::start(
        lab.inside("python3"),
        "
import socket, sys
s = socket.create_server(('127.0.0.1', 4303))
print('ready')
a, _ = s.accept()
sys.stdin.read()
",
    );
    let leave = "exec 3<>/dev/tcp/127.0.0.1/4303; sleep 5 &";
    let output = trace_command(lab, &[arguments, &["--", "bash", "-c", leave]].concat());
    listener.end();
    output
}

/// Told as open when the grace is over, for as long as it was, though nothing happened on it.
#[test]
fn a_connection_that_outlives_its_command() {
    let trace = lines(&leave_behind(&Lab::new(), &["-o", "ndjson"]));
    assert_eq!(trace.timelines().len(), 1);
    let timeline = trace.timelines()[0];
    assert_eq!(timeline["open"], true);
    assert_eq!(timeline["client"]["comm"], "bash");
    let open_for = timeline["open_for_ns"].as_u64().unwrap();
    assert!(open_for >= 1_000_000_000, "{open_for}");
    let text = leave_behind(&Lab::new(), &[]);
    let text = String::from_utf8(text.stdout).unwrap();
    let heading = text.lines().next().unwrap();
    assert!(heading.contains("connection  open for 1."), "{text}");
    let maintenance = text.lines().find(|line| line.contains("maintenance"));
    assert!(maintenance.unwrap().contains(" 1."), "{text}");
}

#[test]
fn a_process_name() {
    let lab = Lab::new();
    let crowd = Script::start(lab.inside("python3"), CROWD);
    // Others on this machine may run curl.
    let name = format!("curl-{}", std::process::id());
    let program = lab.dir.path().join(&name);
    let curl = run(Command::new("which").arg("curl"));
    std::os::unix::fs::symlink(curl.trim(), &program).unwrap();
    let mut tracer = lab.tracer_alone(&["-o", "ndjson", "--comm", &name, "--comm", "nobody"]);
    lab.curl(&["http://127.0.0.1:4302/"]);
    let _ = lab
        .inside(&program)
        .args(["-s", "http://127.0.0.1:4302/"])
        .output()
        .unwrap();
    tracer.wait_for_timelines(1);
    let trace = tracer.stop();
    crowd.end();
    assert_eq!(trace.timelines().len(), 1);
    assert_eq!(trace.timelines()[0]["client"]["comm"], *name);
    assert_eq!(trace.timelines()[0]["server"]["comm"], "python3");
}

/// Filters of different kinds must all hold.
#[test]
fn a_process_name_and_a_port() {
    let lab = Lab::new();
    let crowd = Script::start(lab.inside("python3"), CROWD);
    let filter = ["-o", "ndjson", "--comm", "curl", "--port", "4302"];
    let mut tracer = lab.tracer_alone(&filter);
    lab.curl(&["http://127.0.0.1:4301/"]);
    lab.curl(&["http://127.0.0.1:4302/"]);
    tracer.wait_for_timelines(1);
    let trace = tracer.stop();
    crowd.end();
    assert_eq!(trace.timelines().len(), 1);
    assert_eq!(trace.timelines()[0]["server"]["port"], 4302);
}

/// A cgroup with one within, removed with this.
struct Nested(PathBuf);

impl Nested {
    fn new() -> Self {
        let name = format!("tracer-test-filter-{}", std::process::id());
        let outer = cgroup2_root().unwrap().unwrap().join(name);
        fs::create_dir_all(outer.join("inner.scope")).unwrap();
        Self(outer)
    }
}

impl Drop for Nested {
    fn drop(&mut self) {
        for directory in [self.0.join("inner.scope"), self.0.clone()] {
            let _ = fs::remove_dir(directory);
        }
    }
}

#[test]
fn a_cgroup_and_what_is_beneath_it() {
    let lab = Lab::new();
    let crowd = Script::start(lab.inside("python3"), CROWD);
    let nested = Nested::new();
    let path = nested.0.to_str().unwrap();
    let nobody = Command::new(env!("CARGO_BIN_EXE_tracer"))
        .args(["--cgroup", path, "--duration", "0"])
        .output()
        .unwrap();
    let stderr = String::from_utf8(nobody.stderr).unwrap();
    let name = nested.0.file_name().unwrap().to_str().unwrap();
    let note = format!("tracer: no process is in the cgroup /{name} now");
    assert!(stderr.lines().any(|line| line == note), "{stderr}");
    let mut tracer = lab.tracer_alone(&["-o", "ndjson", "--cgroup", path]);
    let enter = "echo $$ >\"$1/inner.scope/cgroup.procs\" && exec curl -s http://127.0.0.1:4302/";
    let _ = lab
        .inside("sh")
        .args(["-c", enter, "sh", path])
        .output()
        .unwrap();
    lab.curl(&["http://127.0.0.1:4302/"]);
    tracer.wait_for_timelines(1);
    let trace = tracer.stop();
    crowd.end();
    assert_eq!(trace.timelines().len(), 1);
    let cgroup = trace.timelines()[0]["client"]["cgroup"].as_str().unwrap();
    assert_eq!(cgroup, format!("/{name}/inner.scope"));
}

#[test]
fn filters_that_match_nothing_are_errors() {
    let check = |arguments: &[&str], sentence: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_tracer"))
            .args(arguments)
            .output()
            .unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(stderr.contains(sentence), "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
    };
    check(&["--pid", "4194305"], "there is no process 4194305");
    check(
        &["--cgroup", "no/such.slice"],
        "there is no cgroup no/such.slice",
    );
}

/// Killed in the middle, it leaves nothing behind, and whom it watched notices nothing.
#[test]
fn a_tracer_that_is_killed() {
    let lab = Lab::new();
    let server = lab.server(&[]);
    let tracer = lab.tracer_alone(&["-o", "ndjson", "--pid", &server.pid().to_string()]);
    let loaded = Loaded::by(tracer.pid());
    let mut slow = Script::start(
        lab.inside("python3"),
        "
import socket, sys
c = socket.create_connection(('127.0.0.1', 5000))
c.sendall(b'PUT /slow HTTP/1.1\\r\\nHost: 127.0.0.1:5000\\r\\nContent-Length: 10\\r\\nConnection: close\\r\\n\\r\\nhello')
print('ready')
sys.stdin.readline()
c.sendall(b'world')
answer = b''
while more := c.recv(1000):
    answer += more
print(answer.split()[1].decode())
",
    );
    tracer.kill();
    loaded.assert_gone();
    slow.send_line("go on");
    assert_eq!(slow.line(), "201");
    slow.end();
    assert_eq!(fs::read(lab.uploads().join("slow")).unwrap(), b"helloworld");
    let pinned = run(Command::new("find").args(["/sys/fs/bpf", "-iname", "*tracer*"]));
    assert_eq!(pinned, "");
    server.stop();
}
