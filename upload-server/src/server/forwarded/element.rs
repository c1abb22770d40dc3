//! The syntax of `Forwarded` (RFC 7239, 4) and of the nodes in it and in `X-Forwarded-For`.
//!
//! The crates for it split at commas and semicolons within quoted strings (rfc7239), or are no longer
//! maintained (forwarded-header-value).

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// One end of a connection to a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Node {
    Address(IpAddr),
    /// Hidden by the proxy (`unknown`, `_name`), or malformed.
    Unknown,
}

/// What one proxy reports.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Element {
    pub(super) node: Option<Node>,
    pub(super) host: Option<String>,
    pub(super) proto: Option<String>,
}

/// All elements of a field, or None where it is malformed.
pub(super) fn elements(field: &str) -> Option<Vec<Element>> {
    let mut rest = field;
    let mut elements = Vec::new();
    loop {
        let mut element = Element::default();
        loop {
            rest = rest.trim_start_matches([' ', '\t']);
            // A pair may be missing: `for=a;;host=b`.
            if !rest.is_empty() && !rest.starts_with([';', ',']) {
                let (name, after) = token(rest)?;
                let (value, after) = value(after.strip_prefix('=')?)?;
                element.set(name, value)?;
                rest = after.trim_start_matches([' ', '\t']);
            }
            match rest.strip_prefix(';') {
                Some(after) => rest = after,
                None => break,
            }
        }
        elements.push(element);
        if rest.is_empty() {
            return Some(elements);
        }
        rest = rest.strip_prefix(',')?;
    }
}

impl Element {
    /// A parameter may not occur twice. Those of other names are passed over.
    fn set(&mut self, name: &str, value: String) -> Option<()> {
        let known = match name.to_ascii_lowercase().as_str() {
            "for" => {
                let twice = self.node.replace(node(&value)).is_some();
                return (!twice).then_some(());
            }
            "host" => &mut self.host,
            "proto" => &mut self.proto,
            _ => return Some(()),
        };
        known.replace(value).is_none().then_some(())
    }
}

/// A node with or without a port. An IPv6 address is in brackets.
fn node(text: &str) -> Node {
    let bracketed = |text: &str| -> Option<IpAddr> {
        let address = text.strip_prefix('[')?.strip_suffix(']')?;
        address.parse().ok().map(IpAddr::V6)
    };
    let with_port = || text.parse::<SocketAddr>().map(|address| address.ip());
    // Proxies may hide the port alone: `192.0.2.1:_port`.
    let visible = match text.rsplit_once(":_") {
        Some((visible, hidden)) if !hidden.is_empty() && hidden.bytes().all(is_token) => visible,
        _ => text,
    };
    let address = match visible.parse() {
        Ok(address) => Some(IpAddr::V4(address)),
        Err(_) => bracketed(visible).or_else(|| with_port().ok()),
    };
    address.map_or(Node::Unknown, |address| {
        Node::Address(address.to_canonical())
    })
}

/// A node of `X-Forwarded-For`, where an IPv6 address may also be without brackets.
pub(super) fn bare_node(text: &str) -> Node {
    match text.parse::<Ipv6Addr>() {
        Ok(address) => Node::Address(IpAddr::V6(address).to_canonical()),
        Err(_) => node(text),
    }
}

/// A token, and the rest after it.
fn token(text: &str) -> Option<(&str, &str)> {
    let end = text.bytes().position(|byte| !is_token(byte));
    let (token, rest) = text.split_at_checked(end.unwrap_or(text.len()))?;
    (!token.is_empty()).then_some((token, rest))
}

/// A token or a quoted string, and the rest after it.
fn value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        return token(text).map(|(token, rest)| (token.to_owned(), rest));
    };
    let mut value = String::new();
    let mut characters = quoted.chars();
    loop {
        match characters.next()? {
            '"' => return Some((value, characters.as_str())),
            '\\' => value.push(characters.next()?),
            other => value.push(other),
        }
    }
}

/// A character of a token (RFC 9110, 5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
