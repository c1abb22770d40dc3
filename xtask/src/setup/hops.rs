//! What `cargo xtask hops` needs.

use anyhow::Result;

use super::debian::packages;
use crate::command::log;

/// Clients and what lays namespaces; the proxies. What has no such program is skipped by name.
pub fn for_hops() -> Result<()> {
    packages(&[
        ("curl", "curl"),
        ("ip", "iproute2"),
        ("ss", "iproute2"),
        ("openssl", "openssl"),
    ])?;
    let proxies = packages(&[
        ("caddy", "caddy"),
        ("haproxy", "haproxy"),
        ("nginx", "nginx-light"),
        ("socat", "socat"),
        ("ssh", "openssh-client"),
        ("sshd", "openssh-server"),
        ("stunnel", "stunnel4"),
        ("wrk", "wrk"),
    ]);
    if let Err(error) = proxies {
        log(&format!("not every proxy could be installed: {error:#}"));
    }
    Ok(())
}
