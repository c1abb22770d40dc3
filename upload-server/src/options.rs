//! The command line. Scripts depend on it.

pub mod access;
pub mod limits;
pub mod listen;
pub mod storage;
mod token_file;

use std::{path::PathBuf, sync::LazyLock, time::Duration};

use clap::Parser;
use upload_protocol::version::of_source;

use self::{
    access::AccessOptions,
    limits::{LimitOptions, seconds},
    listen::Listen,
    storage::{StorageOptions, default_state_directory},
};

static LONG_VERSION: LazyLock<String> = LazyLock::new(|| of_source(env!("CARGO_PKG_VERSION")));

/// Receives uploads over HTTP, and records when and how each one arrived.
#[derive(Debug, Parser)]
#[command(version, long_version = LONG_VERSION.as_str(), after_help = EXAMPLES)]
pub struct Options {
    /// Address to listen on, or :PORT for all; repeatable [default: 127.0.0.1:5000, or systemd's]
    #[arg(long, value_name = "[ADDRESS:]PORT")]
    pub listen: Vec<Listen>,

    /// Directory for the files; created if missing
    #[arg(long, value_name = "DIR", default_value = "./uploads")]
    pub dir: PathBuf,

    /// Unix socket that streams the records of uploads [default: in the user's runtime directory]
    #[arg(long, value_name = "SOCKET")]
    pub control: Option<PathBuf>,

    /// Serve HTTPS with a certificate that the server generates: certificate.pem in --state
    #[arg(long)]
    pub tls: bool,

    /// Serve HTTPS with this certificate: a PEM file that begins with the server's own
    #[arg(long, value_name = "FILE", requires = "key", conflicts_with = "tls")]
    pub cert: Option<PathBuf>,

    /// Private key of --cert: a PEM file
    #[arg(long, value_name = "FILE", requires = "cert", conflicts_with = "tls")]
    pub key: Option<PathBuf>,

    /// Enable HTTP/2: negotiated within TLS, or with prior knowledge in clear text
    #[arg(long)]
    pub http2: bool,

    /// Directory for server state (certificate, history); created when needed
    #[arg(long, value_name = "DIR", default_value_os_t = default_state_directory())]
    pub state: PathBuf,

    /// Time for running uploads to finish after a signal; a second signal ends them at once
    #[arg(long, value_name = "SECS", value_parser = seconds, default_value = "30")]
    pub grace: Duration,

    #[command(flatten)]
    pub storage: StorageOptions,

    #[command(flatten)]
    pub access: AccessOptions,

    #[command(flatten)]
    pub limits: LimitOptions,
}

/// A combination of options that makes no sense: how to change it, in a sentence.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(pub(crate) String);

impl UsageError {
    /// The same status that clap exits with.
    pub const EXIT_STATUS: u8 = 2;
}

const EXAMPLES: &str = "\
Examples:
  upload-server                                    receive uploads from this machine
  upload-server --listen :5000 --tls --token-file token
                                                   receive uploads from the network
  curl -u :TOKEN -T cat.png https://files:5000/    send the token; in a browser, it is the password
  curl -T cat.png http://127.0.0.1:5000/           upload a file
  curl -F file=@cat.png http://127.0.0.1:5000/     the same, as a form
  upload-server --tls --state /srv/state           receive uploads over HTTPS
  curl --cacert /srv/state/certificate.pem -T cat.png https://localhost:5000/
                                                   trust its certificate
  curl --unix-socket SOCKET http://control/uploads follow the uploads
  curl --unix-socket SOCKET http://control/history list the latest uploads and their outcomes";

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn is_consistent() {
        Options::command().debug_assert();
    }

    #[test]
    fn help_fits_100_columns() {
        let help = Options::command().render_long_help();
        let too_wide = |line: &&str| line.chars().count() > 100;
        assert_eq!(help.to_string().lines().find(too_wide), None);
    }
}
