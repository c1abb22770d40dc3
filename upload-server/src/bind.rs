//! Opens everything that can fail at the start, before anything is announced. Each failure is one
//! sentence that says what to do.

pub(crate) mod certificate;
mod control_socket;
pub(crate) mod listeners;
mod qr_code;
mod reach;

use std::{
    fs,
    io::{self, Write},
    net::TcpListener as StdTcpListener,
    path::{Path, PathBuf},
};

use anyhow::{Result, anyhow};
use rustix::process::{Resource, getrlimit, setrlimit};
use sd_notify::NotifyState;
use tokio::net::{TcpListener, UnixListener};
use tracing::debug;
use upload_server::{
    options::Options,
    server::{Config, Pulse},
    stderr,
};

use self::{
    certificate::GeneratedCertificate, control_socket::ControlSocketFile, listeners::Endpoint,
    reach::Machine,
};

/// More addresses of this machine are only counted.
const MAX_ADDRESSES: usize = 16;

/// A server that is ready to run.
pub(crate) struct ReadyServer {
    pub(crate) listeners: Vec<TcpListener>,
    pub(crate) control: UnixListener,
    pub(crate) config: Config,
    /// The addresses that can be typed on another machine, the most likely first.
    reached_at: Vec<String>,
    /// Present with `--tls`.
    certificate: Option<GeneratedCertificate>,
    /// Removes the control socket when dropped.
    pub(crate) control_socket: ControlSocketFile,
}

impl ReadyServer {
    /// Opens what the command line asks for, and takes over the listeners that systemd passed.
    /// Needs a runtime.
    pub(crate) fn open(options: &Options, passed: Vec<StdTcpListener>) -> Result<Self> {
        let open = options.access.admits_other_machines();
        let endpoints = listeners::endpoints(&options.listen, &passed, open);
        let mut addresses: Vec<_> = endpoints.iter().flat_map(Endpoint::addresses).collect();
        for listener in &passed {
            addresses.push(listener.local_addr()?);
        }
        let machine = Machine::look_up();
        let names = machine.names(&addresses);
        let access = options.access.access(&addresses, &names)?;
        let names = names.iter().chain(&options.access.host);
        let certificate = options
            .tls
            .then(|| certificate::generated(&options.state, names))
            .transpose()?;
        let passed = passed.into_iter().map(TcpListener::from_std);
        let mut listeners = passed.collect::<io::Result<Vec<_>>>()?;
        for endpoint in endpoints {
            listeners.extend(endpoint.open()?);
        }
        let (control, control_socket) = ControlSocketFile::open(options.control.as_deref())?;
        let mut config = Config::new(open_directory(&options.dir)?);
        options.storage.apply(&mut config);
        config.history = options.storage.open_history(&options.state);
        config.limits = options.limits.limits();
        config.access = access;
        config.grace = options.grace;
        config.http2 = options.http2;
        config.pulse = Pulse::of_service_manager();
        config.tls = match (&certificate, &options.cert, &options.key) {
            (Some(generated), _, _) => Some(generated.tls.clone()),
            (None, Some(certificate), Some(key)) => {
                Some(certificate::from_files(certificate, key)?)
            }
            _ => None,
        };
        let reached_at = machine.urls(scheme(&config), &listeners, &options.access.host);
        Ok(Self {
            listeners,
            control,
            config,
            reached_at,
            certificate,
            control_socket,
        })
    }

    /// Announces on stderr, and to systemd where it waits, that the server is ready.
    pub(crate) fn announce(&self) {
        let addresses = self
            .listeners
            .iter()
            .filter_map(|listener| listener.local_addr().ok());
        let scheme = scheme(&self.config);
        let addresses: Vec<_> = addresses
            .map(|address| format!("{scheme}://{address}"))
            .collect();
        let status = format!(
            "listening on {}, files go to {}",
            addresses.join(" and "),
            self.config.directory.display()
        );
        stderr::message(&format!("upload-server {status}"));
        if let Some(first) = self.reached_at.first() {
            let addresses = reach::sentence(&self.reached_at, MAX_ADDRESSES);
            stderr::message(&format!(
                "upload-server addresses for other machines: {addresses}"
            ));
            if let Some(code) = qr_code::for_stderr(first) {
                let _ = write!(io::stderr(), "{code}");
            }
        }
        if self.sends_token_in_clear_text() {
            stderr::message(
                "upload-server: the token crosses the network in clear text: add --tls",
            );
        }
        if let Some(generated) = &self.certificate {
            stderr::message(&format!(
                "upload-server certificate {}, SHA-256 fingerprint {}",
                generated.path.display(),
                generated.fingerprint
            ));
            if let Some(reason) = &generated.replaced {
                stderr::message(&format!(
                    "upload-server: the certificate is new, because the former one {reason}: let \
                     clients trust the new one"
                ));
            }
        }
        if let Err(error) = sd_notify::notify(&[NotifyState::Ready, NotifyState::Status(&status)]) {
            debug!(%error, "cannot notify systemd");
        }
    }

    fn sends_token_in_clear_text(&self) -> bool {
        let mut addresses = self
            .listeners
            .iter()
            .filter_map(|listener| listener.local_addr().ok());
        self.config.access.token.is_some()
            && self.config.tls.is_none()
            && addresses.any(|address| !address.ip().is_loopback())
    }
}

fn scheme(config: &Config) -> &'static str {
    if config.tls.is_some() {
        "https"
    } else {
        "http"
    }
}

/// Raises the limit of open files to the hard limit. The lower one that a process starts with is
/// for programs that still use `select(2)`.
pub(crate) fn raise_descriptor_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        debug!(%error, "cannot raise the limit of open files");
    }
}

fn open_directory(path: &Path) -> Result<PathBuf> {
    let name = path.display();
    fs::create_dir_all(path).map_err(|error| {
        anyhow!("cannot create the directory {name}: choose another with --dir ({error})")
    })?;
    tempfile::Builder::new()
        .prefix(".upload-")
        .tempfile_in(path)
        .map_err(|error| {
            let error = error.kind();
            anyhow!("cannot write to the directory {name}: choose another with --dir ({error})")
        })?;
    path.canonicalize()
        .map_err(|error| anyhow!("cannot find {name}: choose another with --dir ({error})"))
}
