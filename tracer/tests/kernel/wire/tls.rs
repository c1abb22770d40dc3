//! TLS as tshark reads it: server name, version, cipher suite, and the records of each end in order.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use super::check;
use crate::{
    lab::{Lab, run},
    trace::Trace,
};

#[test]
fn what_openssl_serves() {
    let lab = Lab::new();
    for version in ["1.2", "1.3"] {
        let server = TlsServer::start(&lab);
        let trace = check(&lab, TlsServer::PORT, 1, || {
            let port = TlsServer::PORT;
            fetch(&lab, version, &["--insecure"], "upload.example", port);
        });
        drop(server);
        compare(&lab, &trace, version, "upload.example", TlsServer::PORT);
    }
}

#[test]
fn an_upload_to_the_bundled_server() {
    let lab = Lab::new();
    let server = lab.server(&["--tls"]);
    let certificate = lab.state().join("certificate.pem");
    // Small enough that every record lies where it is looked at.
    let file = lab.file("file", 2_000);
    for version in ["1.2", "1.3"] {
        let trace = check(&lab, server.address.port(), 1, || {
            let certificate = certificate.to_str().unwrap();
            let upload = [
                "--cacert",
                certificate,
                "--upload-file",
                file.to_str().unwrap(),
            ];
            fetch(&lab, version, &upload, "localhost", server.address.port());
        });
        compare(&lab, &trace, version, "localhost", server.address.port());
    }
    server.stop();
}

fn fetch(lab: &Lab, version: &str, arguments: &[&str], host: &str, port: u16) {
    let resolve = format!("{host}:{port}:127.0.0.1");
    let url = format!("https://{host}:{port}/");
    let tls = [
        "--tlsv1.2",
        "--tls-max",
        version,
        "--resolve",
        &resolve,
        &url,
    ];
    let answer = lab.curl(&[arguments, &tls].concat());
    assert!(answer.status.success(), "{answer:?}");
}

fn compare(lab: &Lab, trace: &Trace, version: &str, host: &str, port: u16) {
    let tls = &trace.timelines()[0]["phases"][1]["tls"];
    let expected = tls_by_tshark(&lab.dir.path().join("capture.pcap"), port);
    assert_eq!(tls["server_name"], host);
    assert_eq!(tls["version"], format!("TLS {version}"));
    assert_eq!(tls["cipher_suite"], expected.cipher_suite);
    for (end, expected) in [("client", &expected.client), ("server", &expected.server)] {
        let records: Vec<&str> = tls["records"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|record| record["from"] == end)
            .map(|record| record["name"].as_str().unwrap())
            .collect();
        assert_eq!(&records, expected, "records of the {end}, TLS {version}");
    }
}

/// What tshark reads of one TLS connection.
#[derive(Default)]
struct TlsByTshark {
    cipher_suite: String,
    /// The types of the records of each end, in order.
    client: Vec<&'static str>,
    server: Vec<&'static str>,
}

fn tls_by_tshark(file: &Path, port: u16) -> TlsByTshark {
    const TYPES: [(&str, &str); 4] = [
        ("Handshake", "handshake"),
        ("Change Cipher Spec", "change_cipher_spec"),
        ("Application Data", "application_data"),
        ("Alert", "alert"),
    ];
    let text = run(Command::new("tshark").arg("-r").arg(file).args([
        "-d",
        &format!("tcp.port=={port},tls"),
        "-Y",
        "tls",
        "-O",
        "tls",
    ]));
    let mut found = TlsByTshark::default();
    let mut from_server = false;
    for line in text.lines() {
        if line.starts_with("Transmission Control Protocol") {
            from_server = line.contains(&format!("Src Port: {port}"));
        }
        if let Some((_, suite)) = line.split_once("Cipher Suite: ")
            && from_server
        {
            found.cipher_suite = suite.split(' ').next().unwrap().to_owned();
        }
        if let Some((_, record)) = line.split_once("Record Layer: ") {
            let (_, name) = TYPES
                .into_iter()
                .find(|(shown, _)| record.contains(shown))
                .unwrap_or_else(|| panic!("a record of no known type: {record}"));
            if from_server {
                found.server.push(name);
            } else {
                found.client.push(name);
            }
        }
    }
    found
}

/// `openssl s_server`, with a certificate made on the spot.
struct TlsServer {
    child: Child,
}

impl TlsServer {
    const PORT: u16 = 5443;

    fn start(lab: &Lab) -> Self {
        let (key, certificate) = (lab.dir.path().join("key"), lab.dir.path().join("cert"));
        run(Command::new("openssl")
            .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj"])
            .args(["/CN=upload.example", "-days", "1", "-keyout"])
            .arg(&key)
            .arg("-out")
            .arg(&certificate));
        let mut child = lab
            .inside("openssl")
            .args([
                "s_server",
                "-www",
                "-accept",
                &Self::PORT.to_string(),
                "-key",
            ])
            .arg(&key)
            .arg("-cert")
            .arg(&certificate)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(
            lines.any(|line| line.unwrap().contains("ACCEPT")),
            "openssl does not accept"
        );
        // It goes on writing.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child }
    }
}

impl Drop for TlsServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
