//! The server under attack: what it takes of memory, disk and CPU.

use std::{
    fs::{self, File},
    net::SocketAddr,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};
use tempfile::TempDir;
use xtask::command::output;

use super::{
    client::{self, Client},
    kind::LARGE,
    request::{Body, Http2, Request},
};
use crate::bench::{listening::free_address, process::Process, stop::Stop};

/// How many small files the page lists.
const FILES: usize = 250;

/// What the server stored before: it stays.
const FIXTURE: &str = "fixture";

/// The CPU time that a server takes in a while in which it has nothing to do.
const IDLE: (Duration, Duration) = (Duration::from_millis(30), Duration::from_micros(500));

/// How long a server may work on what it was sent.
const PATIENCE: Duration = Duration::from_secs(5);

/// A server with a directory of its own. Dropped, it ends.
pub(super) struct Server {
    process: Process,
    pub(super) address: SocketAddr,
    /// Whom its clients trust. Absent without TLS.
    pub(super) tls: Option<Arc<ClientConfig>>,
    home: TempDir,
    /// Its anonymous memory when it was ready.
    idle: u64,
    threads: u64,
}

/// What it holds at some moment.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Held {
    pub(super) cpu: Duration,
    pub(super) disk: u64,
    pub(super) inodes: u64,
}

impl Server {
    pub(super) fn start(program: &Path, tls: bool, http2: bool, stop: &Stop) -> Result<Self> {
        let home = tempfile::Builder::new()
            .prefix("upload-tracer-cost-")
            .tempdir()?;
        let files = home.path().join("files");
        fs::create_dir(&files)?;
        File::create(files.join(LARGE.0))?.set_len(LARGE.1)?;
        for number in 0..FILES {
            let name = format!("{FIXTURE}-{number}-{}", "n".repeat(200));
            fs::write(files.join(name), "x")?;
        }
        let address = free_address()?;
        let mut command = Command::new(program);
        command
            .arg("--listen")
            .arg(address.to_string())
            .arg("--dir")
            .arg(&files)
            .arg("--control")
            .arg(home.path().join("control"))
            .arg("--state")
            .arg(home.path().join("state"))
            .args(tls.then_some("--tls"))
            .arg("--http2")
            .env("RUST_LOG", "error")
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let notify = home.path().join("notify");
        let process = Process::start_notifying("upload-server", &mut command, &notify, stop)?;
        let tls = tls.then(|| trust(home.path(), http2)).transpose()?;
        let mut server = Self {
            process,
            address,
            tls,
            home,
            idle: 0,
            threads: 0,
        };
        server.warm_up(http2)?;
        server.settle(&mut [])?;
        server.idle = server.process.memory("RssAnon")?;
        server.threads = server.number_of("Threads")?;
        Ok(server)
    }

    /// Everything that it makes once is made: sessions of TLS, pages of SQLite, threads.
    fn warm_up(&self, http2: bool) -> Result<()> {
        let mut script = Vec::new();
        let put = |number| {
            Request::new("PUT", format!("/{FIXTURE}-put-{number}")).body(Body {
                bytes: vec![b'x'; 100_000],
                piece: usize::MAX,
                is_chunked: false,
                ends: true,
            })
        };
        if http2 {
            let mut http2 = Http2::begin(&mut script, 1 << 30);
            for number in 0..8 {
                http2.request(&put(number), 0);
                http2.request(&Request::new("GET", "/"), 0);
            }
        } else {
            for number in 0..8 {
                put(number).write_http1(&mut script);
                Request::new("GET", "/").write_http1(&mut script);
            }
        }
        let mut clients = (0..4)
            .map(|_| Client::open(self.address, self.tls.as_ref(), script.clone(), true))
            .collect::<Result<Vec<_>>>()?;
        client::send(&mut clients)?;
        self.settle(&mut clients)
    }

    /// Returns once it has nothing to do, or still has after some time. Those clients that read do so.
    pub(super) fn settle(&self, clients: &mut [Client]) -> Result<()> {
        let begun = Instant::now();
        let (mut last, mut cpu) = (Instant::now(), self.process.cpu()?);
        while begun.elapsed() < PATIENCE {
            if !client::step(clients) {
                client::wait(clients, IDLE.0)?;
            }
            if last.elapsed() >= IDLE.0 {
                let now = self.process.cpu()?;
                if now - cpu < IDLE.1 {
                    break;
                }
                (last, cpu) = (Instant::now(), now);
            }
        }
        self.process.check()
    }

    /// From now on, [`Self::peak`] is the most since now.
    pub(super) fn forget_peak(&self) -> Result<()> {
        let file = format!("/proc/{}/clear_refs", self.process.id());
        fs::write(&file, "5").context(file)
    }

    /// The most anonymous memory beyond that of an idle server.
    pub(super) fn peak(&self) -> Result<u64> {
        let of_files = self.process.memory("RssFile")? + self.process.memory("RssShmem")?;
        let most = self.process.memory("VmHWM")?;
        Ok(most.saturating_sub(of_files + self.idle))
    }

    /// The memory that stays, beyond that of a server that has just started.
    pub(super) fn grown(&self) -> Result<u64> {
        Ok(self.process.memory("RssAnon")?.saturating_sub(self.idle))
    }

    /// How many threads it has beyond those of an idle server.
    pub(super) fn threads(&self) -> Result<u64> {
        Ok(self.number_of("Threads")?.saturating_sub(self.threads))
    }

    /// The memory of the kernel for its sockets, in bytes.
    pub(super) fn sockets(&self) -> u64 {
        let port = format!(":{}", self.address.port());
        let mut command = Command::new("ss");
        let listed = output(command.args(["-Htnm", "sport", "=", &port]));
        let memory = listed
            .iter()
            .flat_map(|listed| listed.split("skmem:(").skip(1));
        memory.map(of_socket).sum()
    }

    pub(super) fn held(&self) -> Result<Held> {
        let mut held = Held {
            cpu: self.process.cpu()?,
            ..Held::default()
        };
        add_folder(self.home.path(), &mut held);
        Ok(held)
    }

    /// Removes what clients stored.
    pub(super) fn remove_files(&self) -> Result<()> {
        for entry in fs::read_dir(self.files())? {
            let entry = entry?;
            if !entry.file_name().to_string_lossy().starts_with(FIXTURE) {
                let path = entry.path();
                let removed = match entry.file_type()?.is_dir() {
                    true => fs::remove_dir_all(&path),
                    false => fs::remove_file(&path),
                };
                // The server may have removed it.
                let _ = removed;
            }
        }
        Ok(())
    }

    /// Sends one request. Returns the head of the answer, and how many bytes were sent.
    pub(super) fn ask(&self, request: Request) -> Result<(String, u64)> {
        let mut script = Vec::new();
        request
            .field("connection", "close")
            .write_http1(&mut script);
        let mut tls = self.tls.clone();
        if let Some(tls) = &mut tls {
            Arc::make_mut(tls).alpn_protocols.clear();
        }
        Client::open(self.address, tls.as_ref(), script, true)?.answer()
    }

    fn files(&self) -> PathBuf {
        self.home.path().join("files")
    }

    fn number_of(&self, field: &str) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        Ok(line.context("no such field")?.trim().parse()?)
    }
}

/// The certificate that the server made.
fn trust(home: &Path, http2: bool) -> Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(
        home.join("state/certificate.pem"),
    )?)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    if http2 {
        config.alpn_protocols.push(b"h2".to_vec());
    }
    Ok(Arc::new(config))
}

/// What the kernel holds for a socket: received, queued to be sent, and allocated ahead (ss(8)).
fn of_socket(memory: &str) -> u64 {
    let fields = memory.split([',', ')']);
    let number = |field: &str| {
        let rest = field.strip_prefix(['r', 'w', 'f']);
        rest?.parse::<u64>().ok()
    };
    fields.take(7).filter_map(number).sum()
}

/// The blocks that a folder's files take.
fn add_folder(folder: &Path, held: &mut Held) {
    const BLOCK: u64 = 512;
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    for entry in entries {
        let Ok(metadata) = entry.metadata() else {
            continue;
        };
        held.inodes += 1;
        if metadata.is_dir() {
            add_folder(&entry.path(), held);
        } else {
            held.disk += metadata.blocks() * BLOCK;
        }
    }
}
