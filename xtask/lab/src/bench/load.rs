//! Connections as fast as they go: nginx with one worker, which closes each connection once it has
//! answered, and wrk with one thread and 32 connections at a time.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};

use super::{
    Bench,
    listening::{free_address, wait_until_listening},
    nginx::nginx,
    process::Process,
    stop::Stop,
};

/// How long wrk may take beyond the time that it is given.
const PATIENCE: Duration = Duration::from_secs(20);

/// The server. Dropped, it is ended.
pub(crate) struct Load {
    nginx: Process,
    address: SocketAddr,
}

/// The result of a run of wrk.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Churned {
    /// Connections, each opened, used for one request, and closed by the server.
    pub(crate) connections: f64,
    /// The same per second.
    pub(crate) per_second: f64,
    /// The CPU time of nginx and wrk.
    pub(crate) cpu: Duration,
}

impl Load {
    /// Starts the server and waits until it listens.
    pub(crate) fn start(bench: &Bench) -> Result<Self> {
        let home = tempfile::tempdir_in(bench.scratch.path())?.keep();
        let address = free_address()?;
        let http = format!(
            "keepalive_timeout 0;
             server {{
               listen {address} backlog=4096;
               location / {{ return 200 ok; }}
             }}"
        );
        let nginx = Process::start("nginx", &mut nginx(&home, &http)?)?;
        wait_until_listening(&nginx, address)?;
        Ok(Self { nginx, address })
    }

    /// Where the server listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// A few connections, one after another.
    pub(crate) fn connect(&self, times: u32) -> Result<()> {
        for _ in 0..times {
            let mut stream = TcpStream::connect(self.address)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
            stream.read_to_end(&mut Vec::new())?;
        }
        Ok(())
    }

    /// Opens and closes connections as fast as possible for `seconds`.
    pub(crate) fn run(&self, seconds: u32, stop: &Stop) -> Result<Churned> {
        self.run_script(seconds, None, stop)
    }

    /// The same, with requests as a script of wrk makes them.
    pub(crate) fn run_script(
        &self,
        seconds: u32,
        script: Option<&Path>,
        stop: &Stop,
    ) -> Result<Churned> {
        let before = self.nginx.cpu()?;
        let mut wrk = Command::new("wrk");
        if let Some(script) = script {
            wrk.arg("-s").arg(script);
        }
        wrk.args(["-t1", "-c32", &format!("-d{seconds}s")])
            .arg(format!("http://{}/", self.address))
            .stdout(Stdio::piped());
        let wrk = Process::start("wrk", &mut wrk)?;
        let limit = Duration::from_secs(seconds.into()) + PATIENCE;
        wrk.wait(limit, stop)?;
        let cpu = self.nginx.cpu()?.saturating_sub(before) + wrk.cpu()?;
        let (connections, per_second) = read(&wrk.finish(limit, stop)?)?;
        Ok(Churned {
            connections,
            per_second,
            cpu,
        })
    }
}

impl Churned {
    /// In microseconds.
    pub(crate) fn cpu_us_each(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.connections
    }
}

/// The number of requests and their rate, from wrk's output. Each request is a connection.
fn read(printed: &str) -> Result<(f64, f64)> {
    let (mut requests, mut per_second) = (None, None);
    for line in printed.lines().map(str::trim) {
        if let Some((number, _)) = line.split_once(" requests in ") {
            requests = number.parse().ok();
        } else if let Some(number) = line.strip_prefix("Requests/sec:") {
            per_second = number.trim().parse().ok();
        } else if line.starts_with("Non-2xx")
            // What took long (timeout) was still answered.
            || line.starts_with("Socket errors:") && !line.contains("connect 0, read 0, write 0")
        {
            bail!("wrk could not do its work: {line}");
        }
    }
    requests
        .filter(|requests| *requests > 0.0)
        .zip(per_second)
        .context("wrk made no requests")
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRINTED: &str = "Running 1s test @ http://127.0.0.1:8099/
  1 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.42ms  706.08us   7.85ms   83.87%
    Req/Sec    14.14k     1.62k   14.92k    90.00%
  14121 requests in 1.01s, 1.94MB read
Requests/sec:  14046.86
Transfer/sec:      1.93MB
";

    #[test]
    fn what_wrk_prints_is_read() {
        assert_eq!(read(PRINTED).unwrap(), (14_121.0, 14_046.86));
    }

    #[test]
    fn a_run_that_failed_is_no_result() {
        for line in [
            "  Non-2xx or 3xx responses: 7",
            "  Socket errors: connect 0, read 7, write 0, timeout 0",
        ] {
            assert!(read(&format!("{PRINTED}{line}\n")).is_err(), "{line}");
        }
        assert!(read("unable to connect to 127.0.0.1:8099 Connection refused\n").is_err());
        let none = PRINTED.replace("14121", "0").replace("14046.86", "0.00");
        assert!(read(&none).is_err());
    }

    #[test]
    fn what_took_long_is_no_failure() {
        let line = "  Socket errors: connect 0, read 0, write 0, timeout 3";
        assert!(read(&format!("{PRINTED}{line}\n")).is_ok());
    }
}
