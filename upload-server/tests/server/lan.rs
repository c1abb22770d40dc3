//! A machine in a LAN, and the phones beside it: addresses that can be typed, a QR code, a token, and
//! a certificate for those addresses.

use std::{
    fs::{self, File},
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
};

use rqrr::{Grid, SimpleGrid};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::Command;

use crate::{
    client::Client,
    feed::Feed,
    process::{PROGRAM, Running, control, curl, refusal, refusal_and_status, stderr, tempdir},
    programs::run,
};

/// The server in a network namespace with these addresses, as a host of this name.
pub(crate) fn on_host(name: &str, addresses: &[&str]) -> Command {
    prepared("true", name, addresses)
}

/// The same after a further command.
fn prepared(further: &str, name: &str, addresses: &[&str]) -> Command {
    let add: String = addresses
        .iter()
        .map(|address| format!("ip address add {address} dev lan0 nodad\n"))
        .collect();
    // The kernel sets an interface to running a moment after it is up.
    let script = format!(
        "set -e\nhostname {name}\nip link set lo up\nip link add lan0 type veth peer name lan1\n\
         {add}ip link set lan0 up\nip link set lan1 up\n\
         until ip link show lan0 | grep -q 'state UP'; do :; done\n{further}\nexec \"$0\" \"$@\""
    );
    let mut command = Command::new("unshare");
    command
        .args(["--map-root-user", "--net", "--uts", "sh", "-c"])
        .args([&script, PROGRAM]);
    command
}

/// curl within the server's network namespace.
pub(crate) async fn curl_beside(server: &Running, arguments: &[&str]) -> String {
    let mut command = Command::new("nsenter");
    command
        .args(["--user", "--preserve-credentials", "--net", "--target"])
        .arg(server.pid().to_string())
        .args(["curl", "-sS", "--fail", "--max-time", "10"])
        .args(arguments);
    run(&mut command).await
}

fn line(root: &Path, part: &str) -> Option<String> {
    let log = stderr(root);
    log.lines()
        .find(|line| line.contains(part))
        .map(str::to_owned)
}

#[tokio::test]
async fn the_addresses_can_be_typed_and_the_certificate_has_them() {
    let root = tempdir();
    let file = root.path().join("cat.png");
    fs::write(&file, "cat").unwrap();
    let start = async |addresses: &[&str]| {
        let mut command = on_host("shelf", addresses);
        command.args(["--listen", ":0", "--tls", "--public"]);
        Running::start_as(command, root.path()).await
    };
    let both = ["192.0.2.7/24", "fd00::7/64"];
    let server = start(&both).await;
    let port = server.address.port();
    assert_eq!(
        line(root.path(), "other machines:").unwrap(),
        format!(
            "upload-server addresses for other machines: https://192.0.2.7:{port}/ and \
             https://[fd00::7]:{port}/"
        )
    );
    assert_eq!(line(root.path(), "the certificate is new"), None);
    let certificate = root.path().join("state/certificate.pem");
    let certificate = certificate.to_str().unwrap();
    for host in [
        "192.0.2.7",
        "[fd00::7]",
        "127.0.0.1",
        "[::1]",
        "localhost",
        "shelf",
        "shelf.local",
    ] {
        let url = format!("https://{host}:{port}/cat.png");
        let found = format!("{host}:{port}:192.0.2.7");
        let mut arguments = vec!["--cacert", certificate, "-T", file.to_str().unwrap(), &url];
        if host.starts_with("shelf") {
            arguments.extend(["--resolve", &found]);
        }
        let stored = curl_beside(&server, &arguments).await;
        assert!(stored.contains("cat"), "{host}: {stored}");
    }
    server.stop_with(Signal::TERM).await;

    // A network that the certificate is not for.
    let first = fs::read_to_string(certificate).unwrap();
    let server = start(&["198.51.100.7/24"]).await;
    let why = line(root.path(), "the certificate is new").unwrap();
    assert!(why.contains("was not valid for 198.51.100.7"), "{why}");
    server.stop_with(Signal::TERM).await;
    let second = fs::read_to_string(certificate).unwrap();
    assert_ne!(first, second);

    // Back in the first one, no third certificate is needed.
    let server = start(&both).await;
    assert_eq!(line(root.path(), "the certificate is new"), None);
    assert_eq!(fs::read_to_string(certificate).unwrap(), second);
    server.stop_with(Signal::TERM).await;
}

/// On this machine, no other one reaches it; a name of it that another site may have is refused there.
#[tokio::test]
async fn an_address_of_this_machine_alone_is_not_offered_to_others() {
    let root = tempdir();
    let mut command = on_host("shelf", &["192.0.2.7/24"]);
    command.args(["--listen", "0"]);
    let server = Running::start_as(command, root.path()).await;
    assert_eq!(line(root.path(), "other machines:"), None);
    let url = format!("http://shelf:{}/", server.address.port());
    let found = format!("shelf:{}:127.0.0.1", server.address.port());
    let mut command = Command::new("nsenter");
    command
        .args(["--user", "--preserve-credentials", "--net", "--target"])
        .arg(server.pid().to_string())
        .args(["curl", "-sS", "-w", "%{http_code}", "-o", "/dev/null"])
        .args(["--resolve", &found, &url]);
    assert_eq!(run(&mut command).await, "421");
}

/// A proxy on this machine may pass a request on with the name that the phone used.
#[tokio::test]
async fn its_names_in_the_lan_are_its_own() {
    let root = tempdir();
    let mut command = on_host("shelf", &["192.0.2.7/24"]);
    command.args(["--listen", ":0", "--public"]);
    let server = Running::start_as(command, root.path()).await;
    let port = server.address.port();
    for host in ["192.0.2.7", "shelf", "shelf.local"] {
        let url = format!("http://{host}:{port}/healthz");
        let to = format!("{host}:{port}:127.0.0.1:{port}");
        curl_beside(&server, &["--connect-to", &to, &url.replace("healthz", "")]).await;
    }
}

/// The operator's own name comes first: a certificate may be for it alone.
#[tokio::test]
async fn one_address_has_the_name_that_is_given() {
    let root = tempdir();
    let mut command = on_host("shelf", &["192.0.2.7/24", "192.0.2.8/24"]);
    command.args(["--listen", "192.0.2.8:0", "--public", "--host", "files.lan"]);
    let server = Running::start_as(command, root.path()).await;
    let port = server.address.port();
    assert_eq!(
        line(root.path(), "other machines:").unwrap(),
        format!(
            "upload-server addresses for other machines: http://files.lan:{port}/ and \
             http://192.0.2.8:{port}/"
        )
    );
}

#[tokio::test]
async fn a_machine_without_ipv6_serves_ipv4() {
    let off = "for off in /proc/sys/net/ipv6/conf/*/disable_ipv6; do echo 1 >$off; done";
    for (listen, expected) in [("localhost:0", "127.0.0.1"), (":0", "192.0.2.7")] {
        let root = tempdir();
        let mut command = prepared(off, "shelf", &["192.0.2.7/24"]);
        command.args(["--listen", listen, "--public"]);
        let server = Running::start_as(command, root.path()).await;
        let port = server.address.port();
        let listeners = Feed::open(&control(root.path())).await.server.listen;
        assert_eq!(listeners.len(), 1, "{listeners:?}");
        curl_beside(&server, &[&format!("http://{expected}:{port}/")]).await;
    }
}

#[tokio::test]
async fn more_addresses_than_anybody_reads_are_counted() {
    let root = tempdir();
    let many: Vec<_> = (1..=20).map(|last| format!("192.0.2.{last}/24")).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    let mut command = on_host("shelf", &many);
    command.args(["--listen", "0.0.0.0:0", "--public"]);
    let _server = Running::start_as(command, root.path()).await;
    let shown = line(root.path(), "other machines:").unwrap();
    assert_eq!(shown.matches("http://").count(), 16, "{shown}");
    assert!(shown.ends_with(" and 4 more"), "{shown}");
}

#[tokio::test]
async fn a_port_is_enough() {
    check(&["--listen", "localhost:0"], &["127.0.0.1", "[::1]"]).await;
    check(&["--listen", "0"], &["127.0.0.1", "[::1]"]).await;
    check(&["--listen", "0", "--public"], &["[::]"]).await;
    check(&["--listen", ":0", "--public"], &["[::]"]).await;
    check(&["--listen", "*:0", "--public"], &["[::]"]).await;

    async fn check(arguments: &[&str], expected: &[&str]) {
        let root = tempdir();
        let server = Running::start_with(arguments, root.path()).await;
        let port = server.address.port();
        let listen = Feed::open(&control(root.path())).await.server.listen;
        let listen: Vec<_> = listen.iter().map(ToString::to_string).collect();
        let expected: Vec<_> = expected.iter().map(|ip| format!("{ip}:{port}")).collect();
        assert_eq!(listen, expected, "{arguments:?}");
        for ip in ["127.0.0.1", "[::1]"] {
            let mut client = Client::connect(format!("{ip}:{port}").parse().unwrap()).await;
            assert_eq!(client.put("file", b"content").await.status, 201);
        }
    }

    for (listen, expected) in [
        (":0", "can be reached from other machines"),
        (
            "files.example:5000",
            "only localhost can be given by its name",
        ),
        ("localhost:http", "not a number"),
        ("http://localhost:5000", "give an address, a port, or both"),
    ] {
        let (status, stderr) = refusal_and_status(&["--listen", listen]).await;
        assert_eq!(status, Some(2), "{listen}: {stderr}");
        assert!(stderr.contains(expected), "{listen}: {stderr}");
    }
}

/// As with nginx: `listen 5000; listen [::]:5000;`.
#[tokio::test]
async fn both_versions_of_ip_share_a_port() {
    let root = tempdir();
    let free = std::net::TcpListener::bind("[::]:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let (ipv4, ipv6) = (format!("0.0.0.0:{port}"), format!("[::]:{port}"));
    let both = ["--listen", &ipv4, "--listen", &ipv6, "--public"];
    let _server = Running::start_with(&both, root.path()).await;
    for ip in ["127.0.0.1", "[::1]"] {
        let mut client = Client::connect(format!("{ip}:{port}").parse().unwrap()).await;
        assert_eq!(client.put("file", b"content").await.status, 201);
    }
}

/// What a terminal shows of a server that listens to its LAN.
async fn on_a_terminal(adjust: impl FnOnce(&mut Command)) -> (String, String) {
    let root = tempdir();
    // Debian's Python has this, and passes the arguments on.
    let mut command = Command::new("python3");
    let terminal =
        "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))";
    command
        .args(["-c", terminal, PROGRAM, "--listen", ":0", "--public"])
        .env("TERM", "xterm")
        .env_remove("NO_COLOR")
        .stdin(std::process::Stdio::null())
        .stdout(File::create(root.path().join("shown")).unwrap());
    adjust(&mut command);
    let server = Running::start_as(command, root.path()).await;
    let pid = Feed::open(&control(root.path())).await.server.pid;
    kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), Signal::TERM).unwrap();
    assert_eq!(server.end().await, Some(0));
    let shown = fs::read_to_string(root.path().join("shown")).unwrap();
    let address = shown.split("other machines: ").nth(1).unwrap_or_default();
    let address = address.split([' ', ',', '\r']).next().unwrap().to_owned();
    (shown, address)
}

/// The content of the QR code in this text.
fn decode(shown: &str, is_drawn: impl Fn(char) -> bool) -> String {
    let bare = shown.replace("\x1b[97;40m", "").replace("\x1b[0m", "");
    let rows: Vec<Vec<char>> = bare
        .lines()
        .map(|line| line.trim_end_matches('\r').chars().collect())
        .filter(|row: &Vec<char>| {
            row.len() > 20 && row.iter().all(|&character| is_drawn(character))
        })
        .collect();
    let (width, quiet) = (rows[0].len(), 4);
    let grid = SimpleGrid::from_func(width - 2 * quiet, |x, y| {
        let (x, y) = (x + quiet, y + quiet);
        let lit = if y % 2 == 0 {
            ['█', '▀']
        } else {
            ['█', '▄']
        };
        !lit.contains(&rows[y / 2][x])
    });
    // The frame is light.
    assert!(rows[0].iter().all(|&character| character == '█'));
    Grid::new(grid).decode().unwrap().1
}

#[tokio::test]
async fn a_phone_reads_the_address_from_the_terminal() {
    let is_drawn = |character| "█▀▄ ".contains(character);
    let (shown, address) = on_a_terminal(|_| ()).await;
    assert!(address.starts_with("http://"), "{shown}");
    assert_eq!(decode(&shown, is_drawn), address);
    assert!(shown.contains("\x1b[97;40m█"), "{shown}");

    let (shown, address) = on_a_terminal(|command| {
        command.env("NO_COLOR", "1");
    })
    .await;
    assert_eq!(decode(&shown, is_drawn), address);
    assert!(!shown.contains("\x1b[97"), "{shown}");

    let (shown, _) = on_a_terminal(|command| {
        command.env("TERM", "dumb");
    })
    .await;
    assert!(!shown.contains('█'), "{shown}");
}

#[tokio::test]
async fn no_terminal_gets_no_qr_code() {
    let root = tempdir();
    let _server = Running::start_with(&["--listen", ":0", "--public"], root.path()).await;
    assert!(!stderr(root.path()).contains('█'));
}

#[tokio::test]
async fn a_missing_token_file_is_made() {
    let root = tempdir();
    let path = root.path().join("token");
    let token_file = path.to_str().unwrap();
    let file = root.path().join("cat.png");
    fs::write(&file, "cat").unwrap();
    let arguments = ["--listen", "0", "--tls", "--token-file", token_file];
    let server = Running::start_with(&arguments, root.path()).await;
    let made = line(root.path(), "made a token").unwrap();
    assert!(made.contains(token_file), "{made}");
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let token = fs::read_to_string(&path).unwrap();
    let token = token.strip_suffix('\n').unwrap();
    assert_eq!(token.len(), 19, "{token}");
    assert!(!stderr(root.path()).contains(token));

    let url = format!("https://127.0.0.1:{}/", server.address.port());
    let certificate = root.path().join("state/certificate.pem");
    let upload = [
        "--fail",
        "--cacert",
        certificate.to_str().unwrap(),
        "-T",
        file.to_str().unwrap(),
        &url,
    ];
    // As a phone's keyboard writes it.
    let typed = token[..1].to_uppercase() + &token[1..].replace('-', "");
    for user in [
        format!(":{token}"),
        format!(":{typed}"),
        format!("{token}:"),
    ] {
        curl(&[&upload[..], &["-u", &user]].concat()).await;
    }
    let (wrong, _) = token.split_at(token.len() - 1);
    let refused = Command::new("curl")
        .args(upload)
        .args(["-u", &format!(":{wrong}")])
        .output()
        .await;
    assert!(!refused.unwrap().status.success());
    server.stop_with(Signal::TERM).await;

    // It stays.
    let server = Running::start_with(&arguments, root.path()).await;
    assert_eq!(line(root.path(), "made a token"), None);
    assert_eq!(fs::read_to_string(&path).unwrap().trim_end(), token);
    server.stop_with(Signal::TERM).await;

    let missing = root.path().join("missing/token");
    let link = root.path().join("link");
    symlink(&missing, &link).unwrap();
    for (path, expected) in [
        (&missing, "cannot make the token file"),
        (&link, "cannot read the token"),
    ] {
        let stderr = refusal(&["--token-file", path.to_str().unwrap()]).await;
        assert!(stderr.contains(expected), "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
    }
}
