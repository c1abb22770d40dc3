//! Options for access, and the combinations of them that are refused.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

use anyhow::{Result, bail};
use clap::Args;
use ipnet::IpNet;
use rustls::pki_types::ServerName;

use super::{UsageError, token_file};
use crate::server::{Access, AllowedOrigin, Hosts, Offer, TrustedProxies};

#[derive(Debug, Args)]
#[command(next_help_heading = "Access")]
pub struct AccessOptions {
    /// Require the token in this file, as bearer token or as password; a missing file is made
    #[arg(long, value_name = "FILE", conflicts_with = "public")]
    token_file: Option<PathBuf>,

    /// Serve non-loopback addresses without a token
    #[arg(long)]
    public: bool,

    /// Another name or address by which clients reach the server; repeatable
    #[arg(long, value_name = "NAME", value_parser = host)]
    pub host: Vec<String>,

    /// Believe what this proxy reports of clients (X-Forwarded-For, Forwarded); repeatable
    #[arg(long, value_name = "ADDRESS[/BITS]", value_parser = network)]
    trusted_proxy: Vec<IpNet>,

    // rustdoc would want the address to be a link.
    #[arg(
        long,
        value_name = "ORIGIN",
        help = "Let pages of this origin (https://app.example, or '*' for all) use the server; repeatable"
    )]
    allow_origin: Vec<AllowedOrigin>,

    /// Disable the lists of files and uploads
    #[arg(long)]
    no_listing: bool,

    /// Disable downloads
    #[arg(long)]
    no_download: bool,

    /// Enable removing files: DELETE /files/NAME
    #[arg(long)]
    delete: bool,
}

impl AccessOptions {
    /// Whether other machines may use the server.
    pub fn admits_other_machines(&self) -> bool {
        self.public || self.token_file.is_some()
    }

    /// The access that they grant on a server that listens on these addresses, and has these names.
    pub fn access(&self, listen: &[SocketAddr], names: &[String]) -> Result<Access> {
        let is_loopback = |address: &&SocketAddr| address.ip().to_canonical().is_loopback();
        if let Some(open) = listen.iter().find(|address| !is_loopback(address))
            && !self.admits_other_machines()
        {
            bail!(UsageError(format!(
                "{open} can be reached from other machines: require a token with --token-file FILE \
                 (a missing one is made), or serve everybody with --public"
            )));
        }
        // A site cannot reach a machine in a LAN, but a browser there that shows its page can.
        if self.allow_origin.contains(&AllowedOrigin::Any) && !self.admits_other_machines() {
            bail!(UsageError(
                "with --allow-origin '*', every site that somebody here visits can use this server: \
                 name the origins, require a token with --token-file, or serve everybody with \
                 --public"
                    .to_owned()
            ));
        }
        let token_file = self.token_file.as_deref();
        Ok(Access {
            token: token_file.map(token_file::read_or_make).transpose()?,
            hosts: Hosts::new(self.host.iter().cloned()).with_own(names.iter().cloned()),
            proxies: TrustedProxies::new(self.trusted_proxy.iter().copied()),
            origins: self.allow_origin.iter().cloned().collect(),
            offer: Offer {
                listing: !self.no_listing,
                download: !self.no_download,
                delete: self.delete,
            },
        })
    }
}

fn host(text: &str) -> Result<String, String> {
    ServerName::try_from(text)
        .map(|_| text.to_owned())
        .map_err(|_| "give a name or an address, without a port".to_owned())
}

/// An address, or a network of addresses.
fn network(text: &str) -> Result<IpNet, String> {
    let network = match text.parse::<IpAddr>() {
        Ok(address) => IpNet::from(address.to_canonical()),
        Err(_) => text.parse().map_err(|_| {
            "give an address or a network, such as 127.0.0.1 or 10.0.0.0/8".to_owned()
        })?,
    };
    let whole = network.trunc();
    if network == whole {
        Ok(network)
    } else {
        Err(format!(
            "the address has more bits than the network: give {whole}"
        ))
    }
}
