//! Uploads that a time-out of the server ended.

use std::{path::Path, process::Stdio};

use serde_json::Value;

use super::{
    ends,
    named::{PORT, Served, lay, tracer},
    way,
};
use crate::{
    lab::{Lab, Neighbour, is_emulated, run, skip},
    trace::{Trace, number},
};

/// Of the server behind nginx.
const BEHIND: u16 = 4391;

/// nginx at the neighbour, with these settings of its server.
fn nginx(lab: &Lab, neighbour: &Neighbour, settings: &str) -> Option<Served> {
    if is_emulated() {
        skip("the emulated machine has no nginx");
        return None;
    }
    let dir = lab.dir.path();
    let config = format!(
        "user root; daemon off; master_process off; pid {0}/pid; error_log {0}/log; events {{}}\n\
         http {{ access_log off; client_body_temp_path {0}/body; client_max_body_size 0;\n\
         server {{ listen {PORT}; root {0}; dav_methods PUT; {settings} }} }}\n",
        dir.display()
    );
    Some(Served::nginx(neighbour, dir, &config))
}

/// What ended the last upload, and the words for it.
fn ended_by(trace: &Trace) -> (&Value, &str) {
    let uploads = trace.only_upload()["uploads"].as_array().unwrap();
    let found = &uploads.last().unwrap()["diagnosis"];
    let sentence = found["sentence"].as_str().unwrap();
    (&found["ended_by"], sentence)
}

fn check(trace: &Trace, waited_for: &str, status: Option<u16>, silence_ms: u64) {
    let (ended, sentence) = ended_by(trace);
    assert_eq!(ended["end"], "server", "{sentence}");
    assert_eq!(ended["waited_for"], waited_for);
    assert_eq!(ended["status"], status.map_or(Value::Null, Value::from));
    let found = number(&ended["silence_ns"]) / 1_000_000;
    // On a busy machine, timers and processes are late.
    let about = silence_ms - 50..silence_ms + 500;
    assert!(about.contains(&found), "{found} ms: {sentence}");
    let seconds = format!("{}.{} s", found / 1000, found / 100 % 10);
    assert!(sentence.contains(&seconds), "{sentence}");
}

/// Runs a client in Python that gets the port and the host.
fn run_python(lab: &Lab, text: &str, (port, host): (u16, &str)) {
    let mut python = lab.inside("python3");
    run(python.args(["-c", text, &port.to_string(), host]));
}

#[test]
fn a_client_that_pauses_gets_408() {
    let lab = Lab::new();
    let server = lab.server(&["--idle-timeout", "2"]);
    let mut tracer = lab.tracer(&[]);
    let mut curl = lab.inside("curl");
    curl.args(["--silent", "-H", "Expect:", "-T", "-"]);
    let child = curl.arg(server.url("paused")).stdin(Stdio::piped());
    let mut curl = child.stdout(Stdio::null()).spawn().unwrap();
    let mut pipe = curl.stdin.take().unwrap();
    std::io::Write::write_all(&mut pipe, &[7; 100_000]).unwrap();
    tracer.wait_for("upload", 1);
    // The rest of the file never comes.
    drop(pipe);
    curl.wait().unwrap();
    tracer.wait_for_timelines(1);
    check(&tracer.stop(), "request", Some(408), 2000);
    server.stop();
}

#[test]
fn a_proxy_that_waits_no_longer_answers_504() {
    let lab = Lab::new();
    let neighbour = lab.neighbour();
    let proxy =
        format!("location / {{ proxy_pass http://127.0.0.1:{BEHIND}; proxy_read_timeout 2s; }}");
    let Some(nginx) = nginx(&lab, &neighbour, &proxy) else {
        return;
    };
    let behind = ends(
        neighbour.inside("python3"),
        "server",
        (BEHIND, "-"),
        "think=60",
    );
    let mut tracer = tracer(&lab);
    let file = lab.file("file", 300_000);
    let url = format!("http://{}:{PORT}/", Neighbour::ADDRESS);
    lab.curl(&["-H", "Expect:", "-T", file.to_str().unwrap(), &url]);
    tracer.wait_for_timelines(1);
    drop((nginx, behind));
    check(&tracer.stop(), "response", Some(504), 2000);
}

/// Half of the body, and then nothing until the server closes.
const HALF: &str = "
import socket, sys
end = socket.create_connection((sys.argv[2], int(sys.argv[1])))
end.sendall(b'PUT /half HTTP/1.1\\r\\nHost: x\\r\\nContent-Length: 400000\\r\\n\\r\\n')
end.sendall(bytes(200000))
while end.recv(4096): pass
end.close()
";

/// nginx logs 408, and closes the connection without a word.
#[test]
fn a_server_that_waits_for_the_body_closes() {
    let lab = Lab::new();
    let neighbour = lab.neighbour();
    let Some(nginx) = nginx(&lab, &neighbour, "client_body_timeout 2s;") else {
        return;
    };
    let mut tracer = tracer(&lab);
    run_python(&lab, HALF, (PORT, Neighbour::ADDRESS));
    tracer.wait_for_timelines(1);
    drop(nginx);
    let trace = tracer.stop();
    check(&trace, "request", None, 2000);
    let (_, sentence) = ended_by(&trace);
    assert!(
        sentence.ends_with("without a byte of the request: a time-out."),
        "{sentence}"
    );
}

/// The second request leaves 150 ms before the server's FIN arrives, and 150 ms after that left.
const CROSSING: &str = "
import socket, sys, time
end = socket.create_connection((sys.argv[2], int(sys.argv[1])))
request = b'PUT /kept HTTP/1.1\\r\\nHost: x\\r\\nContent-Length: 3000\\r\\n\\r\\n' + bytes(3000)
end.sendall(request)
while b'\\r\\n\\r\\n' not in end.recv(4096): pass
time.sleep(1.85)
end.sendall(request)
try:
    while end.recv(4096): pass
except ConnectionError: pass
end.close()
";

#[test]
fn a_kept_connection_that_closes_as_the_next_request_comes() {
    if !Path::new("/dev/net/tun").exists() {
        skip("this kernel has no TUN devices");
        return;
    }
    let lab = Lab::new();
    let neighbour = lab.neighbour();
    let (_wire, address) = lay(&lab, &neighbour, (way(300), way(300)));
    let Some(nginx) = nginx(&lab, &neighbour, "keepalive_timeout 2s;") else {
        return;
    };
    let mut tracer = tracer(&lab);
    run_python(&lab, CROSSING, (PORT, &address));
    tracer.wait_for_timelines(1);
    drop(nginx);
    check(&tracer.stop(), "next_request", None, 2000);
}
