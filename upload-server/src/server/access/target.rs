//! The host that a request addresses, as its client wrote it, as far as that is known: a proxy may replace
//! the field `Host`.

use std::net::IpAddr;

use axum::http::{HeaderMap, HeaderValue, Uri, header::HOST, uri::Authority};

use super::host::is_this_machine;
use crate::server::{
    error::Error,
    net::connection::{Connection, RequestContext},
};

/// The host that a trusted proxy reports, or else that of the request.
pub(crate) struct Target {
    pub(crate) host: Authority,
    /// The field that names it.
    pub(crate) field: &'static str,
    /// A proxy may stand between the client and this server: a trusted one, or one on this machine.
    pub(super) behind_proxy: bool,
    /// A proxy may have left the port out.
    pub(super) port_is_unknown: bool,
    /// Where the request came from.
    pub(super) peer: IpAddr,
}

/// The host that the request itself addresses. A target with an authority overrides the field (RFC 9112,
/// 3.2.2).
pub(crate) fn host(uri: &Uri, headers: &HeaderMap) -> Option<Authority> {
    let of_header = || headers.get(HOST)?.to_str().ok()?.parse().ok();
    uri.authority().cloned().or_else(of_header)
}

/// An error for a request with more than one field `Host`, whose readers could disagree (RFC 9112, 3.2), or with a
/// user before the host, which belongs to no HTTP address (RFC 9110, 4.2.4).
pub(super) fn check(uri: &Uri, headers: &HeaderMap) -> Result<(), Error> {
    let mut fields = headers.get_all(HOST).iter();
    let first = fields.next();
    if fields.next().is_some() {
        return Err(Error::Malformed(
            "the request has more than one field Host".to_owned(),
        ));
    }
    let of_target = uri.authority().map(|host| host.as_str().as_bytes());
    let mut hosts = of_target
        .into_iter()
        .chain(first.map(HeaderValue::as_bytes));
    if hosts.any(|host| host.contains(&b'@')) {
        return Err(Error::Malformed(
            "the host of the request has a user before it".to_owned(),
        ));
    }
    Ok(())
}

/// Whether no browser on the other end of the connection wrote this host: it would have named the port, which
/// is not the default one.
pub(super) fn is_from_proxy(host: &Authority, connection: &Connection) -> bool {
    let default_port = if connection.secure { 443 } else { 80 };
    host.port().is_none() && connection.local.port() != default_port
}

impl Target {
    /// `host` is that of the request itself.
    pub(crate) fn of(host: Option<&Authority>, context: &RequestContext) -> Option<Self> {
        let connection = &context.connection;
        let reported = context.forwarded.as_ref();
        let behind_proxy = reported.is_some() || connection.client.ip().is_loopback();
        let (host, field) = match reported.and_then(|report| report.host.clone()) {
            Some(host) => (host, REPORT),
            None => (host?.clone(), "Host"),
        };
        let reported_port = reported.and_then(|report| report.port);
        let host = match reported_port {
            Some(port) if host.port().is_none() => with_port(&host, port).unwrap_or(host),
            _ => host,
        };
        // To localhost, browsers send more than the origin. No need to guess.
        let port_is_unknown =
            behind_proxy && is_from_proxy(&host, connection) && !is_this_machine(&host);
        Some(Self {
            host,
            field,
            behind_proxy,
            port_is_unknown,
            peer: connection.client.ip(),
        })
    }

    /// Whether a trusted proxy reports it.
    pub(crate) fn is_reported(&self) -> bool {
        self.field == REPORT
    }
}

pub(super) const REPORT: &str = "Forwarded or X-Forwarded-Host";

fn with_port(host: &Authority, port: u16) -> Option<Authority> {
    format!("{host}:{port}").parse().ok()
}
