//! The command line. Scripts depend on it.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::Parser;
use upload_server::control_path::default_control_path;

mod access;
mod limits;
mod state;
mod storage;

use self::{
    access::AccessOptions,
    limits::{LimitOptions, seconds},
    state::default_state_directory,
    storage::StorageOptions,
};

/// Takes uploads over HTTP, by PUT or from a form in the browser, and says when and how each
/// arrived.
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLES)]
pub(crate) struct Options {
    /// Address to take uploads on; may be given several times [default: 127.0.0.1:5000, or the
    /// sockets that systemd passes]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Vec<SocketAddr>,

    /// Directory for the files; created if missing
    #[arg(long, value_name = "DIR", default_value = "./uploads")]
    pub(crate) dir: PathBuf,

    /// Unix socket that tells about uploads
    #[arg(long, value_name = "SOCKET", default_value_os_t = default_control_path())]
    pub(crate) control: PathBuf,

    /// HTTPS, with a certificate that the server makes and keeps: certificate.pem in --state
    #[arg(long)]
    pub(crate) tls: bool,

    /// HTTPS, with this certificate: a PEM file that begins with the server's own
    #[arg(long, value_name = "FILE", requires = "key", conflicts_with = "tls")]
    pub(crate) cert: Option<PathBuf>,

    /// The key of --cert: a PEM file
    #[arg(long, value_name = "FILE", requires = "cert", conflicts_with = "tls")]
    pub(crate) key: Option<PathBuf>,

    /// Take HTTP/2, too: where the client asks for it in TLS, or begins with it in clear text
    #[arg(long)]
    pub(crate) http2: bool,

    /// Directory for what must outlive the server and is no upload; made when needed
    #[arg(long, value_name = "DIR", default_value_os_t = default_state_directory())]
    pub(crate) state: PathBuf,

    /// How long uploads may go on once the server is to stop; a second signal ends them at once
    #[arg(long, value_name = "SECS", value_parser = seconds, default_value = "30")]
    pub(crate) grace: Duration,

    #[command(flatten)]
    pub(crate) storage: StorageOptions,

    #[command(flatten)]
    pub(crate) access: AccessOptions,

    #[command(flatten)]
    pub(crate) limits: LimitOptions,
}

const EXAMPLES: &str = "\
Examples:
  upload-server                                    take uploads from this machine
  upload-server --listen 0.0.0.0:5000 --host files --tls --token-file token
                                                   take uploads from the network
  curl -u :TOKEN -T cat.png https://files:5000/    show the token; in a browser, it is the password
  curl -T cat.png http://127.0.0.1:5000/           upload a file
  curl -F file=@cat.png http://127.0.0.1:5000/     the same, as a form
  upload-server --tls --state /srv/state           take uploads over HTTPS; then, to trust its certificate:
  curl --cacert /srv/state/certificate.pem -T cat.png https://localhost:5000/
  curl --unix-socket SOCKET http://control/uploads follow the uploads
  curl --unix-socket SOCKET http://control/history what became of the latest";

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn is_consistent() {
        Options::command().debug_assert();
    }
}
