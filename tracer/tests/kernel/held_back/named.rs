//! What a cause is called where more of it can be seen, on the running kernel.

use std::{
    fs,
    path::Path,
    process::{Child, Command},
};

use serde_json::Value;
use slow_wire::{Way, Wire, addresses};

use super::{Seen, ends, line, way};
use crate::{
    lab::{Lab, Neighbour, Script, Tracer, is_emulated, run, skip, wait_until},
    trace::{Trace, number},
};

/// The port of the test's server.
pub(super) const PORT: u16 = 4390;
/// Of a second one.
const BEHIND: u16 = 4391;

pub(super) fn tracer(lab: &Lab) -> Tracer {
    lab.tracer_alone(&["-o", "ndjson", "--port", &PORT.to_string()])
}

/// The diagnosis of the only upload.
pub(super) fn diagnosis(trace: &Trace) -> &Value {
    let uploads = &trace.only_upload()["uploads"];
    assert_eq!(uploads.as_array().unwrap().len(), 1, "{uploads:#}");
    &uploads[0]["diagnosis"]
}

pub(super) fn assert_named(diagnosis: &Value, verdict: &str, name: &str) {
    assert_eq!(diagnosis["verdict"], verdict, "{diagnosis:#}");
    assert_eq!(diagnosis["evidence"]["named"], name, "{diagnosis:#}");
}

pub(super) fn assert_says(diagnosis: &Value, key: &str, part: &str) {
    let text = diagnosis[key].as_str().unwrap();
    assert!(text.contains(part), "{part:?} is not in {text:?}");
}

/// Sets `net.ipv4.…` with a command in the namespace.
pub(super) fn set(mut sysctl: Command, setting: &str) {
    let setting = format!("net.ipv4.{setting}");
    run(sysctl.args(["-q", "-w", &setting]));
}

/// The send buffer may not grow: no process fixed it.
#[test]
fn a_send_buffer_that_the_kernel_s_settings_limit() {
    let lab = Lab::new();
    set(lab.inside("sysctl"), "tcp_wmem=4096 16384 32768");
    let neighbour = lab.neighbour();
    let ways = (way(20), way(20));
    let Some(found) = over_a_wire(&lab, &neighbour, ways, ("", "bytes=1e6")) else {
        return;
    };
    assert_named(&found, "client_send_buffer", "tcp_wmem");
    assert_eq!(found["evidence"]["send_buffer_bytes"], 32768);
    assert_says(&found, "sentence", "net.ipv4.tcp_wmem");
}

#[test]
fn a_receive_buffer_that_its_process_set() {
    let lab = Lab::new();
    let neighbour = lab.neighbour();
    let (ways, ends) = ((way(20), way(20)), ("receive_buffer=8192", "bytes=2e5"));
    let Some(found) = over_a_wire(&lab, &neighbour, ways, ends) else {
        return;
    };
    assert_named(&found, "server_window", "so_rcvbuf");
    assert_says(&found, "sentence", "16.3 kB with SO_RCVBUF");
}

#[test]
fn a_receive_buffer_that_the_kernel_s_settings_limit() {
    let lab = Lab::new();
    let neighbour = lab.neighbour();
    set(neighbour.inside("sysctl"), "tcp_rmem=4096 16384 16384");
    let (ways, ends) = ((way(20), way(20)), ("", "bytes=2e5"));
    let Some(found) = over_a_wire(&lab, &neighbour, ways, ends) else {
        return;
    };
    assert_named(&found, "server_window", "tcp_rmem");
    assert_eq!(found["evidence"]["receive_buffer_bytes"], 16384);
    assert_says(
        &found,
        "advice",
        "net.ipv4.tcp_rmem on the server above 16384",
    );
}

#[test]
fn a_queue_of_a_second() {
    let lab = Lab::new();
    let neighbour = lab.neighbour();
    let ways = (line(10, 8000, 1_000_000), way(10));
    let ends = ("", "bytes=4e6 congestion=1");
    let Some(found) = over_a_wire(&lab, &neighbour, ways, ends) else {
        return;
    };
    assert_named(&found, "path", "bufferbloat");
    let queue_ms = number(&found["evidence"]["queue_ns"]) / 1_000_000;
    assert!((100..1100).contains(&queue_ms), "{found:#}");
    assert_says(&found, "advice", "fq_codel");
}

/// The receiving end alone knows the longest delay, and no mean.
#[test]
fn a_queue_of_a_second_as_its_server_sees_it() {
    let lab = Lab::new();
    let neighbour = lab.neighbour();
    let ways = (line(10, 8000, 1_000_000), way(10));
    let ends = ("", "bytes=4e6 congestion=1");
    let Some(found) = seen_by(&lab, &neighbour, ways, ends, Seen::FromServer) else {
        return;
    };
    assert_named(&found, "path", "bufferbloat");
    assert_says(&found, "sentence", "segments waited up to ");
}

/// A path that fails for a moment, one whose queue is no longer than it needs, and a process that sleeps.
#[test]
fn what_has_no_name() {
    let failing = Way {
        outage_ms: (300, 3300),
        ..line(20, 16_000, 100_000)
    };
    let cases = [
        (failing, "bytes=1.5e6 congestion=1", "loss"),
        (line(10, 8000, 60_000), "bytes=1.5e6 congestion=1", "path"),
        (
            way(10),
            "bytes=6e5 rate=5e5 piece=16384",
            "client_application",
        ),
    ];
    for (up, client, verdict) in cases {
        let lab = Lab::new();
        let neighbour = lab.neighbour();
        let Some(found) = over_a_wire(&lab, &neighbour, (up, way(20)), ("", client)) else {
            return;
        };
        assert_eq!(found["verdict"], verdict, "{found:#}");
        assert_eq!(found["evidence"].get("named"), None, "{found:#}");
    }
}

/// The diagnosis of an upload over a wire that is slow in this way; `None` where no wire can be laid.
fn over_a_wire(
    lab: &Lab,
    neighbour: &Neighbour,
    ways: (Way, Way),
    options: (&str, &str),
) -> Option<Value> {
    seen_by(lab, neighbour, ways, options, Seen::Both)
}

fn seen_by(
    lab: &Lab,
    neighbour: &Neighbour,
    ways: (Way, Way),
    (server, client): (&str, &str),
    seen: Seen,
) -> Option<Value> {
    if !Path::new("/dev/net/tun").exists() {
        skip("this kernel has no TUN devices");
        return None;
    }
    let (_wire, address) = lay(lab, neighbour, ways);
    let server = ends(neighbour.inside("python3"), "server", (PORT, "-"), server);
    let mut tracer = if seen == Seen::FromServer {
        let pid = server.pid().to_string();
        lab.tracer_alone(&["-o", "ndjson", "--pid", &pid])
    } else {
        tracer(lab)
    };
    let mut client = ends(lab.inside("python3"), "client", (PORT, &address), client);
    client.end_input();
    client.end();
    server.end();
    tracer.wait_for_timelines(1);
    Some(diagnosis(&tracer.stop()).clone())
}

/// Lays a wire to the neighbour, which is there until it is dropped; and the address of its far end.
pub(super) fn lay(lab: &Lab, neighbour: &Neighbour, ways: (Way, Way)) -> (Wire, String) {
    let between = (lab.namespace_path(), neighbour.namespace_path());
    let wire = Wire::lay((&between.0, &between.1), 0, ways, None).unwrap();
    (wire, addresses(0).1)
}

/// nginx opens each stream with a window of 64 KB, and, where it passes a request on without a buffer, again as
/// the server behind it takes the body.
#[test]
fn the_window_of_an_http2_stream() {
    if is_emulated() || !Path::new("/dev/net/tun").exists() {
        skip("this machine has no nginx, or no TUN devices");
        return;
    }
    let lab = Lab::new();
    let neighbour = lab.neighbour();
    let (_wire, address) = lay(&lab, &neighbour, (way(30), way(30)));
    let dir = lab.dir.path().display();
    let config = format!(
        "user root; daemon off; master_process off; pid {dir}/pid; error_log stderr; events {{}}\n\
         http {{ access_log off; client_body_temp_path {dir}/body;\n\
         client_max_body_size 0;\n\
         server {{ listen {PORT} http2; location / {{\n\
         proxy_pass http://127.0.0.1:{BEHIND}; proxy_request_buffering off; proxy_http_version 1.1; }} }}\n\
         server {{ listen {BEHIND}; root {dir}; dav_methods PUT; }} }}\n"
    );
    let nginx = Served::nginx(&neighbour, lab.dir.path(), &config);
    let mut tracer = tracer(&lab);
    let file = lab.file("file", 2_000_000);
    let url = format!("http://{address}:{PORT}/stored");
    upload_with(&lab, &["--http2-prior-knowledge"], &file, &url);
    tracer.wait_for_timelines(1);
    drop(nginx);
    let trace = tracer.stop();
    let found = diagnosis(&trace);
    assert_named(found, "waits_for_peer", "http2_window");
    assert_eq!(found["evidence"]["stream_window_bytes"], 65536, "{found:#}");
    assert_says(found, "sentence", "begins with 65.5 kB");
    assert_says(found, "advice", "rate × round-trip time, which is ");
}

/// Uploads with curl, which must succeed.
fn upload_with(lab: &Lab, arguments: &[&str], file: &Path, url: &str) {
    let upload = [arguments, &["--upload-file", file.to_str().unwrap(), url]].concat();
    let uploaded = lab.curl(&upload);
    assert!(uploaded.status.success(), "{uploaded:?}");
}

/// A server that is ended with the test.
pub(super) struct Served(Child);

impl Served {
    /// nginx with this configuration and this folder, once it listens.
    pub(super) fn nginx(neighbour: &Neighbour, dir: &Path, config: &str) -> Self {
        let file = dir.join("nginx.conf");
        fs::write(&file, config).unwrap();
        let mut command = neighbour.inside("nginx");
        command.arg("-p").arg(dir).arg("-c").arg(file);
        let served = Self(command.spawn().unwrap());
        let filter = format!("sport = :{PORT}");
        wait_until(|| !run(neighbour.inside("ss").args(["-ltnH", &filter])).is_empty());
        served
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A client that computes a digest over and over before it sends each piece.
const BUSY: &str = "
import hashlib, socket, sys, time
end = socket.create_connection((sys.argv[2], int(sys.argv[1])))
size, piece = 1_000_000, bytes(20_000)
end.sendall(b'PUT /busy HTTP/1.1\\r\\nHost: x\\r\\nContent-Length: %d\\r\\n\\r\\n' % size)
for _ in range(size // len(piece)):
    until = time.thread_time() + 0.02
    while time.thread_time() < until: hashlib.sha256(piece).digest()
    end.sendall(piece)
while b'\\r\\n\\r\\n' not in end.recv(4096): pass
end.close()
";

#[test]
fn a_client_that_its_cpu_limits() {
    let lab = Lab::new();
    let neighbour = lab.neighbour();
    let server = ends(neighbour.inside("python3"), "server", (PORT, "-"), "");
    let mut tracer = tracer(&lab);
    let mut python = lab.inside("python3");
    run(python.args(["-c", BUSY, &PORT.to_string(), Neighbour::ADDRESS]));
    server.end();
    tracer.wait_for_timelines(1);
    let trace = tracer.stop();
    let found = diagnosis(&trace);
    assert_eq!(found["verdict"], "client_application", "{found:#}");
    let ran_ms = number(&found["evidence"]["processor_ns"]) / 1_000_000;
    // 50 pieces of 20 ms each, a tick less or more.
    assert!((970..1200).contains(&ran_ms), "{ran_ms} ms");
    // On a busy machine, the thread waits for a CPU.
    if number(&found["wall_ns"]) < 1_150_000_000 {
        assert_named(found, "client_application", "cpu");
    }
}

/// In active mode, the server of FTP opens the connection that its client sends the file on.
#[test]
fn an_upload_in_active_mode_of_ftp() {
    let python = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("clients-python/bin/python");
    if !python.exists() {
        skip("this machine has no pyftpdlib; `cargo xtask test` installs it");
        return;
    }
    let lab = Lab::new();
    let stored = lab.dir.path().join("stored");
    fs::create_dir(&stored).unwrap();
    let server = Script::start_with(
        lab.inside(python),
        include_str!("../clients/ftp_server.py"),
        &[&PORT.to_string(), stored.to_str().unwrap()],
    );
    let ports = [PORT, BEHIND].map(|port| port.to_string());
    let filter = ["-o", "ndjson", "--port", &ports[0], "--port", &ports[1]];
    let mut tracer = lab.tracer_alone(&filter);
    let file = lab.file("file", 1_500_000);
    let url = format!("ftp://127.0.0.1:{PORT}/");
    let listens = format!("127.0.0.1:{BEHIND}");
    upload_with(
        &lab,
        &["--ftp-port", &listens, "--limit-rate", "500k"],
        &file,
        &url,
    );
    tracer.wait_for_timelines(2);
    server.end();
    let trace = tracer.stop();
    let found = diagnosis(&trace);
    assert_eq!(found["verdict"], "client_application", "{found:#}");
    assert_eq!(found["sender"], "server");
    assert_says(
        found,
        "sentence",
        "The sender's process had nothing to send",
    );
}
