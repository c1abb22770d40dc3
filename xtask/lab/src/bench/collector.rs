//! An OpenTelemetry collector that discards what it takes: Rotel, which the Python package of the same name brings.

use std::{
    net::{Ipv4Addr, SocketAddr},
    process::{Command, Stdio},
};

use anyhow::Result;

use super::{Bench, listening::wait_until_listening, process::Process};
use xtask::{command::log, setup};

/// As `--otlp` takes it.
pub(crate) const URL: &str = "http://127.0.0.1:4318";
const ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 4318);

/// Dropped, it is ended.
pub(crate) struct Collector(
    #[expect(dead_code, reason = "it is ended once it is dropped")] Process,
);

impl Collector {
    /// Starts it and waits until it listens; `None` where there is none, which the results name.
    pub(crate) fn start(bench: &mut Bench) -> Result<Option<Self>> {
        let program = match setup::collector() {
            Ok(program) => program,
            Err(error) => {
                log(&format!("no collector could be installed: {error:#}"));
                let absent = "--otlp, which needs a collector (rotel)".to_owned();
                bench.report.absent.push(absent);
                return Ok(None);
            }
        };
        let mut command = Command::new(program);
        command
            .args(["start", "--exporter", "blackhole", "--pid-file"])
            .arg(bench.scratch.path().join("rotel.pid"))
            .args(["--otlp-grpc-endpoint", "127.0.0.1:4317"])
            .args(["--otlp-http-endpoint", &ADDRESS.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let process = Process::start("rotel", &mut command)?;
        wait_until_listening(&process, ADDRESS)?;
        Ok(Some(Self(process)))
    }
}
