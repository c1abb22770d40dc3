//! Where the captures are made: clients and servers in a network namespace each, between them an Ethernet and,
//! where it is laid, a slow wire.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use slow_wire::{ENDS, Way, Wire};
use tempfile::TempDir;

use crate::{
    bench::stop::Stop,
    held_back::stage::{Place, Stage},
};

/// The client's and the server's addresses on the Ethernet.
pub(super) const ETHERNET: (&str, &str) = ("10.79.0.1", "10.79.0.2");
pub(super) const IPV6: (&str, &str) = ("fd79::1", "fd79::2");
const DEVICE: &str = "ethernet";

const READY: Duration = Duration::from_secs(30);
const EVERY: Duration = Duration::from_millis(10);
/// Where nobody listens: a datagram there is the last packet of a capture.
const END: (u16, &str) = (9, "the end of this capture");

/// Where tcpdump captures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Watched {
    /// The client's end of the Ethernet.
    Client,
    /// All devices at the client.
    Any,
    WireAtClient,
    WireAtServer,
}

pub(super) struct Scene {
    stage: Stage,
    folder: TempDir,
    server: PathBuf,
    stop: Stop,
    captures: AtomicUsize,
    ports: AtomicUsize,
}

/// A server that listens; dropped, it is ended.
pub(super) struct Server {
    child: Child,
    pub(super) port: u16,
}

impl Scene {
    pub(super) fn new(binaries: &Path) -> Result<Self> {
        let scene = Self {
            stage: Stage::new()?,
            folder: tempfile::tempdir()?,
            server: binaries.join("upload-server"),
            stop: Stop::listen()?,
            captures: AtomicUsize::new(0),
            ports: AtomicUsize::new(5000),
        };
        scene.ethernet()?;
        fs::write(scene.file(), text(200))?;
        fs::write(scene.large_file(), text(3000))?;
        fs::write(scene.path("ends.py"), ENDS)?;
        let mut openssl = Command::new("openssl");
        openssl.args([
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=upload.test",
        ]);
        succeed(openssl.args(["-out", &scene.certificate(), "-keyout", &scene.key()]))?;
        Ok(scene)
    }

    fn ethernet(&self) -> Result<()> {
        let (client, server) = (self.stage.clients(), self.stage.servers());
        let peer = server.namespace();
        let name = peer.file_name().context("no name")?.to_string_lossy();
        let mut pair = client.command("ip");
        pair.args([
            "link", "add", DEVICE, "type", "veth", "peer", "name", DEVICE, "netns",
        ]);
        succeed(pair.arg(&*name))?;
        for (place, four, six) in [(client, ETHERNET.0, IPV6.0), (server, ETHERNET.1, IPV6.1)] {
            let ip = |words: &str| succeed(place.command("ip").args(words.split(' ')));
            ip(&format!("address add {four}/24 dev {DEVICE}"))?;
            ip(&format!("address add {six}/64 dev {DEVICE} nodad"))?;
            ip(&format!("link set {DEVICE} up"))?;
        }
        Ok(())
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// A file to upload.
    pub(super) fn file(&self) -> String {
        self.path("file.txt")
    }

    /// One of more segments than a window of the beginning has.
    pub(super) fn large_file(&self) -> String {
        self.path("large.txt")
    }

    pub(super) fn length(&self) -> u64 {
        fs::metadata(self.file()).map_or(0, |file| file.len())
    }

    pub(super) fn certificate(&self) -> String {
        self.path("certificate")
    }

    pub(super) fn key(&self) -> String {
        self.path("key")
    }

    /// Lays a slow wire.
    pub(super) fn lay(&self, number: u8, ways: (Way, Way)) -> Result<Wire> {
        let (client, server) = (self.stage.clients(), self.stage.servers());
        Wire::lay(
            (&client.namespace(), &server.namespace()),
            number,
            ways,
            None,
        )
    }

    /// The bundled server, with an empty folder.
    pub(super) fn upload_server(&self, options: &[&str]) -> Result<Server> {
        let port = self.port()?;
        let folder = self.path(&format!("uploads-{port}"));
        fs::create_dir_all(&folder)?;
        let program = self.server.display().to_string();
        let mut command = self.stage.servers().command(&program);
        command.args(["--listen", &format!("[::]:{port}"), "--dir", &folder]);
        command.args(["--control", &self.path(&format!("control-{port}"))]);
        command.args(["--state", &self.path("state"), "--public"]);
        self.listening(command.args(options), port)
    }

    /// An upload between the ends of the slow wire's package, each slow in a way of its own.
    pub(super) fn ends(&self, server: &[&str], client: &[&str]) -> Result<()> {
        let port = self.port()?;
        let end = |place: &Place, role: &str, options: &[&str]| {
            let mut command = place.command("python3");
            command.args([&self.path("ends.py"), role, &port.to_string(), ETHERNET.1]);
            command.args(options);
            command
        };
        let mut listening =
            self.listening(&mut end(self.stage.servers(), "server", server), port)?;
        succeed(&mut end(self.stage.clients(), "client", client))?;
        listening.child.wait()?;
        Ok(())
    }

    /// Uploads with curl.
    pub(super) fn curl(&self, arguments: &[&str]) -> Result<()> {
        self.printed_by_curl(arguments).map(drop)
    }

    /// The same; gives what it prints.
    pub(super) fn printed_by_curl(&self, arguments: &[&str]) -> Result<String> {
        let mut command = self.stage.clients().command("curl");
        command.args(["--silent", "--show-error", "--fail", "--max-time", "30"]);
        command.args(["--output", "/dev/null"]).args(arguments);
        // For `-T -`.
        let output = command.stdin(File::open(self.file())?).output()?;
        if !output.status.success() {
            bail!("curl: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Captures what happens meanwhile.
    pub(super) fn capture(
        &self,
        watched: Watched,
        options: &[&str],
        happens: impl FnOnce(&Self) -> Result<()>,
    ) -> Result<PathBuf> {
        let number = self.captures.fetch_add(1, Ordering::Relaxed);
        let file = self.folder.path().join(format!("{number}.pcap"));
        let (place, device) = match watched {
            Watched::Client => (self.stage.clients(), DEVICE),
            Watched::Any => (self.stage.clients(), "any"),
            Watched::WireAtClient => (self.stage.clients(), "far1"),
            Watched::WireAtServer => (self.stage.servers(), "far1"),
        };
        let mut tcpdump = place.command("tcpdump");
        tcpdump.args(["-i", device, "-U", "--immediate-mode", "-Z", "root", "-w"]);
        tcpdump
            .arg(&file)
            .args(options)
            .arg(format!("tcp or udp port {}", END.0));
        let mut tcpdump = tcpdump
            .stderr(Stdio::piped())
            .spawn()
            .context("tcpdump cannot be started")?;
        let ready = BufReader::new(tcpdump.stderr.take().context("no stderr")?)
            .lines()
            .any(|line| line.is_ok_and(|line| line.contains("listening on")));
        let captured = if ready {
            happens(self)
                .and_then(|()| self.stage.settle(&self.stop))
                .and_then(|()| self.end(place, watched, &file))
        } else {
            Err(anyhow::anyhow!("tcpdump does not capture"))
        };
        let _ = tcpdump.kill();
        tcpdump.wait()?;
        captured.map(|()| file)
    }

    /// Sends the last packet, and waits until it was captured: then all before it are.
    fn end(&self, place: &Place, watched: Watched, file: &Path) -> Result<()> {
        let wire = slow_wire::addresses(1);
        let to = match watched {
            Watched::Client | Watched::Any => ETHERNET.1,
            Watched::WireAtClient => &wire.1,
            Watched::WireAtServer => &wire.0,
        };
        let (port, text) = END;
        let send = format!("printf '{text}' >/dev/udp/{to}/{port}");
        succeed(place.command("bash").args(["-c", &send]))?;
        self.wait("the end of the capture", || {
            Ok(fs::read(file)?.ends_with(text.as_bytes()))
        })
    }

    fn listening(&self, command: &mut Command, port: u16) -> Result<Server> {
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let server = Server { child, port };
        self.wait("a server", || Ok(self.stage.servers().listens(port)))?;
        Ok(server)
    }

    fn wait(&self, what: &str, mut is_there: impl FnMut() -> Result<bool>) -> Result<()> {
        let begun = Instant::now();
        while !is_there()? {
            self.stop.check()?;
            if begun.elapsed() > READY {
                bail!("{what} did not come");
            }
            thread::sleep(EVERY);
        }
        Ok(())
    }

    fn port(&self) -> Result<u16> {
        Ok(self.ports.fetch_add(1, Ordering::Relaxed).try_into()?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn text(lines: usize) -> String {
    let line = |number| format!("line {number} of a file that is uploaded\n");
    (0..lines).map(line).collect()
}

fn succeed(command: &mut Command) -> Result<()> {
    let output = command.stdin(Stdio::null()).output()?;
    if !output.status.success() {
        let reason = String::from_utf8_lossy(&output.stderr);
        bail!("{:?}: {}", command.get_program(), reason.trim());
    }
    Ok(())
}
