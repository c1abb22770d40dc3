//! Uploads that reach the server through proxies: the connection in front of the server's, by the port that
//! each client had, and nothing else.

use std::{
    collections::HashMap,
    fs,
    process::{Child, Command, Stdio},
    thread,
};

use serde_json::Value;

use crate::{
    clients::is_there,
    lab::{Lab, is_emulated, run, skip, wait_until},
    trace::{Trace, number},
};

/// Where clients connect, and where a proxy between may be.
pub(crate) const FRONT: u16 = 443;
pub(crate) const BETWEEN: u16 = 8080;
pub(crate) const SERVER: u16 = 5000;

/// A proxy in the test's namespace; ends with the test.
pub(crate) struct Proxy(Child);

impl Proxy {
    /// nginx on a port, with options of `listen` and of `location`, in front of another port.
    pub(crate) fn nginx(lab: &Lab, (listen, to): (u16, u16), tls: bool, options: &str) -> Self {
        let to = format!("127.0.0.1:{to}");
        let inside = |program: &str| lab.inside(program);
        Self::nginx_inside(lab, inside, (listen, &to), tls, options)
    }

    /// The same in whatever namespace, in front of whatever address.
    pub(crate) fn nginx_inside(
        lab: &Lab,
        inside: impl Fn(&str) -> Command,
        (listen, to): (u16, &str),
        tls: bool,
        options: &str,
    ) -> Self {
        let upstreams = format!("upstream behind {{ server {to}; keepalive 8; }}");
        let locations = format!(
            "location / {{ proxy_pass http://behind;\n\
             proxy_http_version 1.1; proxy_set_header Host localhost; {options} }}"
        );
        Self::nginx_with(lab, inside, (listen, tls), (&upstreams, &locations))
    }

    /// nginx on a port, with these upstreams and locations.
    pub(crate) fn nginx_with(
        lab: &Lab,
        inside: impl Fn(&str) -> Command,
        (listen, tls): (u16, bool),
        (upstreams, locations): (&str, &str),
    ) -> Self {
        let dir = lab.dir.path().join(listen.to_string());
        fs::create_dir(&dir).unwrap();
        let place = dir.display();
        let ssl = match tls {
            true => {
                run(inside("openssl").current_dir(&dir).args([
                    "req",
                    "-x509",
                    "-newkey",
                    "rsa:2048",
                    "-nodes",
                    "-days",
                    "2",
                    "-subj",
                    "/CN=localhost",
                    "-keyout",
                    "key",
                    "-out",
                    "certificate",
                ]));
                format!("ssl; ssl_certificate {place}/certificate; ssl_certificate_key {place}/key")
            }
            false => String::new(),
        };
        let config = format!(
            "user root; daemon off; master_process off; pid {place}/pid; error_log stderr; events {{}}\n\
             http {{ access_log off; client_max_body_size 0; client_body_temp_path {place}/body;\n\
             {upstreams}\n\
             server {{ listen {listen} {ssl};\n{locations} }} }}\n"
        );
        let file = dir.join("nginx.conf");
        fs::write(&file, config).unwrap();
        let mut command = inside("nginx");
        command.arg("-p").arg(&dir).arg("-c").arg(file);
        Self(command.spawn().unwrap()).once_it_listens(inside, listen)
    }

    pub(crate) fn haproxy(lab: &Lab) -> Self {
        let file = lab.dir.path().join("haproxy.cfg");
        let config = format!(
            "defaults\n mode http\n timeout connect 9s\n timeout client 99s\n timeout server 99s\n\
             listen proxy\n bind 127.0.0.1:{FRONT}\n server behind 127.0.0.1:{SERVER}\n"
        );
        fs::write(&file, config).unwrap();
        let mut command = lab.inside("haproxy");
        command.args(["-db", "-q", "-f"]).arg(file);
        Self(command.spawn().unwrap()).once_it_listens(|program| lab.inside(program), FRONT)
    }

    fn caddy(lab: &Lab) -> Self {
        let file = lab.dir.path().join("Caddyfile");
        let config = format!(
            "{{\n admin off\n auto_https off\n}}\n:{FRONT} {{\n reverse_proxy 127.0.0.1:{SERVER} {{\n\
             header_up Host localhost\n }}\n}}\n"
        );
        fs::write(&file, config).unwrap();
        let mut command = lab.inside("caddy");
        command.env("HOME", lab.dir.path());
        command.args(["run", "--adapter", "caddyfile", "--config"]);
        command.arg(file).stderr(Stdio::null());
        Self(command.spawn().unwrap()).once_it_listens(|program| lab.inside(program), FRONT)
    }

    fn once_it_listens(self, inside: impl Fn(&str) -> Command, port: u16) -> Self {
        let filter = format!("sport = :{port}");
        wait_until(|| !run(inside("ss").args(["-ltnH", &filter])).is_empty());
        self
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Uploads files, so many at the same time. Returns the port of the client of each, by name.
pub(crate) fn upload(lab: &Lab, count: usize, at_once: usize, tls: bool) -> HashMap<String, u64> {
    let scheme = if tls { "https" } else { "http" };
    upload_to(
        lab,
        count,
        at_once,
        &format!("{scheme}://localhost:{FRONT}"),
    )
}

/// The same to a front at whatever address.
pub(crate) fn upload_to(
    lab: &Lab,
    count: usize,
    at_once: usize,
    front: &str,
) -> HashMap<String, u64> {
    let sizes = [1_000, 30_000, 500_000, 2_000_000];
    let files = sizes.map(|size| lab.file(&size.to_string(), size));
    let one = |number: usize| {
        let file = files[number % files.len()].to_str().unwrap();
        let url = format!("{front}/file-{number}");
        let written = lab.curl(&[
            "-k",
            "-f",
            "-o",
            "/dev/null",
            "-w",
            "%{local_port}",
            "-T",
            file,
            &url,
        ]);
        assert!(written.status.success(), "{written:?}");
        let port = String::from_utf8(written.stdout).unwrap();
        (format!("file-{number}"), port.parse().unwrap())
    };
    let numbers: Vec<usize> = (0..count).collect();
    let mut ports = HashMap::new();
    for some in numbers.chunks(at_once) {
        thread::scope(|scope| {
            let running: Vec<_> = some
                .iter()
                .map(|number| scope.spawn(|| one(*number)))
                .collect();
            ports.extend(running.into_iter().map(|one| one.join().unwrap()));
        });
    }
    ports
}

/// The uploads of the server's own connections.
pub(crate) fn uploads(trace: &Trace) -> Vec<&Value> {
    let timelines = trace.timelines().into_iter();
    timelines
        .filter(|timeline| timeline["server"]["port"] == SERVER)
        .flat_map(|timeline| timeline["uploads"].as_array().unwrap())
        .collect()
}

/// How many uploads have their hops: `hops` of them, and the first is the client's own.
fn joined(trace: &Trace, ports: &HashMap<String, u64>, hops: usize) -> usize {
    let uploads = uploads(trace);
    assert_eq!(uploads.len(), ports.len());
    let found = uploads
        .into_iter()
        .filter(|upload| upload["hops"] != Value::Null);
    found
        .inspect(|upload| {
            let chain = upload["hops"].as_array().unwrap();
            assert_eq!(chain.len(), hops, "{upload:#}");
            let port = ports[upload["name"].as_str().unwrap()];
            assert_eq!(number(&chain[0]["client"]["port"]), port, "{upload:#}");
            assert_eq!(chain[0]["client"]["comm"], "curl");
            assert_eq!(chain[hops - 1]["server"]["port"], SERVER);
        })
        .count()
}

pub(crate) fn is_skipped(program: &str) -> bool {
    let is_skipped = is_emulated() || !is_there(program);
    if is_skipped {
        skip(&format!("this machine has no {program}"));
    }
    is_skipped
}

/// Through these proxies; returns what the tracer found.
fn trace(lab: &Lab, count: usize, at_once: usize, tls: bool) -> (Trace, HashMap<String, u64>) {
    let ports = [SERVER, BETWEEN, FRONT].map(|port| port.to_string());
    let ports: Vec<&str> = ports.iter().flat_map(|port| ["--port", port]).collect();
    let mut tracer = lab.tracer(&ports);
    let clients = upload(lab, count, at_once, tls);
    tracer.wait_for("upload", count);
    (tracer.stop(), clients)
}

/// One after the other, each is joined.
#[test]
fn one_after_the_other() {
    if is_skipped("nginx") || is_skipped("haproxy") {
        return;
    }
    for proxy in [
        |lab: &Lab| Proxy::nginx(lab, (FRONT, SERVER), false, ""),
        Proxy::haproxy,
    ] {
        let lab = Lab::new();
        let server = lab.server(&[]);
        let proxy = proxy(&lab);
        let (trace, clients) = trace(&lab, 12, 1, false);
        drop(proxy);
        server.stop();
        assert_eq!(joined(&trace, &clients, 2), clients.len());
    }
}

/// Many at the same time, over connections to the server that are kept: none is joined with another's, and most
/// are.
#[test]
fn at_the_same_time() {
    if is_skipped("nginx") {
        return;
    }
    let lab = Lab::new();
    let server = lab.server(&[]);
    let options = "proxy_set_header Connection '';";
    let proxy = Proxy::nginx(&lab, (FRONT, SERVER), true, options);
    let (trace, clients) = trace(&lab, 40, 20, true);
    drop(proxy);
    server.stop();
    let joined = joined(&trace, &clients, 2);
    assert!(
        joined * 4 >= clients.len() * 3,
        "{joined} of {}",
        clients.len()
    );
}

/// Threads that read from several clients before they send to the server.
#[test]
fn at_the_same_time_by_threads_that_read_ahead() {
    type Start = fn(&Lab) -> Proxy;
    let proxies: [(&str, Start); 2] = [("haproxy", Proxy::haproxy), ("caddy", Proxy::caddy)];
    for (program, proxy) in proxies {
        if is_skipped(program) {
            continue;
        }
        let lab = Lab::new();
        let server = lab.server(&[]);
        let proxy = proxy(&lab);
        let (trace, clients) = trace(&lab, 40, 20, false);
        drop(proxy);
        server.stop();
        let joined = joined(&trace, &clients, 2);
        let all = clients.len();
        assert!(joined * 20 >= all * 19, "{program}: {joined} of {all}");
    }
}

/// What happened and how the two connections belong together, from a recording.
#[test]
fn the_whole_way_in_words() {
    if is_skipped("nginx") {
        return;
    }
    let lab = Lab::new();
    let server = lab.server(&[]);
    let proxy = Proxy::nginx(&lab, (FRONT, SERVER), true, "");
    let recording = lab.dir.path().join("way.trace");
    let recording = recording.to_str().unwrap();
    let mut tracer = lab.tracer(&["record", recording, "--port", "443", "--port", "5000"]);
    upload(&lab, 3, 1, true);
    tracer.wait_for("upload", 3);
    tracer.stop();
    drop(proxy);
    server.stop();
    let replay = ["replay", "--explain", recording];
    let text = run(Command::new(env!("CARGO_BIN_EXE_tracer")).args(replay));
    let way = text
        .lines()
        .skip_while(|line| !line.contains("2 hops through nginx["));
    let way: Vec<&str> = way.collect();
    let mut rest = way.iter();
    for part in [
        "hop 1",
        "hop 2",
        "The upload went over 2 TCP connections: hop 1 from curl to nginx, hop 2 from nginx to upload-server.",
        "Each has its own three phases",
        "On hop 1, HTTP is within TLS",
        "TLS ends at nginx",
        "From hop 1 to hop 2: nginx received all of it before it passed anything on",
        "From the first byte of the request to the first byte of the response passed",
        "Hop 1 carried the same upload as hop 2 because a thread read from this connection",
        "That was observed.",
    ] {
        assert!(rest.any(|line| line.contains(part)), "{part}: {way:#?}");
    }
    // Each of the two connections has its own three phases.
    for port in [FRONT, SERVER] {
        let heading = format!("127.0.0.1:{port}");
        let mut lines = text
            .lines()
            .skip_while(|line| line.starts_with(' ') || !line.contains(&heading));
        for phase in ["initiation", "maintenance", "termination"] {
            let is_phase = |line: &str| line.trim_start().starts_with(phase);
            assert!(lines.any(is_phase), "{port}, {phase}: {text}");
        }
    }
}

/// A chain whose beginning is not known has no first hop: both proxies are named, or none.
#[test]
fn two_proxies_in_a_row() {
    if is_skipped("nginx") {
        return;
    }
    let lab = Lab::new();
    let server = lab.server(&[]);
    let between = Proxy::nginx(
        &lab,
        (BETWEEN, SERVER),
        false,
        "proxy_request_buffering off;",
    );
    let front = Proxy::nginx(&lab, (FRONT, BETWEEN), true, "");
    let (trace, clients) = trace(&lab, 12, 4, true);
    drop((front, between));
    server.stop();
    let joined = joined(&trace, &clients, 3);
    assert!(
        joined * 4 >= clients.len() * 3,
        "{joined} of {}",
        clients.len()
    );
}

/// nginx receives a slow upload before it passes anything on, or passes on what comes.
#[test]
fn buffered_or_streamed() {
    if is_skipped("nginx") {
        return;
    }
    for (options, how) in [
        ("", "buffered"),
        ("proxy_request_buffering off;", "streamed"),
    ] {
        let lab = Lab::new();
        let server = lab.server(&[]);
        let proxy = Proxy::nginx(&lab, (FRONT, SERVER), false, options);
        let mut tracer = lab.tracer(&["--port", "5000", "--port", "443"]);
        let file = lab.file("slow", 1_000_000);
        let file = file.to_str().unwrap();
        let url = format!("http://localhost:{FRONT}/slow");
        let slow = lab.curl(&["-f", "--limit-rate", "1M", "-T", file, &url]);
        assert!(slow.status.success(), "{slow:?}");
        tracer.wait_for("upload", 1);
        let trace = tracer.stop();
        drop(proxy);
        server.stop();
        let uploads = uploads(&trace);
        let [upload] = uploads.as_slice() else {
            panic!("{uploads:#?}");
        };
        let [front, back] = upload["hops"].as_array().unwrap().as_slice() else {
            panic!("{upload:#}");
        };
        assert_eq!(front["passed_on"], how, "{upload:#}");
        let (held, took) = (number(&front["held_ns"]), number(&front["request_ns"]));
        match how {
            "buffered" => assert!(held >= took, "{upload:#}"),
            _ => assert!(held * 4 < took, "{upload:#}"),
        }
        assert_eq!(back["passed_on"], Value::Null);
        assert!(front["share"].as_f64().unwrap() > 0.99);
    }
}
