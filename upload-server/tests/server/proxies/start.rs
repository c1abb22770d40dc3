//! Starts nginx, HAProxy and Caddy in front of a server.

use std::{fs, net::SocketAddr, path::Path, process::Stdio};

use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

use super::HOST;
use crate::test_server::within_limit;

/// nginx and HAProxy in front of a server, until they are dropped.
pub(crate) async fn in_front_of(
    server: SocketAddr,
    test: u8,
    root: &Path,
) -> ([SocketAddr; 2], [Child; 2]) {
    let addresses = [8081, 8082].map(|port| format!("{}:{port}", own_address(test)));
    let [first, second] = &addresses;
    let nginx = configuration("docs/proxies/nginx.conf", server, first, root);
    let nginx = start_nginx(&nginx, root).await;
    let text = configuration("docs/proxies/haproxy.cfg", server, second, root);
    let haproxy = haproxy(&text, 8082, root).await;
    (
        addresses.map(|address| address.parse().unwrap()),
        [nginx, haproxy],
    )
}

/// Each test has a number, and so an address of its own, on which nothing else listens.
pub(super) fn own_address(test: u8) -> String {
    let [.., high, low] = std::process::id().to_be_bytes();
    format!("127.{}.{high}.{low}", 100 + test)
}

/// A certificate for the host's name.
pub(super) fn certify(root: &Path) {
    let made = rcgen::generate_simple_self_signed([HOST.to_owned()]).unwrap();
    fs::write(root.join("certificate.pem"), made.cert.pem()).unwrap();
    fs::write(root.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
}

/// The text of a configuration, with these addresses in place of its own.
pub(super) fn configuration(file: &str, server: SocketAddr, front: &str, root: &Path) -> String {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
    let (ip, port) = front.split_once(':').unwrap();
    let root = root.display();
    let replacements = [
        ("listen 80;", format!("listen {front};")),
        ("listen 443 ssl;", format!("listen {front} ssl;")),
        (
            "/etc/ssl/files.example/fullchain.pem",
            format!("{root}/certificate.pem"),
        ),
        (
            "/etc/ssl/files.example/privkey.pem",
            format!("{root}/key.pem"),
        ),
        ("bind :80", format!("bind {front}")),
        (
            "http://files.example {",
            format!("http://files.example:{port} {{\nbind {ip}"),
        ),
        ("127.0.0.1:5000", server.to_string()),
    ];
    let adapted = replacements
        .iter()
        .fold(text.clone(), |text, (from, to)| text.replace(from, to));
    assert!(
        adapted.contains(&server.to_string()) && adapted.contains(ip),
        "{adapted}"
    );
    adapted
}

pub(super) async fn start_nginx(servers: &str, root: &Path) -> Child {
    let at = root.display();
    let paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let paths = paths
        .map(|name| format!("{name}_temp_path {at}/{name};\n"))
        .concat();
    let text = format!(
        "daemon off; master_process off; pid {at}/nginx.pid; error_log stderr notice;\nevents {{}}\n\
         http {{ access_log off;\n{paths}{servers}}}\n"
    );
    let file = root.join("nginx.conf");
    fs::write(&file, text).unwrap();
    let mut nginx = Command::new("nginx");
    nginx.arg("-p").arg(root).arg("-c").arg(file);
    started(&mut nginx, "using the \"epoll\" event method").await
}

pub(super) async fn haproxy(text: &str, port: u16, root: &Path) -> Child {
    let file = root.join(format!("haproxy-{port}.cfg"));
    fs::write(&file, text).unwrap();
    let mut haproxy = Command::new("haproxy");
    haproxy.args(["-W", "-f"]).arg(file);
    started(&mut haproxy, "Loading success").await
}

pub(super) async fn start_caddy(sites: &str, root: &Path) -> Child {
    let file = root.join("Caddyfile");
    fs::write(&file, format!("{{\nadmin off\n}}\n{sites}")).unwrap();
    let mut caddy = Command::new("caddy");
    caddy
        .args(["run", "--adapter", "caddyfile", "--config"])
        .arg(file);
    for home in ["HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"] {
        caddy.env(home, root);
    }
    started(&mut caddy, "serving initial configuration").await
}

/// A proxy, once it has reported that it listens.
async fn started(command: &mut Command, sign: &str) -> Child {
    let mut child = command
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut seen = String::new();
    while !seen.contains(sign) {
        let line = within_limit(lines.next_line()).await.unwrap();
        let line = line.unwrap_or_else(|| panic!("{command:?} has ended: {seen}"));
        seen = seen + &line + "\n";
    }
    // A proxy that cannot write its log may stop.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    child
}
