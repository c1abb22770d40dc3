//! The upload server side by side with nginx's WebDAV, a bare loop over recv and write, dufs and
//! miniserve: one large file, many small ones, many at once; and HTTP/2 beside HTTP/1.1. All of them store
//! in memory.

pub(super) mod client;
pub(super) mod raw;
mod relay;
mod round_trips;
mod servers;

use std::{
    fs::{self, File},
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use self::servers::{Kind, Server};
use super::{
    Bench,
    interleave::{Runs, interleave},
    process,
    report::{Asked, Row},
};
use xtask::command::log;

const PART: &str = "server";
/// The large file.
const LARGE: u64 = 1 << 30;
/// How many small files, of how many bytes, over how many connections at a time.
const SMALL: (usize, usize, usize) = (10_000, 1_000, 4);
/// How many at once, and of how many bytes.
const CROWD: (usize, u64) = (50, 64 << 20);
/// More than any of this takes.
const LIMIT: Duration = Duration::from_secs(120);

pub(super) fn server(bench: &mut Bench) -> Result<()> {
    let file = bench.scratch.path().join("large");
    write_random(&file, LARGE)?;
    large(bench, &file, "PUT", put, Kind::asked_of_large)?;
    large(bench, &file, "form", form, |_| None)?;
    File::options()
        .write(true)
        .open(&file)?
        .set_len(round_trips::BYTES)?;
    round_trips::round_trips(bench, &file)?;
    fs::remove_file(&file)?;
    small(bench)?;
    crowd(bench)
}

/// One large file at a time, sent by curl with `send`.
fn large(
    bench: &mut Bench,
    file: &Path,
    how: &str,
    send: fn(&Server, &Path) -> Option<Command>,
    asked: fn(Kind) -> Option<f64>,
) -> Result<()> {
    log(&format!("server: 1 GiB by {how}"));
    let (ours, peers) = servers(bench, |server| send(server, file).is_some())?;
    let (base, runs) = interleave(bench.rounds, &peers, |peer| {
        let server = peer.unwrap_or(&ours);
        let command = send(server, file).context("a server that does not take this")?;
        let before = server.cpu()?;
        let seconds = curl(bench, command)?;
        let cpu = server.cpu()?.saturating_sub(before);
        server.forget(LARGE)?;
        Ok([megabytes(LARGE) / seconds, cpu.as_secs_f64() * 1e3])
    })?;
    let what = format!("1 GiB by {how}");
    add_rows(
        bench,
        &what,
        ["MB/s", "ms of CPU per GiB"],
        &base,
        &runs,
        &peers,
        asked,
    );
    Ok(())
}

/// Many small files, one after the other on each of a few connections.
fn small(bench: &mut Bench) -> Result<()> {
    let (count, bytes, connections) = SMALL;
    log(&format!("server: {count} files of {bytes} bytes"));
    let (ours, peers) = servers(bench, Server::keeps_alive)?;
    let (base, runs) = interleave(bench.rounds, &peers, |peer| {
        let server = peer.unwrap_or(&ours);
        let before = server.cpu()?;
        let begun = Instant::now();
        client::small_files(server.address(), count, bytes, connections, &bench.stop)?;
        let seconds = begun.elapsed().as_secs_f64();
        let cpu = server.cpu()?.saturating_sub(before);
        server.forget((count * bytes) as u64)?;
        let count = count as f64;
        Ok([count / seconds, cpu.as_secs_f64() * 1e6 / count])
    })?;
    let what = format!("{count} files of {bytes} bytes");
    add_rows(
        bench,
        &what,
        ["files/s", "µs of CPU per file"],
        &base,
        &runs,
        &peers,
        Kind::asked_of_small,
    );
    Ok(())
}

/// Many files at once. The servers are new ones, for their memory is asked for afterwards.
fn crowd(bench: &mut Bench) -> Result<()> {
    let (count, bytes) = CROWD;
    let what = format!("{count} × {} MiB at once", bytes >> 20);
    log(&format!("server: {what}"));
    let all = bytes * count as u64;
    let (ours, peers) = servers(bench, Server::keeps_alive)?;
    let (base, runs) = interleave(bench.rounds, &peers, |peer| {
        let server = peer.unwrap_or(&ours);
        let before = server.cpu()?;
        let begun = Instant::now();
        client::at_once(server.address(), count, bytes, &bench.stop)?;
        let seconds = begun.elapsed().as_secs_f64();
        let cpu = server.cpu()?.saturating_sub(before);
        server.forget(all)?;
        let gibibytes = all as f64 / LARGE as f64;
        let memory = server.most_memory()? as f64 / f64::from(1 << 20);
        Ok([
            megabytes(all) / seconds,
            cpu.as_secs_f64() * 1e3 / gibibytes,
            memory,
        ])
    })?;
    let units = ["MB/s", "ms of CPU per GiB", "MiB of memory at most"];
    add_rows(bench, &what, units, &base, &runs, &peers, |_| None);
    Ok(())
}

/// Ours, and those of its peers that are installed and can do it.
fn servers(bench: &mut Bench, can: impl Fn(&Server) -> bool) -> Result<(Server, Vec<Server>)> {
    let ours = Server::start(Kind::Ours, bench)?;
    let mut peers = Vec::new();
    for kind in Kind::PEERS {
        if !kind.is_installed() {
            bench.absent(format!("{}, not installed", kind.name()));
            continue;
        }
        let server = Server::start(kind, bench)?;
        if can(&server) {
            peers.push(server);
        }
    }
    Ok((ours, peers))
}

/// Adds the numbers of each server, and the ratio of ours to each peer: that of the first number, a
/// speed, is to be as `asked`.
fn add_rows<const N: usize>(
    bench: &mut Bench,
    what: &str,
    units: [&'static str; N],
    base: &Runs<N>,
    runs: &[Runs<N>],
    peers: &[Server],
    asked: impl Fn(Kind) -> Option<f64>,
) {
    for (n, unit) in units.into_iter().enumerate() {
        bench.add_row(Row::new(
            PART,
            Kind::Ours.name(),
            what,
            unit,
            base.number(n),
        ));
        for (peer, runs) in peers.iter().zip(runs) {
            let asked = (n == 0).then(|| asked(peer.kind())).flatten();
            let asked = asked.map(Asked::RatioAtLeast);
            let row = Row::new(PART, peer.kind().name(), what, unit, runs.number(n));
            bench.add_row(row.map(|row| row.beside("ours ÷ this", runs.inverse(n)).asking(asked)));
        }
    }
}

fn put(server: &Server, file: &Path) -> Option<Command> {
    server.takes_put().then(|| {
        let mut curl = Command::new("curl");
        curl.args(["-H", "Expect:", "-T"]).arg(file);
        curl.arg(format!("http://{}/large", server.address()));
        curl
    })
}

fn form(server: &Server, file: &Path) -> Option<Command> {
    let (path, field) = server.form()?;
    let mut curl = Command::new("curl");
    curl.args(["-H", "Expect:", "-F"]);
    curl.arg(format!("{field}=@{}", file.display()));
    curl.arg(format!("http://{}{path}", server.address()));
    Some(curl)
}

/// How long the upload took in seconds, as curl reports.
fn curl(bench: &Bench, mut command: Command) -> Result<f64> {
    command.args(["-sS", "-o", "/dev/null", "-w", "%{http_code} %{time_total}"]);
    let printed = process::finish("curl", &mut command, LIMIT, &bench.stop)?;
    let (status, seconds) = printed.split_once(' ').context("curl printed nothing")?;
    if !status.starts_with(['2', '3']) {
        bail!("a server answered {status} to an upload");
    }
    seconds.trim().parse().context("curl printed no time")
}

fn write_random(path: &PathBuf, bytes: u64) -> Result<()> {
    let mut block = vec![0; 1 << 20];
    File::open("/dev/urandom")?.read_exact(&mut block)?;
    let mut file = File::create(path)?;
    for _ in 0..bytes / block.len() as u64 {
        file.write_all(&block)?;
    }
    Ok(())
}

/// Of 10^6 bytes, as speeds are given.
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
