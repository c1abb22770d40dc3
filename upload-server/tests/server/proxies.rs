//! The server behind nginx, HAProxy and Caddy: with the configurations in `docs/proxies/`, and with those
//! that people begin with (`tests/proxies/`). The proxies listen on an address of this process, the
//! clients come from another one.

mod events;
mod start;

use std::fs;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use upload_server::server::{History, Hosts, TrustedProxies};

use self::events::Events;
pub(crate) use self::start::in_front_of;
use self::start::{certify, configuration, haproxy, own_address, start_caddy, start_nginx};
use crate::{
    browser::drive,
    client::content,
    process::curl,
    programs::{node_package, run, script},
    test_server::TestServer,
};

const HOST: &str = "files.example";

/// Where the clients come from, as far as they can be told to.
const CLIENT: &str = "127.0.0.9";

/// One way to the server.
struct Front {
    name: &'static str,
    /// With a slash at the end.
    url: String,
    /// The proxy reports the client, and takes files of any size.
    reports: bool,
}

/// Two servers, one that trusts the proxies and one that does not, and the proxies in front of them.
struct Proxied {
    trusting: TestServer,
    other: TestServer,
    fronts: Vec<Front>,
    /// The address on which the proxies listen.
    ip: String,
    root: TempDir,
    _proxies: Vec<Child>,
}

/// The proxy's program, its configuration, the scheme and the path. Those in `docs/` come first.
const FRONTS: [(&str, &str, &str, &str); 11] = [
    ("nginx", "docs/proxies/nginx.conf", "http", "/"),
    ("nginx", "docs/proxies/nginx-tls.conf", "https", "/"),
    ("nginx", "docs/proxies/nginx-path.conf", "http", "/upload/"),
    ("haproxy", "docs/proxies/haproxy.cfg", "http", "/"),
    (
        "haproxy",
        "docs/proxies/haproxy-path.cfg",
        "http",
        "/upload/",
    ),
    ("caddy", "docs/proxies/Caddyfile", "http", "/"),
    ("caddy", "docs/proxies/Caddyfile-path", "http", "/upload/"),
    ("nginx", "tests/proxies/nginx-defaults.conf", "http", "/"),
    ("nginx", "tests/proxies/nginx-host.conf", "http", "/"),
    (
        "nginx",
        "tests/proxies/nginx-plain-path.conf",
        "http",
        "/upload/",
    ),
    (
        "nginx",
        "tests/proxies/nginx-no-slash.conf",
        "http",
        "/upload/",
    ),
];

impl Proxied {
    async fn start(test: u8) -> Self {
        let root = tempfile::tempdir().unwrap();
        let history = |name: &str| {
            let directory = root.path().join(name);
            fs::create_dir(&directory).unwrap();
            Some(History::open(&directory, 1_000, false).unwrap())
        };
        let hosts = Hosts::new([HOST.to_owned()]);
        let trusting = TestServer::start_with(|config| {
            config.access.hosts = hosts.clone();
            config.access.proxies = TrustedProxies::new(["127.0.0.1/32".parse().unwrap()]);
            config.history = history("trusting");
        });
        let other = TestServer::start_with(|config| {
            config.access.hosts = hosts.clone();
            config.history = history("other");
        });
        let (trusting, other) = (trusting.await, other.await);
        let ip = own_address(test);
        certify(root.path());

        let (mut fronts, mut nginx, mut caddy) = (Vec::new(), String::new(), String::new());
        let mut proxies = Vec::new();
        for ((program, file, scheme, path), port) in FRONTS.into_iter().zip(8081_u16..) {
            let reports = file.starts_with("docs/");
            let server = if reports { &trusting } else { &other };
            let text = configuration(file, server.address, &format!("{ip}:{port}"), root.path());
            match program {
                "nginx" => nginx += &text,
                "caddy" => caddy += &text,
                _ => proxies.push(haproxy(&text, port, root.path()).await),
            }
            fronts.push(Front {
                name: file,
                url: format!("{scheme}://{HOST}:{port}{path}"),
                reports,
            });
        }
        proxies.push(start_nginx(&nginx, root.path()).await);
        proxies.push(start_caddy(&caddy, root.path()).await);
        Self {
            trusting,
            other,
            fronts,
            ip,
            root,
            _proxies: proxies,
        }
    }

    fn server(&self, front: &Front) -> &TestServer {
        if front.reports {
            &self.trusting
        } else {
            &self.other
        }
    }

    /// Curl from the client's address, which knows the proxies' name and certificate.
    fn curl(&self) -> Command {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--interface", CLIENT])
            .arg("--connect-to")
            .arg(format!("{HOST}::{}:", self.ip))
            .arg("--cacert")
            .arg(self.root.path().join("certificate.pem"))
            .kill_on_drop(true);
        curl
    }

    fn write(&self, name: &str, bytes: usize) -> String {
        let path = self.root.path().join(name);
        fs::write(&path, content(bytes)).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

/// The records of the control socket's history, by name.
async fn history(server: &TestServer) -> Vec<Value> {
    let control = server.control();
    let socket = ["--silent", "--unix-socket", control.to_str().unwrap()];
    let output = curl(&[&socket[..], &["http://control/history"]].concat()).await;
    let lines = String::from_utf8(output.stdout).unwrap();
    let records = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    records
        .map(|mut line: Value| line["upload"].take())
        .collect()
}

#[tokio::test]
async fn curl_uploads_and_reads_through_each_proxy() {
    let proxied = Proxied::start(1).await;
    // Characters that proxies decode and encode again.
    let sent = proxied.write("näïve %25 #1?&+=;@.bin", 700_000);
    for (front, number) in proxied.fronts.iter().zip(1..) {
        let mut events = Events::open(&proxied, front).await;
        let server = proxied.server(front);
        let url = &front.url;
        let origin = url.split('/').take(3).collect::<Vec<_>>().join("/");

        let file = format!("n%C3%A4%C3%AFve%20%2525%20%231%3F%26%2B%3D%3B%40-{number}.bin");
        let mut put = proxied.curl();
        put.args([
            "--fail",
            "-D",
            "-",
            "-H",
            &format!("Origin: {origin}"),
            "-T",
            &sent,
        ]);
        let answer = run(put.arg(format!("{url}{file}"))).await;
        let (head, body) = answer.rsplit_once("\r\n\r\n").unwrap();
        let receipt: Value = serde_json::from_str(body).unwrap();
        let name = format!("näïve %25 #1?&+=;@-{number}.bin");
        assert_eq!(receipt["name"], json!(name), "{}", front.name);
        assert!(fs::read(server.path(&name)).unwrap() == content(700_000));

        // The record has the client's address where the proxy reports it.
        let upload = events.next("upload").await;
        assert_eq!(upload["id"], receipt["id"], "{}", front.name);
        let client = if front.reports {
            json!(CLIENT)
        } else {
            Value::Null
        };
        assert_eq!(upload["forwarded_for"], client, "{}", front.name);
        let past = history(server).await;
        assert_eq!(past[0]["forwarded_for"], client, "{}", front.name);
        assert!(
            past[0]["client"]
                .as_str()
                .unwrap()
                .starts_with("127.0.0.1:")
        );

        // Addresses lead back through the proxy: those of the fields, and of the pages.
        let field = |name: &str| {
            let mut lines = head.lines().filter_map(|line| line.split_once(": "));
            let (_, value) = lines
                .find(|(found, _)| found.eq_ignore_ascii_case(name))
                .unwrap();
            value.to_owned()
        };
        let (id, path) = (receipt["id"].as_str().unwrap(), &url[origin.len()..]);
        let known_prefix = if front.reports && path != "/" {
            path
        } else {
            ""
        };
        let link = format!("<{known_prefix}t/{id}>; rel=\"describedby\"");
        assert_eq!(field("link"), link, "{}", front.name);
        assert!(field("location").starts_with("files/n"), "{}", front.name);
        let timeline = format!("{}/t/{id}", known_prefix.trim_end_matches('/'));
        assert_eq!(receipt["timeline"], json!(timeline), "{}", front.name);

        let mut get = proxied.curl();
        get.args([
            "--fail",
            &format!("{url}t/{id}"),
            &format!("{url}files/{file}?x"),
        ]);
        get.args(["-o", "-", "-o"])
            .arg(proxied.root.path().join("back"));
        let page = run(&mut get).await;
        assert!(fs::read(proxied.root.path().join("back")).unwrap() == content(700_000));
        let from = format!("from {CLIENT}, through the proxy 127.0.0.1:");
        assert_eq!(
            page.contains(&from),
            front.reports,
            "{}: {page}",
            front.name
        );
        let known = page.split("href=\"").chain(page.split("src=\"")).skip(1);
        let known = known.filter_map(|rest| rest.split('"').next());
        for address in known.filter(|address| !address.starts_with(['#', '<'])) {
            let inside = if address.starts_with('/') {
                front.reports && address.starts_with(path)
            } else {
                !address.starts_with("../..") && !address.contains("://")
            };
            assert!(inside, "{}: {address}", front.name);
        }

        // A form, as a browser without a script sends it. It is redirected to the page.
        let mut form = proxied.curl();
        form.args([
            "--fail",
            "-L",
            "-H",
            &format!("Origin: {origin}"),
            "-H",
            "Accept: text/html",
        ]);
        let form = form
            .arg("-F")
            .arg(format!("file=@\"{sent}\";filename=form-{number}"));
        assert!(
            run(form.arg(url))
                .await
                .contains(&format!(">form-{number}</a>"))
        );

        // An evil site's form, and a page that has another port.
        for evil in ["http://evil.example", "null", "http://files.example:9"] {
            let mut form = proxied.curl();
            form.args([
                "-o",
                "-",
                "-w",
                "%{http_code}",
                "-H",
                &format!("Origin: {evil}"),
            ]);
            let answer = run(form.args(["-F", "file=evil;filename=evil", url])).await;
            // Without the port, another port of the same name cannot be told from its own.
            let taken = evil.ends_with(":9") && !front.reports;
            let status = if taken { "201" } else { "403" };
            assert!(answer.ends_with(status), "{} {evil}: {answer}", front.name);
        }
    }
}

#[tokio::test]
async fn tus_js_client_uploads_through_each_proxy() {
    let proxied = Proxied::start(2).await;
    let sent = proxied.write("sent.bin", 2_500_000);
    let endpoints = proxied.fronts.iter().zip(1..);
    let endpoints = endpoints.map(|(front, number)| {
        // By default, nginx takes no more than 1 MiB in a request.
        let chunk = if front.reports { json!(null) } else { json!(1_000_000) };
        json!({"endpoint": format!("{}tus/", front.url), "name": number.to_string(), "chunk": chunk})
    });
    let mut client = Command::new("node");
    client
        .arg(script("server/proxies_tus.mjs"))
        .arg(node_package("tus-js-client"))
        .args([&sent, &proxied.ip, CLIENT])
        .arg(Value::from_iter(endpoints).to_string())
        .env(
            "NODE_EXTRA_CA_CERTS",
            proxied.root.path().join("certificate.pem"),
        );
    run(&mut client).await;
    for (front, number) in proxied.fronts.iter().zip(1..) {
        let server = proxied.server(front);
        let stored = fs::read(server.path(number.to_string())).unwrap();
        assert!(stored == content(2_500_000), "{}", front.name);
        let past = history(server).await;
        let name = json!(number.to_string());
        let record = past.iter().find(|record| record["name"] == name).unwrap();
        let client = if front.reports {
            json!(CLIENT)
        } else {
            Value::Null
        };
        assert_eq!(record["forwarded_for"], client, "{}", front.name);
        let parts = record["connections"].as_array().unwrap();
        assert_eq!(
            parts.len(),
            if front.reports { 1 } else { 3 },
            "{}",
            front.name
        );
        assert!(parts.iter().all(|part| part["forwarded_for"] == client));
    }
}

#[tokio::test]
async fn the_page_works_through_each_proxy() {
    let proxied = Proxied::start(3).await;
    let fronts = proxied.fronts.iter();
    // The addresses of tus lead astray the most easily beneath a path.
    let large = |front: &Front| front.reports && front.url.ends_with("/upload/");
    // Without the slash, the address is redirected, or the server knows the path.
    let without_slash =
        |front: &Front| front.url.ends_with("/upload/") && !front.name.contains("no-slash");
    let fronts = fronts.map(|front| {
        json!({"url": front.url, "large": large(front), "withoutSlash": without_slash(front)})
    });
    let table = json!({"ip": proxied.ip, "fronts": Value::from_iter(fronts)}).to_string();
    let files = tempfile::tempdir().unwrap();
    drive("browser/proxies.mjs", files.path(), &[&table]).await;
    for (front, number) in proxied.fronts.iter().zip(0..) {
        let server = proxied.server(front);
        let bytes = |name: String| fs::metadata(server.path(name)).ok().map(|file| file.len());
        assert_eq!(
            bytes(format!("small-{number}.bin")),
            Some(5_000),
            "{}",
            front.name
        );
        let large = large(front).then_some(17_000_000);
        assert_eq!(
            bytes(format!("large-{number}.bin")),
            large,
            "{}",
            front.name
        );
    }
}
