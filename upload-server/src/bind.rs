//! Everything that can fail at the start, opened before anything is announced. Each failure is one
//! sentence that says what to do.

mod certificate;
mod control_socket;
mod history;
pub(crate) mod listeners;

use std::{
    fs,
    io::{self, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

use anyhow::{Result, anyhow};
use sd_notify::NotifyState;
use tokio::net::{TcpListener, TcpSocket, UnixListener};
use tracing::debug;
use upload_server::server::Config;

use self::{certificate::GeneratedCertificate, control_socket::ControlSocketFile};
use crate::options::Options;

/// How many connections may wait to be accepted; the kernel may allow fewer
/// (`net.core.somaxconn`).
const BACKLOG: u32 = 4_096;

/// Where the server listens when nobody says otherwise.
const USUAL_ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 5000);

/// A server that is ready to run.
pub(crate) struct ReadyServer {
    pub(crate) listeners: Vec<TcpListener>,
    pub(crate) control: UnixListener,
    pub(crate) config: Config,
    /// The certificate that the server made itself, if it did.
    pub(crate) certificate: Option<GeneratedCertificate>,
    /// Removes the control socket when dropped.
    pub(crate) control_socket: ControlSocketFile,
}

impl ReadyServer {
    /// Opens what the command line asks for, and takes the listeners that were passed. Needs a
    /// runtime.
    pub(crate) fn open(options: &Options, passed: Vec<std::net::TcpListener>) -> Result<Self> {
        let addresses = addresses(options, &passed)?;
        let access = options.access.access(&addresses)?;
        let certificate = match options.tls {
            true => Some(certificate::generated(
                &options.state,
                &options.listen,
                &options.access.host,
            )?),
            false => None,
        };
        let passed = passed
            .into_iter()
            .map(|listener| Ok(TcpListener::from_std(listener)?));
        let asked_for = listen_on(options, passed.len()).into_iter().map(listen);
        let listeners = passed.chain(asked_for).collect::<Result<_>>()?;
        let (control, control_socket) = ControlSocketFile::bind(&options.control)?;
        let mut config = Config::new(open_directory(&options.dir)?);
        options.storage.apply(&mut config);
        config.history = history::open(options);
        config.limits = options.limits.limits();
        config.access = access;
        config.grace = options.grace;
        config.http2 = options.http2;
        config.tls = match (&certificate, &options.cert, &options.key) {
            (Some(generated), _, _) => Some(generated.tls.clone()),
            (None, Some(certificate), Some(key)) => {
                Some(certificate::from_files(certificate, key)?)
            }
            _ => None,
        };
        Ok(Self {
            listeners,
            control,
            config,
            certificate,
            control_socket,
        })
    }

    fn shows_token(&self) -> bool {
        let mut addresses = self
            .listeners
            .iter()
            .filter_map(|listener| listener.local_addr().ok());
        self.config.access.token.is_some()
            && self.config.tls.is_none()
            && addresses.any(|address| !address.ip().is_loopback())
    }

    /// Tells the user, and systemd where it waits.
    pub(crate) fn announce(&self) {
        let addresses = self
            .listeners
            .iter()
            .filter_map(|listener| listener.local_addr().ok());
        let scheme = match self.config.tls {
            Some(_) => "https",
            None => "http",
        };
        let addresses: Vec<_> = addresses
            .map(|address| format!("{scheme}://{address}"))
            .collect();
        let status = format!(
            "listening on {}, files go to {}",
            addresses.join(" and "),
            self.config.directory.display()
        );
        // Neither is worth failing for.
        let _ = writeln!(io::stderr(), "upload-server {status}");
        if self.shows_token() {
            let _ = writeln!(
                io::stderr(),
                "upload-server: the token crosses the network in clear text: add --tls"
            );
        }
        if let Some(generated) = &self.certificate {
            let _ = writeln!(
                io::stderr(),
                "upload-server certificate {}, SHA-256 fingerprint {}",
                generated.path.display(),
                generated.fingerprint
            );
        }
        if let Err(error) = sd_notify::notify(&[NotifyState::Ready, NotifyState::Status(&status)]) {
            debug!(%error, "systemd cannot be told");
        }
    }
}

/// What the command line asks for; the usual address only where there is no other.
fn listen_on(options: &Options, passed: usize) -> Vec<SocketAddr> {
    match (options.listen.is_empty(), passed) {
        (true, 0) => vec![USUAL_ADDRESS],
        _ => options.listen.clone(),
    }
}

/// All that the server will listen on.
fn addresses(options: &Options, passed: &[std::net::TcpListener]) -> Result<Vec<SocketAddr>> {
    let mut addresses = listen_on(options, passed.len());
    for listener in passed {
        addresses.push(listener.local_addr()?);
    }
    Ok(addresses)
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

fn listen(address: SocketAddr) -> Result<TcpListener> {
    let listen = || {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    listen().map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => anyhow!(
            "{address} is already in use: stop what listens there, or choose another port with \
             --listen"
        ),
        io::ErrorKind::AddrNotAvailable => {
            anyhow!("{address} is not an address of this machine: choose one with --listen")
        }
        io::ErrorKind::PermissionDenied => anyhow!(
            "no permission to listen on {address}: choose a port from 1024 up with --listen"
        ),
        _ => anyhow!("cannot listen on {address}: choose another address with --listen ({error})"),
    })
}
