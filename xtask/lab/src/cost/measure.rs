//! Measures one load after the other, each on a server that has nothing else to do.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context as _, Result};

use super::{
    candidate::Candidate,
    client::{self, Client},
    kind::{Kind, Prepared},
    pool,
    request::Request,
    server::Server,
};
use crate::bench::stop::Stop;

/// The most bytes of memory that a byte may cost, beyond those of connections and pools.
pub(super) const MOST_PER_BYTE: u64 = 20;

/// A server that keeps more than this is replaced.
const MOST_GROWN: u64 = 2 << 20;

/// What one load took of the server.
#[derive(Clone, Debug)]
pub(super) struct Cost {
    pub(super) candidate: Candidate,
    /// How many bytes the clients sent.
    pub(super) sent: u64,
    /// The most anonymous memory, beyond that of an idle server.
    pub(super) memory: u64,
    /// What of it the pools and the connections may have.
    pub(super) allowed: u64,
    /// The kernel's memory for the server's sockets, before the clients left.
    pub(super) sockets: u64,
    /// What stays when the clients have left.
    pub(super) disk: u64,
    pub(super) inodes: u64,
    pub(super) cpu: Duration,
}

impl Cost {
    /// How much it took of the memory that it may: below 1, it may.
    pub(super) fn share_of_memory(&self) -> f64 {
        as_float(self.memory) / as_float(self.allowed + MOST_PER_BYTE * self.sent)
    }

    /// Bytes of memory for each byte sent, beyond those of connections and pools.
    pub(super) fn memory_per_byte(&self) -> f64 {
        self.per_byte(self.memory.saturating_sub(self.allowed))
    }

    /// Bytes of the disk for each byte sent.
    pub(super) fn disk_per_byte(&self) -> f64 {
        self.per_byte(self.disk)
    }

    /// Microseconds of CPU time for each thousand bytes sent.
    pub(super) fn cpu_per_kilobyte(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / (as_float(self.sent.max(1)) / 1e3)
    }

    fn per_byte(&self, bytes: u64) -> f64 {
        as_float(bytes) / as_float(self.sent.max(1))
    }
}

#[expect(clippy::cast_precision_loss, reason = "a quotient that people read")]
fn as_float(number: u64) -> f64 {
    number as f64
}

/// Has a server for each way to speak, while it is used.
pub(super) struct Lab<'a> {
    program: PathBuf,
    stop: &'a Stop,
    server: Option<((bool, bool), Server)>,
    connections: u64,
}

impl<'a> Lab<'a> {
    pub(super) fn new(program: PathBuf, stop: &'a Stop) -> Self {
        Self {
            program,
            stop,
            server: None,
            connections: 0,
        }
    }

    pub(super) fn measure(&mut self, candidate: &Candidate) -> Result<Cost> {
        self.stop.check()?;
        let measured = self.measure_once(candidate);
        measured.with_context(|| candidate.to_string())
    }

    fn measure_once(&mut self, candidate: &Candidate) -> Result<Cost> {
        let way = (candidate.tls, candidate.http2);
        let server = match self.server.take() {
            Some((its, server)) if its == way && server.grown()? < MOST_GROWN => server,
            ended => {
                drop(ended);
                Server::start(&self.program, candidate.tls, candidate.http2, self.stop)?
            }
        };
        let mut sent = 0;
        let before = server.held()?;
        let mut scripts = Vec::new();
        for _ in 0..candidate.connections {
            self.connections += 1;
            let mut prepared = Prepared {
                number: self.connections,
                uploads: Vec::new(),
            };
            for _ in 0..candidate.kind.uploads(candidate) {
                let (upload, bytes) = begin_upload(&server, candidate.kind)?;
                prepared.uploads.push(upload);
                sent += bytes;
            }
            scripts.push(candidate.kind.script(candidate, &prepared));
        }
        server.forget_peak()?;
        let tls = server.tls.as_ref();
        let tls = tls.filter(|_| candidate.kind != Kind::UnfinishedHandshake);
        let mut clients = scripts
            .into_iter()
            .map(|script| Client::open(server.address, tls, script, candidate.reads))
            .collect::<Result<Vec<_>>>()?;
        client::send(&mut clients)?;
        if !candidate.closes {
            server.settle(&mut clients)?;
        }
        let (sockets, threads) = (server.sockets(), server.threads()?);
        sent += clients.iter().map(|client| client.sent).sum::<u64>();
        drop(clients);
        server.settle(&mut [])?;
        let memory = server.peak()?;
        let after = server.held()?;
        server.remove_files()?;
        let allowed = pool::allowed(candidate, threads);
        self.server = Some((way, server));
        Ok(Cost {
            candidate: candidate.clone(),
            sent,
            memory,
            allowed,
            sockets,
            disk: after.disk.saturating_sub(before.disk),
            inodes: after.inodes.saturating_sub(before.inodes),
            cpu: after.cpu.saturating_sub(before.cpu),
        })
    }
}

/// Creates a resumable upload: its address, and how many bytes that took.
fn begin_upload(server: &Server, kind: Kind) -> Result<(String, u64)> {
    let create = Request::new("POST", "/tus/").field("tus-resumable", "1.0.0");
    let create = if kind == Kind::TusConcatenation {
        create
            .field("upload-concat", "partial")
            .field("upload-length", "0")
    } else {
        create.field("upload-length", "1000000")
    };
    let (answer, sent) = server.ask(create)?;
    let location = answer
        .lines()
        .find_map(|line| line.strip_prefix("location: "));
    let location = location.with_context(|| format!("no upload was created: {answer}"))?;
    // It may be relative to the request's.
    Ok((
        format!("/tus/{}", location.rsplit('/').next().unwrap_or_default()),
        sent,
    ))
}
