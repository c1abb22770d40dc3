//! HTTP in a capture, read whole: requests and responses as tshark reads them, bodies as long as what was sent.

use std::{
    io::{Read as _, Write as _},
    net::SocketAddr,
    path::Path,
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use super::{read, stop_after, trace_of};
use crate::{
    clients::is_there,
    lab::{Lab, run, skip, wait_until},
    trace::Trace,
    wire::Capture,
};

/// Of each exchange: method, target, status, bytes of the request's and of the response's body.
fn exchanges(trace: &Trace) -> Vec<Value> {
    let mut timelines = trace.timelines();
    timelines.sort_by_key(|timeline| {
        let name = timeline["connection"].as_str().unwrap();
        name.parse::<u64>().unwrap()
    });
    let exchanges = timelines
        .iter()
        .flat_map(|timeline| timeline["phases"][1]["exchanges"].as_array())
        .flatten();
    exchanges
        .map(|exchange| {
            let (request, response) = (&exchange["request"], &exchange["response"]);
            json!([
                request["method"],
                request["target"],
                response["status"],
                exchange["body"]["bytes"],
                response["bytes"]
            ])
        })
        .collect()
}

/// Names, bytes and outcomes of the uploads.
fn uploads(trace: &Trace) -> Vec<Value> {
    let uploads = trace
        .timelines()
        .into_iter()
        .flat_map(|timeline| timeline["uploads"].as_array().unwrap());
    uploads
        .map(|upload| json!([upload["name"], upload["bytes"], upload["outcome"]]))
        .collect()
}

/// What tshark has in these fields, one value a line, without empty ones.
fn by_tshark(file: &Path, filter: &str, field: &str) -> Vec<String> {
    let text = run(Command::new("tshark")
        .args(["-d", "tcp.port==5000,http", "-d", "tcp.port==5001,http"])
        .args([
            "-Y",
            filter,
            "-T",
            "fields",
            "-E",
            "occurrence=a",
            "-E",
            "aggregator=|",
        ])
        .args(["-e", field, "-r"])
        .arg(file));
    let values = text.lines().flat_map(|line| line.split('|'));
    values
        .filter(|value| !value.is_empty())
        .map(str::to_owned)
        .collect()
}

fn strings(exchanges: &[Value], place: usize) -> Vec<String> {
    exchanges
        .iter()
        .map(|exchange| match &exchange[place] {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        })
        .collect()
}

/// A server that curl and the others reach.
fn wait_for(lab: &Lab, url: &str) {
    wait_until(|| lab.curl(&["--output", "/dev/null", url]).status.success());
}

/// curl with the bundled server: several requests on a connection, chunks, a form with two files, requests behind
/// one another, `100 Continue`, and answers without a body.
#[test]
fn http_1_1_of_curl() {
    let lab = Lab::new();
    let server = lab.server(&[]);
    let small = lab.file("small", 1000);
    let small = small.to_str().unwrap();
    let large = lab.file("large", 300_000);
    let capture = Capture::start(&lab, "0");
    let both = [server.url("a"), server.url("b")];
    lab.curl(&[
        "-T",
        small,
        "-T",
        large.to_str().unwrap(),
        &both[0],
        &both[1],
    ]);
    lab.curl(&[
        "-H",
        "Transfer-Encoding: chunked",
        "-T",
        small,
        &server.url("c"),
    ]);
    let named = format!("two=@{small};filename=na\u{ef}ve \"x\".txt");
    lab.curl(&[
        "-F",
        "text=value",
        "-F",
        &format!("one=@{}", large.display()),
        "-F",
        &named,
        &server.url(""),
    ]);
    lab.curl(&["--head", &server.url("a")]);
    behind_one_another(&lab, server.address);
    let file = stop_after(capture, 5);
    server.stop();

    let output = read(&["-o", "ndjson"], &file);
    assert!(output.status.success(), "{output:?}");
    let trace = trace_of(&output);
    let found = exchanges(&trace);
    let is_final = "http.response && !(http.response.code == 100)";
    assert_eq!(
        strings(&found, 0),
        by_tshark(&file, "http.request", "http.request.method")
    );
    assert_eq!(
        strings(&found, 1),
        by_tshark(&file, "http.request", "http.request.uri")
    );
    assert_eq!(
        strings(&found, 2),
        by_tshark(&file, is_final, "http.response.code")
    );
    let bodies: Vec<&Value> = found.iter().map(|exchange| &exchange[3]).collect();
    let form = bodies[3].as_u64().unwrap();
    assert!((301_000..303_000).contains(&form), "{form}");
    let sent = [
        json!(1000),
        json!(300_000),
        json!(1000),
        json!(form),
        Value::Null,
        json!(3),
        json!(5),
        Value::Null,
    ];
    assert_eq!(bodies, sent.iter().collect::<Vec<_>>());
    assert_eq!(found[4][4], 0, "an answer to HEAD");
    assert_eq!(
        uploads(&trace),
        [
            json!(["a", 1000, "complete"]),
            json!(["b", 300_000, "complete"]),
            json!(["c", 1000, "complete"]),
            json!(["large", 300_000, "complete"]),
            json!(["na\u{ef}ve \"x\".txt", 1000, "complete"]),
            json!(["p", 3, "complete"]),
            json!(["q", 5, "complete"]),
        ]
    );
    let names = by_tshark(
        &file,
        "mime_multipart",
        "mime_multipart.header.content-disposition",
    );
    assert!(
        names.iter().any(|name| name.contains("filename=\"large\"")),
        "{names:?}"
    );
}

/// Three requests in one segment.
fn behind_one_another(lab: &Lab, address: SocketAddr) {
    let requests = format!(
        "PUT /p HTTP/1.1\r\nHost: {address}\r\nContent-Length: 3\r\n\r\nabc\
         PUT /q HTTP/1.1\r\nHost: {address}\r\nTransfer-Encoding: chunked\r\n\r\n\
         2\r\n12\r\n3;x\r\n345\r\n0\r\n\r\n\
         GET /none HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    );
    let script = "import socket, sys\n\
        s = socket.create_connection((sys.argv[1], int(sys.argv[2])))\n\
        s.sendall(sys.stdin.buffer.read())\n\
        while s.recv(65536): pass\n";
    let mut python = lab
        .inside("python3")
        .args([
            "-c",
            script,
            &address.ip().to_string(),
            &address.port().to_string(),
        ])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    python
        .stdin
        .take()
        .unwrap()
        .write_all(requests.as_bytes())
        .unwrap();
    assert!(python.wait().unwrap().success());
}

/// A server of HTTP/1.0, which ends a body by closing the connection.
#[test]
fn http_1_0_of_python() {
    let lab = Lab::new();
    lab.file("served", 70_000);
    let script = "import http.server, sys\n\
        class H(http.server.BaseHTTPRequestHandler):\n\
        \x20def do_GET(self):\n\
        \x20 self.send_response(200)\n\
        \x20 self.end_headers()\n\
        \x20 self.wfile.write(b'x' * 70000)\n\
        http.server.HTTPServer(('127.0.0.1', 5001), H).serve_forever()\n";
    let capture = Capture::start(&lab, "0");
    let mut python = lab
        .inside("python3")
        .args(["-c", script])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_for(&lab, "http://127.0.0.1:5001/one?x=1");
    wait_until(|| {
        let output = read(&["-o", "ndjson"], capture.file());
        String::from_utf8_lossy(&output.stdout).contains("\"how\":\"fin\"")
    });
    let file = capture.stop();
    python.kill().unwrap();
    python.wait().unwrap();
    let trace = trace_of(&read(&["-o", "ndjson"], &file));
    let found = exchanges(&trace);
    assert_eq!(found, [json!(["GET", "/one?x=1", 200, null, 70_000])]);
    let timeline = trace
        .timelines()
        .into_iter()
        .find(|timeline| timeline["phases"].as_array().unwrap().len() == 3)
        .unwrap();
    let response = &timeline["phases"][1]["exchanges"][0]["response"];
    assert_eq!(response["missing_end"], Value::Null);
    assert_eq!(
        by_tshark(&file, "http.response", "http.response.code"),
        ["200"]
    );
}

/// HTTP/2 with prior knowledge by curl, and many streams at the same time by h2load.
#[test]
fn http_2_with_prior_knowledge() {
    let lab = Lab::new();
    let server = lab.server(&["--http2"]);
    let file = lab.file("file", 100_000);
    let file = file.to_str().unwrap();
    let h2 = "--http2-prior-knowledge";
    let capture = Capture::start(&lab, "0");
    lab.curl(&[h2, "-T", file, &server.url("a")]);
    lab.curl(&[h2, "-T", file, &server.url("b")]);
    lab.curl(&[
        h2,
        "-F",
        &format!("f=@{file};filename=c.bin"),
        &server.url(""),
    ]);
    let mut connections = 3;
    if is_there("h2load") {
        let mut h2load = lab.inside("h2load");
        run(h2load
            .args(["-n", "40", "-c", "1", "-m", "10"])
            .arg(server.url("nothing")));
        connections += 1;
    } else {
        skip("this machine has no h2load; `cargo xtask test` installs it");
    }
    let captured = stop_after(capture, connections);
    server.stop();
    let trace = trace_of(&read(&["-o", "ndjson"], &captured));
    let found = exchanges(&trace);
    let by_tshark = |field| {
        let text = run(Command::new("tshark")
            .args(["-d", "tcp.port==5000,http2", "-Y", "http2", "-T", "fields"])
            .args(["-E", "aggregator=|", "-e", field, "-r"])
            .arg(&captured));
        let mut values: Vec<String> = text
            .lines()
            .flat_map(|line| line.split('|'))
            .filter(|value| !value.is_empty())
            .map(str::to_owned)
            .collect();
        values.sort();
        values
    };
    let sorted = |place| {
        let mut values = strings(&found, place);
        values.sort();
        values
    };
    assert_eq!(sorted(0), by_tshark("http2.headers.method"));
    assert_eq!(sorted(1), by_tshark("http2.headers.path"));
    assert_eq!(sorted(2), by_tshark("http2.headers.status"));
    assert_eq!(
        uploads(&trace),
        [
            json!(["a", 100_000, "complete"]),
            json!(["b", 100_000, "complete"]),
            json!(["c.bin", 100_000, "complete"]),
        ]
    );
    assert!(
        trace
            .timelines()
            .iter()
            .all(|timeline| timeline["complete"] == true)
    );
}

/// A client that breaks off, and a server that does.
#[test]
fn ends_that_are_missing() {
    let lab = Lab::new();
    let server = lab.server(&[]);
    let capture = Capture::start(&lab, "0");
    let script = "import socket, sys\n\
        s = socket.create_connection((sys.argv[1], int(sys.argv[2])))\n\
        s.sendall(b'PUT /cut HTTP/1.1\\r\\nHost: h\\r\\nContent-Length: 100\\r\\n\\r\\nfour')\n\
        s.shutdown(socket.SHUT_WR)\n\
        while s.recv(65536): pass\n";
    let address = server.address;
    let mut python = lab.inside("python3");
    python.args([
        "-c",
        script,
        &address.ip().to_string(),
        &address.port().to_string(),
    ]);
    assert!(python.status().unwrap().success());
    let file = stop_after(capture, 1);
    server.stop();
    let trace = trace_of(&read(&["-o", "ndjson"], &file));
    let body = &trace.timelines()[0]["phases"][1]["exchanges"][0]["body"];
    assert_eq!(
        (&body["bytes"], &body["missing_end"]),
        (&json!(4), &json!("closed"))
    );
    // The capture ends in the middle of the body.
    let mut bytes = Vec::new();
    std::fs::File::open(&file)
        .unwrap()
        .read_to_end(&mut bytes)
        .unwrap();
    let mut at = 24;
    for _ in 0..4 {
        let length: [u8; 4] = bytes[at + 8..at + 12].try_into().unwrap();
        at += 16 + usize::try_from(u32::from_le_bytes(length)).unwrap();
    }
    std::fs::write(&file, &bytes[..at]).unwrap();
    let trace = trace_of(&read(&["-o", "ndjson"], &file));
    let body = &trace.timelines()[0]["phases"][1]["exchanges"][0]["body"];
    assert_eq!(
        (&body["bytes"], &body["missing_end"]),
        (&json!(4), &json!("capture ended"))
    );
}
