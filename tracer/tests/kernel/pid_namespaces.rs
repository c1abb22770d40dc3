//! Process ids in PID namespaces: those of `/proc` where the tracer is, whatever the kernel counts.

use std::{
    fs,
    path::Path,
    process::{Command, Output, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::{
    lab::{Lab, Script},
    trace::Trace,
};

const TRACER: &str = env!("CARGO_BIN_EXE_tracer");

/// Answers each connection, and ends with its stdin.
const SERVER: &str = "
import socket, sys, threading
s = socket.create_server(('127.0.0.1', 4401))
def serve():
    while True:
        a, _ = s.accept()
        a.recv(9)
        a.sendall(b'yes')
        a.close()
threading.Thread(target=serve, daemon=True).start()
print('ready')
sys.stdin.read()
";

/// Prints its process id on stderr, connects and waits for the answer.
const CLIENT: &str = "import os, socket, sys
print('own id', os.getpid(), file=sys.stderr)
c = socket.create_connection(('127.0.0.1', 4401))
c.sendall(b'hello')
c.recv(9)
c.close()";

fn server(lab: &Lab) -> Script {
    Script::start(lab.inside("python3"), SERVER)
}

/// Runs a shell script that has the tracer as `$TRACER` and the client as `$CLIENT`.
fn shell(mut command: Command, script: &str) -> Output {
    command
        .args(["sh", "-c", script])
        .env("TRACER", TRACER)
        .env("CLIENT", CLIENT)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// A namespace of processes with a `/proc` of its own, as in a container.
fn container(lab: &Lab) -> Command {
    let mut command = lab.inside("unshare");
    command.args(["--pid", "--fork", "--mount-proc"]);
    command
}

fn only(output: &Output) -> Value {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    let trace = Trace::new(text.lines().map(str::to_owned).collect());
    assert_eq!(trace.timelines().len(), 1, "{stderr}");
    trace.timelines()[0].clone()
}

/// The id that the client itself printed.
fn own_id(output: &Output) -> u64 {
    let stderr = String::from_utf8_lossy(&output.stderr);
    let id = stderr.lines().find_map(|line| line.strip_prefix("own id "));
    id.unwrap_or_else(|| panic!("{stderr}")).parse().unwrap()
}

const COMMAND: &str = r#"exec "$TRACER" -o ndjson -- python3 -c "$CLIENT""#;

#[test]
fn a_command_has_its_id_in_the_container_and_a_process_outside_has_none() {
    let lab = Lab::new();
    let server = server(&lab);
    let output = shell(container(&lab), COMMAND);
    server.end();
    let timeline = only(&output);
    assert!(own_id(&output) < 100, "{output:?}");
    assert_eq!(timeline["client"]["pid"], own_id(&output));
    assert_eq!(timeline["client"]["owner_from"], "connect");
    assert_eq!(timeline["server"]["pid"], Value::Null);
    assert_eq!(timeline["server"]["comm"], "python3");
    assert_eq!(timeline["complete"], true, "{timeline:#}");
}

#[test]
fn containers_within_containers() {
    let lab = Lab::new();
    let server = server(&lab);
    let mut nested = container(&lab);
    nested.args(["unshare", "--pid", "--fork", "--mount-proc"]);
    let output = shell(nested, COMMAND);
    server.end();
    let timeline = only(&output);
    assert!(own_id(&output) < 100, "{output:?}");
    assert_eq!(timeline["client"]["pid"], own_id(&output));
}

#[test]
fn text_names_a_process_outside_without_an_id() {
    let lab = Lab::new();
    let server = server(&lab);
    let output = shell(container(&lab), r#""$TRACER" -- python3 -c "$CLIENT""#);
    server.end();
    let text = String::from_utf8_lossy(&output.stdout);
    let heading = text.lines().next().unwrap();
    assert!(heading.contains(" → python3 127.0.0.1:4401"), "{text}");
}

#[test]
fn children_of_a_command_in_a_container() {
    let lab = Lab::new();
    let server = server(&lab);
    let script = r#"exec "$TRACER" -o ndjson -- sh -c '(python3 -c "$CLIENT"; true) & wait'"#;
    let output = shell(container(&lab), script);
    server.end();
    assert_eq!(only(&output)["client"]["pid"], own_id(&output));
}

/// As in a container that has the machine's `/proc`: those are the ids that `ps` prints there.
#[test]
fn the_ids_are_those_of_proc() {
    let lab = Lab::new();
    let server = server(&lab);
    let mut command = lab.inside("unshare");
    command.args(["--pid", "--fork"]);
    let output = shell(command, COMMAND);
    server.end();
    let timeline = only(&output);
    let id = timeline["client"]["pid"].as_u64().unwrap();
    assert!(id > own_id(&output), "{timeline:#}");
    assert!(timeline["server"]["pid"].is_u64(), "{timeline:#}");
}

/// The client has waited for its tracer, whose id the filter cannot know before.
#[test]
fn a_process_in_the_container_by_its_id() {
    let lab = Lab::new();
    let server = server(&lab);
    let fifo = lab.dir.path().join("go");
    let script = format!(
        r#"mkfifo {go}
        sh -c 'read go <{go}; exec python3 -c "$CLIENT"' & client=$!
        "$TRACER" -o ndjson --pid $client --count 1 --duration 60 >{out} & tracer=$!
        until grep -q attached {err}; do :; done
        echo go >{go}; wait $client; kill -INT $tracer; wait $tracer; cat {out}"#,
        go = fifo.display(),
        out = lab.dir.path().join("out").display(),
        err = lab.dir.path().join("err").display(),
    );
    let script = format!("exec 2>{}\n{script}", lab.dir.path().join("err").display());
    let mut output = shell(container(&lab), &script);
    server.end();
    output.stderr = fs::read(lab.dir.path().join("err")).unwrap();
    assert_eq!(only(&output)["client"]["pid"], own_id(&output));
    let stderr = String::from_utf8_lossy(&output.stderr);
    let ended = format!("process {} has ended", own_id(&output));
    assert!(stderr.contains(&ended), "{stderr}");
}

/// Where it listens, too.
#[test]
fn a_listening_process_in_the_container_by_its_id() {
    let lab = Lab::new();
    let dir = lab.dir.path().display().to_string();
    let script = format!(
        r#"exec 2>{dir}/err
        mkfifo {dir}/stdin
        python3 -u -c "$SERVER" <{dir}/stdin >{dir}/ready & server=$!
        exec 9>{dir}/stdin
        until grep -q ready {dir}/ready; do :; done
        "$TRACER" -o ndjson --pid $server >{dir}/out & tracer=$!
        until grep -q attached {dir}/err; do :; done
        python3 -c "$CLIENT"
        until grep -q '"type":"state".*"CLOSE"' {dir}/out; do :; done
        kill -INT $tracer; wait $tracer; echo server $server >&2; cat {dir}/out"#
    );
    let mut command = container(&lab);
    command.env("SERVER", SERVER);
    let mut output = shell(command, &script);
    output.stderr = fs::read(lab.dir.path().join("err")).unwrap();
    let timeline = only(&output);
    let stderr = String::from_utf8_lossy(&output.stderr);
    let server = stderr.lines().find_map(|line| line.strip_prefix("server "));
    assert_eq!(timeline["server"]["pid"].to_string(), server.unwrap());
}

/// From outside, a container's process has another id than it has itself.
#[test]
fn a_process_in_a_container_below_by_its_outer_id() {
    let lab = Lab::new();
    let server = server(&lab);
    let mut unshare = lab.inside("unshare");
    unshare.args(["--pid", "--fork", "python3"]);
    let client =
        format!("import sys\nprint('ready')\nsys.stdin.readline()\n{CLIENT}\nprint(os.getpid())");
    let mut client = Script::start(unshare, &client);
    let children = format!("/proc/{0}/task/{0}/children", client.pid());
    let outer = fs::read_to_string(children).unwrap();
    let outer = outer.trim();
    let mut tracer = lab.tracer_alone(&["-o", "ndjson", "--pid", outer]);
    client.send_line("go");
    assert_eq!(client.line(), "1");
    tracer.wait_for_timelines(1);
    let trace = tracer.stop();
    client.end();
    server.end();
    assert_eq!(trace.only_to(4401)["client"]["pid"].to_string(), outer);
}

#[test]
fn a_command_that_makes_a_container() {
    let lab = Lab::new();
    let server = server(&lab);
    let script = r#"exec "$TRACER" -o ndjson -- unshare --pid --fork python3 -c "$CLIENT""#;
    let output = shell(lab.inside("env"), script);
    server.end();
    let timeline = only(&output);
    assert_eq!(own_id(&output), 1);
    assert_ne!(timeline["client"]["pid"], 1);
    assert!(timeline["client"]["pid"].is_u64(), "{timeline:#}");
}

/// The bundled server knows itself by its id in the container.
#[test]
fn the_upload_server_in_a_container_has_the_id_that_it_has_outside() {
    let lab = Lab::new();
    let mut command = container(&lab);
    command
        .arg(Path::new(TRACER).with_file_name("upload-server"))
        .args(["--listen", "127.0.0.1:5000", "--dir"])
        .arg(lab.uploads())
        .arg("--control")
        .arg(lab.control())
        .arg("--state")
        .arg(lab.state());
    let server = lab.started(command);
    let children = format!("/proc/{0}/task/{0}/children", server.pid());
    let outer = fs::read_to_string(children).unwrap();
    let mut tracer = lab.tracer(&[]);
    lab.upload(&lab.file("file", 1000), "http://127.0.0.1:5000/");
    tracer.wait_for_timelines(1);
    let trace = tracer.stop();
    kill_process(
        Pid::from_raw(outer.trim().parse().unwrap()).unwrap(),
        Signal::KILL,
    )
    .unwrap();
    let server = &trace.only_upload()["server"];
    assert_eq!(server["owner_from"], "cookie");
    assert_eq!(server["pid"].to_string(), outer.trim());
}

/// Nothing can be translated where `/proc` shows other processes than the tracer's.
#[test]
fn a_proc_of_another_namespace_is_refused() {
    let lab = Lab::new();
    let mut container = Script::start(
        {
            let mut command = container(&lab);
            command.arg("python3");
            command
        },
        "import sys\nprint('ready')\nsys.stdin.readline()",
    );
    let within = |arguments: &str| {
        let mut command = lab.inside("nsenter");
        let children = format!("/proc/{0}/task/{0}/children", container.pid());
        let target = fs::read_to_string(children).unwrap();
        command.args(["--mount", "--target", target.trim()]);
        shell(command, &format!(r#"exec "$TRACER" {arguments}"#))
    };
    for refused in ["-- true", "--pid 1"] {
        let output = within(refused);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        let sentence = "/proc does not show the tracer's PID namespace";
        assert!(stderr.contains(sentence), "{refused}: {stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
    }
    let doctor = within("doctor");
    let text = String::from_utf8_lossy(&doctor.stdout);
    assert!(text.contains("PID namespace    degraded"), "{text}");
    container.send_line("enough");
    container.end();
}

#[test]
fn the_doctor_knows_a_container() {
    let lab = Lab::new();
    let doctor = shell(container(&lab), r#"exec "$TRACER" doctor"#);
    let text = String::from_utf8_lossy(&doctor.stdout);
    assert!(doctor.status.success(), "{text}");
    assert!(
        text.contains("PID namespace    ok        a container's"),
        "{text}"
    );
    assert!(text.contains("process ids      ok"), "{text}");
}
