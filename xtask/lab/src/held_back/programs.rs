//! The programs of one upload: its wire, its server and its client.

use std::{
    fs::{self, File},
    io::{Read as _, Seek as _},
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use slow_wire::{ENDS, Ports, Wire, addresses, addresses_6};
use tempfile::TempDir;
use xtask::command::target_dir;

use super::{
    scenario::{Client, Held, Scenario, Server},
    stage::{Place, Stage},
};
use crate::{
    bench::{process::Process, stop::Stop},
    under_test::certify,
};

/// No upload takes so long.
const LONGEST: Duration = Duration::from_secs(90);
/// A server is ready within this time.
const READY: Duration = Duration::from_secs(30);
/// The ports of a server, as its clients know it (a browser refuses 10080) and as it is …
const AT_CLIENT: u16 = 11_000;
const AT_SERVER: u16 = 20_000;
/// … and what is added for that of one behind it.
const BACKEND: u16 = 10_000;
/// No more uploads in a run.
pub(crate) const MAX_UPLOADS: u16 = 1_000;
const EVERY: Duration = Duration::from_millis(10);

/// What is uploaded: names and sizes.
const FILES: [(&str, u64); 7] = [
    ("1k", 1_000),
    ("100k", 100_000),
    ("500k", 500_000),
    ("1M", 1_000_000),
    ("3M", 3_000_000),
    ("10M", 10_000_000),
    ("20M", 20_000_000),
];

/// What the scenarios' programs need.
#[derive(Debug)]
pub(crate) struct Programs {
    binaries: PathBuf,
    folder: PathBuf,
}

/// The number of the upload whose server has this port at one of its ends.
pub(crate) fn upload_to(port: u16) -> Option<u16> {
    let uploads = |from: u16| {
        port.checked_sub(from)
            .filter(|number| *number < MAX_UPLOADS)
    };
    uploads(AT_CLIENT).or_else(|| uploads(AT_SERVER))
}

/// What a tracer is told so that it sees so many uploads from their clients' ends alone: with a filter by
/// process, it looks for the peer of each socket.
pub(crate) fn ports_of_clients(uploads: u16) -> impl Iterator<Item = u16> {
    AT_CLIENT..AT_CLIENT + uploads
}

/// One end of an upload, as it runs.
struct End {
    process: Process,
    ends_with_client: bool,
    output: File,
}

impl Programs {
    /// Makes the files in a folder.
    pub(crate) fn new(binaries: &Path, folder: &Path) -> Result<Self> {
        fs::write(folder.join("ends.py"), ENDS)?;
        fs::write(folder.join("browser.mjs"), include_str!("browser.mjs"))?;
        for (name, bytes) in FILES {
            File::create(folder.join(name))?.set_len(bytes)?;
        }
        certify(folder, "upload")?;
        Ok(Self {
            binaries: binaries.to_owned(),
            folder: folder.to_owned(),
        })
    }

    /// A binary of this workspace.
    pub(crate) fn binary(&self, name: &str) -> PathBuf {
        self.binaries.join(name)
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Makes the upload with this number over the wire with that one. Returns what the ends held back on
    /// purpose.
    pub(crate) fn upload(
        &self,
        scenario: &Scenario,
        stage: &Stage,
        (wire, number): (u8, u16),
        stop: &Stop,
    ) -> Result<Vec<Held>> {
        let ways = (scenario.up.parse()?, scenario.down.parse()?);
        let (clients, servers) = (stage.clients(), stage.servers());
        let ports = Ports {
            of_client: AT_CLIENT + number,
            of_server: AT_SERVER + number,
        };
        let namespaces = (&*clients.namespace(), &*servers.namespace());
        let laid = Wire::lay(namespaces, wire, ways, Some(ports))?;
        let home = tempfile::Builder::new()
            .prefix("upload-")
            .tempdir_in(&self.folder)?;
        let at = (wire, ports.of_server);
        let running = self.servers(scenario, servers, at, &home, stop)?;
        let client = match scenario.client {
            Client::Loopback(_) => self.client(scenario, servers, at, &home)?,
            _ => self.client(scenario, clients, (wire, ports.of_client), &home)?,
        };
        client.process.wait(LONGEST, stop)?;
        let mut held = client.held()?;
        for server in &running {
            if server.ends_with_client {
                // One that the client has left alone is ended.
                let _ = server.process.wait(READY, stop);
            }
            held.extend(server.held()?);
        }
        // What the client sent last is still under way: without it, the server would send its response again.
        servers.settle(ports.of_server, stop)?;
        drop(laid);
        Ok(held)
    }

    /// Starts the server, and one behind it where there is one, once they listen.
    fn servers(
        &self,
        scenario: &Scenario,
        place: &Place,
        at: (u8, u16),
        home: &TempDir,
        stop: &Stop,
    ) -> Result<Vec<End>> {
        let (wire, port) = at;
        let backend = port + BACKEND;
        let ends = |port, options| self.ends(place, ("server", "-"), port, options);
        let planned = match scenario.server {
            Server::Ends(options) => vec![(ends(port, options), port)],
            Server::Shell(script) => vec![(shell(place, script), port)],
            Server::Nginx(block) => vec![(nginx(place, home.path(), port, block)?, port)],
            Server::Proxy(block, options) => vec![
                (ends(backend, options), backend),
                (nginx(place, home.path(), port, block)?, port),
            ],
        };
        let ends_with_client = matches!(scenario.server, Server::Ends(_));
        let mut servers = Vec::new();
        for (number, (command, port)) in planned.into_iter().enumerate() {
            let role = format!("server-{number}");
            let mut server = self.start(command, &role, (wire, at.1), home)?;
            server.ends_with_client = ends_with_client;
            self.wait_for(place, &server, port, stop)?;
            servers.push(server);
        }
        Ok(servers)
    }

    fn client(
        &self,
        scenario: &Scenario,
        place: &Place,
        at: (u8, u16),
        home: &TempDir,
    ) -> Result<End> {
        let (_, host) = addresses(at.0);
        let (_, host_6) = addresses_6(at.0);
        let command = match scenario.client {
            Client::Ends(options) => self.ends(place, ("client", &host), at.1, options),
            Client::Ends6(options) => self.ends(place, ("client", &host_6), at.1, options),
            Client::Loopback(options) => self.ends(place, ("client", "127.0.0.1"), at.1, options),
            Client::Shell(script) => shell(place, script),
        };
        self.start(command, "client", at, home)
    }

    fn ends(&self, place: &Place, (role, host): (&str, &str), port: u16, options: &str) -> Command {
        let mut command = place.command("python3");
        let certificate = format!("certificate={}", self.folder.join("pem").display());
        let options = options.split_whitespace().map(|option| match option {
            "tls" => certificate.as_str(),
            other => other,
        });
        command
            .arg(self.folder.join("ends.py"))
            .args([role, &port.to_string(), host])
            .args(options);
        command
    }

    fn start(
        &self,
        mut command: Command,
        role: &str,
        (wire, port): (u8, u16),
        home: &TempDir,
    ) -> Result<End> {
        let (_, host) = addresses(wire);
        let (_, host_6) = addresses_6(wire);
        let path = home.path().join(role);
        let output = File::create_new(&path)?;
        command
            .env("HOST", &host)
            .env("HOST6", &host_6)
            .env("WIRE", format!("far{wire}"))
            .env("PORT", port.to_string())
            .env("BACKEND", (port + BACKEND).to_string())
            .env("URL", format!("http://{host}:{port}"))
            .env("FILES", &self.folder)
            .env("ENDS", self.folder.join("ends.py"))
            .env("BROWSER", self.folder.join("browser.mjs"))
            .env("MODULES", target_dir())
            .env("PEM", self.folder.join("pem"))
            .env("HOME", home.path())
            .env("BINARIES", &self.binaries)
            .env("RUST_LOG", "error")
            .stdout(output)
            .stderr(File::create(home.path().join("messages"))?);
        Ok(End {
            process: Process::start(role, &mut command)?,
            ends_with_client: false,
            output: File::open(path)?,
        })
    }

    fn wait_for(&self, place: &Place, server: &End, port: u16, stop: &Stop) -> Result<()> {
        let begun = Instant::now();
        while !place.listens(port) {
            stop.check()?;
            server.process.check()?;
            if begun.elapsed() > READY {
                bail!("the server does not listen");
            }
            thread::sleep(EVERY);
        }
        Ok(())
    }
}

impl End {
    fn held(&self) -> Result<Vec<Held>> {
        let (mut text, mut output) = (String::new(), &self.output);
        output.rewind()?;
        output.read_to_string(&mut text)?;
        Ok(text.lines().filter_map(Held::of_line).collect())
    }
}

fn shell(place: &Place, script: &str) -> Command {
    let mut command = place.command("sh");
    command.args(["-c", script]);
    command
}

/// nginx with a block `server` of its own.
fn nginx(place: &Place, home: &Path, port: u16, block: &str) -> Result<Command> {
    let folder = home.display();
    let configuration = format!(
        "daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/error.log;
         events {{ worker_connections 64; }}
         http {{
           access_log off; client_max_body_size 0; keepalive_timeout 1;
           client_body_temp_path {folder}/bodies; proxy_temp_path {folder}/proxy;
           fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi;
           scgi_temp_path {folder}/scgi;
           server {{ listen {port} TLS; listen [::]:{port} ipv6only=on TLS; {block} }}
         }}\n"
    );
    let tls = match block.contains("ssl_certificate") {
        true => "ssl http2",
        false => "",
    };
    let configuration = configuration
        .replace(" TLS", &format!(" {tls}"))
        .replace("$HOME", &folder.to_string())
        .replace("$BACKEND", &(port + BACKEND).to_string());
    fs::write(home.join("nginx.conf"), configuration)?;
    let start = "exec nginx -p $HOME -e $HOME/error.log -c $HOME/nginx.conf";
    Ok(shell(place, start))
}
