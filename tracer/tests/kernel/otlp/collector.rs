//! A real collector: Rotel, which the Python package of the same name brings.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use super::receiver::Receiver;
use crate::{
    clients::python,
    lab::{Lab, is_emulated, run, skip, wait_until},
};

pub(super) const GRPC: &str = "http://127.0.0.1:4317";
pub(super) const HTTP: &str = "http://127.0.0.1:4318";

pub(super) struct Collector(Child);

/// Where the collector is; `None` where there is none, which is reported.
pub(super) fn program() -> Option<PathBuf> {
    if is_emulated() {
        skip("the collector: the emulated machine does not have it");
        return None;
    }
    let find =
        "import os, rotel; print(os.path.join(os.path.dirname(rotel.__file__), 'rotel-agent'))";
    let found = Command::new(python()).args(["-c", find]).output();
    let path = found.ok().filter(|found| found.status.success());
    let path = path.map(|found| PathBuf::from(String::from_utf8(found.stdout).unwrap().trim()));
    if path.is_none() {
        skip("the collector: this machine has no rotel; `cargo xtask test` installs it");
    }
    path
}

impl Collector {
    /// Starts it within the lab; it passes on what it takes.
    pub(super) fn start(lab: &Lab, program: &Path, to: &Receiver) -> Self {
        let mut command = lab.inside(program);
        command
            .arg("start")
            .arg("--pid-file")
            .arg(lab.dir.path().join("rotel.pid"));
        command.args(["--otlp-grpc-endpoint", "127.0.0.1:4317"]);
        command.args(["--otlp-http-endpoint", "127.0.0.1:4318"]);
        command.args(["--exporter", "otlp", "--otlp-exporter-protocol", "http"]);
        // Where it splits a batch, this version leaves the resource of the first part out.
        command.arg("--disable-batching");
        let endpoint = format!("http://127.0.0.1:{}", to.port);
        command.args(["--otlp-exporter-endpoint", &endpoint]);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let collector = Self(command.spawn().unwrap());
        for port in [4317, 4318] {
            let filter = format!("sport = :{port}");
            wait_until(|| !run(lab.inside("ss").args(["-ltnH", &filter])).is_empty());
        }
        collector
    }

    /// Ends it as nobody can refuse.
    pub(super) fn kill(self) {}
}

impl Drop for Collector {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
