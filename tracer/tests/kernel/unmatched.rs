//! A run that traced nothing explains why, and a filter that names nothing is refused.

use std::{
    io::Write as _,
    net::{TcpListener, TcpStream},
    process::{Command, Output, Stdio},
};

use rustix::{
    net::sockopt::socket_cookie,
    process::{Pid, Signal, kill_process},
};

use crate::{
    lab::{Lab, Script, run},
    trace::Trace,
};

const TRACER: &str = env!("CARGO_BIN_EXE_tracer");

fn trace(lab: &Lab, arguments: &[&str]) -> Output {
    let mut command = lab.inside(TRACER);
    command.args(["-o", "ndjson"]).args(arguments);
    command.stdin(Stdio::null()).output().unwrap()
}

/// The last line on stderr of a tracer that traced nothing.
fn last_line(output: &Output) -> String {
    let stdout = String::from_utf8(output.stdout.clone()).unwrap();
    let trace = Trace::new(stdout.lines().map(str::to_owned).collect());
    assert_eq!(trace.summary()["connections"], 0, "{stdout}");
    let stderr = String::from_utf8(output.stderr.clone()).unwrap();
    stderr.lines().last().unwrap().to_owned()
}

#[test]
fn a_command_that_connects_to_another_port() {
    let lab = Lab::new();
    let connect =
        "for port in 1 2 3; do (exec 3<>/dev/tcp/127.0.0.1/$port) 2>/dev/null; done; true";
    let output = trace(&lab, &["--port", "443", "--", "bash", "-c", connect]);
    assert_eq!(
        last_line(&output),
        "tracer: the command and the processes it started opened 3 TCP connections, none from or to port 443"
    );
}

#[test]
fn a_command_that_does_not_connect() {
    let lab = Lab::new();
    let output = trace(&lab, &["--", "true"]);
    assert!(output.status.success());
    let line = last_line(&output);
    let sentence = "tracer: the command, with the processes it started, opened no TCP connection";
    assert!(line.starts_with(sentence), "{line}");
}

/// Connects when told to, and in a child when told that.
const CLIENT: &str = "
import os, socket, sys
print('ready')
for line in sys.stdin:
    if line == 'child\\n' and os.fork():
        os.wait()
        print('done')
        continue
    socket.socket().connect_ex(('127.0.0.1', 1))
    if line == 'child\\n':
        os._exit(0)
    print('done')
";

/// The tracer with these arguments while the client acts.
fn while_client(lab: &Lab, client: &mut Script, arguments: &[&str], action: &str) -> Output {
    let mut command = lab.inside(TRACER);
    command.args(["-o", "ndjson"]).args(arguments);
    let tracer = lab.started(command);
    client.send_line(action);
    assert_eq!(client.line(), "done");
    tracer.interrupt()
}

#[test]
fn a_process_that_connects_elsewhere_or_in_a_child() {
    let lab = Lab::new();
    let mut client = Script::start(lab.inside("python3"), CLIENT);
    let pid = client.pid().to_string();
    let output = while_client(&lab, &mut client, &["--pid", &pid, "--port", "443"], "self");
    assert_eq!(
        last_line(&output),
        "tracer: the chosen processes opened 1 TCP connection, not from or to port 443"
    );
    let output = while_client(&lab, &mut client, &["--pid", &pid], "child");
    let line = last_line(&output);
    let sentence = "tracer: no chosen process opened or accepted a TCP connection; their children, which --pid leaves out, opened 1";
    assert!(line.starts_with(sentence), "{line}");
    let output = while_client(&lab, &mut client, &["--comm", "no-such-name"], "self");
    let line = last_line(&output);
    let sentence = "tracer: no chosen process opened or accepted a TCP connection; ";
    assert!(line.starts_with(sentence), "{line}");
    assert!(line.ends_with("opened by other processes"), "{line}");
    client.end();
}

#[test]
fn a_process_that_accepts_at_another_port() {
    let lab = Lab::new();
    let text = "
import socket, sys
s = socket.create_server(('127.0.0.1', 4501))
print('ready')
sys.stdin.readline()
s.accept()
print('done')
sys.stdin.read()
";
    let mut server = Script::start(lab.inside("python3"), text);
    let pid = server.pid().to_string();
    let mut command = lab.inside(TRACER);
    command.args(["-o", "ndjson", "--pid", &pid, "--port", "443"]);
    let tracer = lab.started(command);
    server.send_line("accept");
    assert!(
        !lab.curl(&["-m", "0.5", "http://127.0.0.1:4501/"])
            .status
            .success()
    );
    assert_eq!(server.line(), "done");
    let output = tracer.interrupt();
    server.end();
    let line = last_line(&output);
    let sentence =
        "tracer: the chosen processes accepted 1 TCP connection, not from or to port 443";
    assert!(line.starts_with(sentence), "{line}");
}

#[test]
fn a_thread_is_its_process() {
    let lab = Lab::new();
    let text = "
import os, socket, sys, threading
def act():
    print(threading.get_native_id())
    sys.stdin.readline()
    socket.socket().connect_ex(('127.0.0.1', 1))
    print('done')
print('ready')
t = threading.Thread(target=act)
t.start()
t.join()
sys.stdin.read()
";
    let mut client = Script::start(lab.inside("python3"), text);
    let thread = client.line();
    let mut command = lab.inside(TRACER);
    command.args(["-o", "ndjson", "--pid", &thread]);
    let tracer = lab.started(command);
    client.send_line("go");
    assert_eq!(client.line(), "done");
    let output = tracer.interrupt();
    let pid = client.pid();
    client.end();
    let stderr = String::from_utf8(output.stderr).unwrap();
    let note =
        format!("tracer: {thread} is a thread of process {pid} (python3): tracing that process");
    assert!(stderr.lines().any(|line| line == note), "{stderr}");
    let stdout = String::from_utf8(output.stdout).unwrap();
    let trace = Trace::new(stdout.lines().map(str::to_owned).collect());
    assert_eq!(trace.only_to(1)["client"]["pid"], pid);
}

/// A process that has ended and was not reaped opens nothing; one whose leader has ended may.
#[test]
fn a_zombie_is_refused_and_a_process_without_its_leader_is_not() {
    let lab = Lab::new();
    let text = "
import ctypes, os, sys, threading
child = os.fork()
if child == 0:
    os._exit(0)
os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
headless = os.fork()
if headless == 0:
    threading.Thread(target=lambda: sys.stdin.read()).start()
    ctypes.CDLL(None).pthread_exit(None)
while '(zombie)' not in open(f'/proc/{headless}/status').read():
    pass
print('ready')
print(child)
print(headless)
sys.stdin.read()
";
    let parent = Script::start(lab.inside("python3"), text);
    let (zombie, headless) = (parent.line(), parent.line());
    let refused = trace(&lab, &["--pid", &zombie, "--duration", "0"]);
    let stderr = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(1), "{stderr}");
    let sentence = format!("process {zombie} (python3) has ended (a zombie)");
    assert!(stderr.contains(&sentence), "{stderr}");
    let traced = trace(&lab, &["--pid", &headless, "--duration", "0"]);
    assert!(traced.status.success(), "{traced:?}");
    let pid = Pid::from_raw(headless.parse().unwrap()).unwrap();
    kill_process(pid, Signal::KILL).unwrap();
    drop(parent);
}

/// The kernel cannot tell such names apart.
#[test]
fn a_name_that_is_cut_off() {
    let lab = Lab::new();
    let arguments = ["--comm", "a-name-that-is-too-long", "--duration", "0"];
    let output = trace(&lab, &arguments);
    let stderr = String::from_utf8(output.stderr).unwrap();
    let note =
        "tracer: the kernel keeps 15 bytes of a process's name: tracing every `a-name-that-is-`";
    assert!(stderr.lines().any(|line| line == note), "{stderr}");
}

/// As `ss -e` prints it, too.
#[test]
fn a_cookie_in_hexadecimal() {
    let lab = Lab::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut client = TcpStream::connect(address).unwrap();
    let cookie = socket_cookie(&client).unwrap();
    let port = client.local_addr().unwrap().port();
    let ss = run(Command::new("ss").args(["-tneH", &format!("sport = {port}")]));
    let printed = ss.split_whitespace().find(|word| word.starts_with("sk:"));
    let printed = printed.unwrap();
    assert_eq!(printed, format!("sk:{cookie:x}"));
    for named in [
        printed.to_owned(),
        format!("0x{cookie:x}"),
        cookie.to_string(),
    ] {
        let mut tracer = lab.tracer_alone(&["-o", "ndjson", "--segments", "--cookie", &named]);
        client.write_all(b"x").unwrap();
        tracer.wait_for("segment", 1);
        let trace = tracer.stop();
        let timeline = trace.timelines()[0];
        assert_eq!(timeline["client"]["cookie"], cookie.to_string(), "{named}");
    }
    let output = trace(&lab, &["--cookie", "sk:fffffffffff0", "--duration", "0"]);
    assert!(last_line(&output).starts_with("tracer: no TCP connection"));
}
