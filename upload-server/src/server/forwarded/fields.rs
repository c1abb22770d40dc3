//! The fields by which proxies report: `Forwarded` on the one hand, its forerunners on the other.

use std::sync::Arc;

use axum::http::{HeaderMap, HeaderName, header::FORWARDED, uri::Authority};

use super::{
    Forwarded, TrustedProxies,
    element::{Node, bare_node, elements},
};

const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");

/// A longer prefix is unknown: every link on a page repeats it.
const MAX_PREFIX_BYTES: usize = 256;

/// Whether a proxy, trusted or not, reports another client.
pub(crate) fn is_forwarded(headers: &HeaderMap) -> bool {
    [FORWARDED, FOR]
        .iter()
        .any(|name| headers.contains_key(name))
}

/// What `Forwarded` reports. None where it is missing or malformed.
pub(super) fn forwarded(proxies: &TrustedProxies, headers: &HeaderMap) -> Option<Forwarded> {
    let elements = elements(&line(headers, &FORWARDED)?)?;
    let nodes = elements.iter().map(|element| element.node);
    let nodes: Vec<_> = nodes.map(|node| node.unwrap_or(Node::Unknown)).collect();
    let (place, _) = proxies.client(&nodes)?;
    // The proxy that received the client's request appended this element.
    let element = elements.get(place)?;
    Some(Forwarded {
        client: element.node,
        host: element.host.as_deref().and_then(host),
        port: None,
        secure: element.proto.as_deref().and_then(is_https),
        prefix: None,
    })
}

/// What the forerunners of `Forwarded` report.
pub(super) fn forerunners(proxies: &TrustedProxies, headers: &HeaderMap) -> Forwarded {
    let chain = line(headers, &FOR);
    let chain: Vec<_> = chain.iter().flat_map(|chain| split(chain)).collect();
    let nodes: Vec<_> = chain.iter().map(|node| bare_node(node)).collect();
    let found = proxies.client(&nodes);
    let place = found.map_or(0, |(place, _)| place);
    let value = |name| value(&line(headers, name)?, chain.len(), place);
    Forwarded {
        client: found.map(|(_, client)| client),
        host: value(&HOST).as_deref().and_then(host),
        port: value(&PORT).and_then(|port| port.parse().ok()),
        secure: value(&PROTO).as_deref().and_then(is_https),
        prefix: value(&PREFIX).as_deref().and_then(prefix),
    }
}

/// The lines of a field as one (RFC 9110, 5.3). None where there is none, or one is not text.
fn line(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let lines = headers.get_all(name).iter().map(|line| line.to_str().ok());
    let lines: Vec<_> = lines.collect::<Option<_>>()?;
    (!lines.is_empty()).then(|| lines.join(","))
}

fn split(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim)
}

/// The value that the client's proxy set. Where each proxy of the chain appended one, as Apache does, it
/// has the same place as the client. Otherwise, all values must be the same.
fn value(list: &str, chain: usize, place: usize) -> Option<String> {
    let values: Vec<_> = split(list).collect();
    let value = if values.len() == chain {
        values.get(place)?
    } else {
        let first = values.first()?;
        values.iter().all(|value| value == first).then_some(first)?
    };
    Some((*value).to_owned())
}

fn host(text: &str) -> Option<Authority> {
    let authority: Authority = text.parse().ok()?;
    (!text.contains('@') && !authority.host().is_empty()).then_some(authority)
}

fn is_https(scheme: &str) -> Option<bool> {
    if scheme.eq_ignore_ascii_case("https") {
        Some(true)
    } else {
        scheme.eq_ignore_ascii_case("http").then_some(false)
    }
}

/// A path on the proxy, and nothing that a browser would take for another host or another folder.
fn prefix(text: &str) -> Option<Arc<str>> {
    let path = text.trim_end_matches('/');
    let segments = path.strip_prefix('/')?.split('/');
    let is_plain = |segment: &str| {
        let characters = segment.bytes();
        let plain =
            |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=:@".contains(&byte);
        !matches!(segment, "" | "." | "..") && characters.into_iter().all(plain)
    };
    let fits = path.len() <= MAX_PREFIX_BYTES && segments.into_iter().all(is_plain);
    fits.then(|| path.into())
}
