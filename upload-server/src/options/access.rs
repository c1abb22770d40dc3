//! Access on the command line, and what of it makes no sense.

use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Result, anyhow, bail};
use clap::Args;
use rustls::pki_types::ServerName;
use upload_server::server::{Access, Hosts, Offer, Token};

use crate::usage::Usage;

/// Who may do what.
#[derive(Debug, Args)]
#[command(next_help_heading = "Access")]
pub(crate) struct AccessOptions {
    /// Ask every request for the token in this file, as bearer or as password
    #[arg(long, value_name = "FILE", conflicts_with = "public")]
    token_file: Option<PathBuf>,

    /// Let everybody in who reaches the server, also where that is not this machine alone
    #[arg(long)]
    public: bool,

    /// Another name or address by which clients reach the server; may be given several times
    #[arg(long, value_name = "NAME", value_parser = host)]
    pub(crate) host: Vec<String>,

    /// Show nobody which files there are
    #[arg(long)]
    no_listing: bool,

    /// Give no file out
    #[arg(long)]
    no_download: bool,

    /// Let files be removed: DELETE /files/NAME
    #[arg(long)]
    delete: bool,
}

impl AccessOptions {
    /// What they ask for, of a server that listens on these addresses.
    pub(crate) fn access(&self, listen: &[SocketAddr]) -> Result<Access> {
        let is_loopback = |address: &&SocketAddr| address.ip().to_canonical().is_loopback();
        if let Some(open) = listen.iter().find(|address| !is_loopback(address))
            && self.token_file.is_none()
            && !self.public
        {
            bail!(Usage(format!(
                "{open} can be reached from other machines: ask for a token with --token-file, or \
                 let everybody in with --public"
            )));
        }
        let addresses = listen.iter().map(SocketAddr::ip);
        let addresses = addresses.filter(|address| !address.is_unspecified());
        Ok(Access {
            token: self.token_file.as_deref().map(read_token).transpose()?,
            hosts: Hosts::new(
                addresses
                    .map(|address| address.to_string())
                    .chain(self.host.iter().cloned()),
            ),
            offer: Offer {
                listing: !self.no_listing,
                download: !self.no_download,
                delete: self.delete,
            },
        })
    }
}

fn host(text: &str) -> Result<String, String> {
    match ServerName::try_from(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err("give a name or an address, without a port".to_owned()),
    }
}

fn read_token(path: &Path) -> Result<Token> {
    let name = path.display();
    let failed = |error| anyhow!("cannot read the token from {name}: {error}");
    let mode = fs::metadata(path).map_err(failed)?.permissions().mode();
    if mode & 0o007 != 0 {
        bail!("everybody on this machine may open {name}, which holds the token: chmod 600 {name}");
    }
    let text = fs::read_to_string(path).map_err(failed)?;
    Token::new(text.trim_end_matches(['\r', '\n'])).map_err(|error| {
        anyhow!("{name} holds no token: {error}; make one with: openssl rand -hex 32 > {name}")
    })
}
