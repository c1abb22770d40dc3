//! HTTP/2 beside HTTP/1.1, over paths with longer and longer round trips: HTTP/2 has a flow control of
//! its own, which must not be slower than TCP's.

use std::{path::Path, process::Command, time::Duration};

use anyhow::Result;

use super::{
    PART, curl, megabytes,
    relay::Relay,
    servers::{Kind, Server},
};
use crate::bench::{
    Bench,
    interleave::interleave,
    report::{Asked, Row},
};
use xtask::command::log;

/// The file.
pub(super) const BYTES: u64 = 512 << 20;
/// In milliseconds.
const ROUND_TRIPS: [u64; 3] = [0, 20, 100];
/// How many times the rate of HTTP/1.1 that of HTTP/2 is to be.
const ASKED: f64 = 0.8;

const HTTP_1: &str = "--http1.1";
const HTTP_2: &str = "--http2-prior-knowledge";

/// One file at a time, sent by curl.
pub(super) fn round_trips(bench: &mut Bench, file: &Path) -> Result<()> {
    let ours = Server::start(Kind::OursWithHttp2, bench)?;
    for milliseconds in ROUND_TRIPS {
        let measured = format!("{} MiB at {milliseconds} ms", BYTES >> 20);
        log(&format!("server: HTTP/2 and HTTP/1.1, {measured}"));
        let relay = Relay::start(ours.address(), Duration::from_millis(milliseconds))?;
        let (http2, http1) = interleave(bench.rounds, &[HTTP_1], |case| {
            let mut command = Command::new("curl");
            command.arg(case.unwrap_or(&HTTP_2));
            command.args(["-H", "Expect:", "-T"]).arg(file);
            command.arg(format!("http://{}/large", relay.address()));
            let seconds = curl(bench, command)?;
            ours.forget(BYTES)?;
            Ok([megabytes(BYTES) / seconds])
        })?;
        let row = |version: &str, value| {
            let case = format!("{}, HTTP/{version}", Kind::Ours.name());
            Row::new(PART, case, measured.clone(), "MB/s", value)
        };
        bench.add_row(row("2", http2.number(0)));
        for http1 in http1 {
            let asked = Some(Asked::RatioAtLeast(ASKED));
            let beside = |row: Row| row.beside("HTTP/2 ÷ this", http1.inverse(0)).asking(asked);
            bench.add_row(row("1.1", http1.number(0)).map(beside));
        }
    }
    Ok(())
}
