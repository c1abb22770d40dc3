//! What tells a request apart from others, whichever connection it is on: identifiers in its head, and the
//! addresses of the client that a proxy received it from.

use std::{
    hash::{DefaultHasher, Hasher as _},
    net::{IpAddr, SocketAddr},
};

use upload_protocol::timeline::TraceParent;

/// Of one request in the clear.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// A hash of the field `X-Request-Id`.
    pub request_id: Option<u64>,
    /// A hash of the trace id in the field `traceparent` (W3C Trace Context, section 3.2.2.3).
    pub trace_id: Option<u64>,
    /// That field itself, if it is valid and there is one alone.
    pub trace_parent: Option<TraceParent>,
    /// How many of these fields there are.
    pub trace_parents: u8,
    /// The client of the proxy that sent the request, by the last element of `Forwarded` (RFC 7239) or
    /// `X-Forwarded-For`, with its port where that is there.
    pub forwarded_for: Option<(IpAddr, Option<u16>)>,
}

impl Marks {
    /// Takes a field of a head, if it is one of these; returns whether it is.
    pub(super) fn read(marks: &mut Option<Box<Self>>, name: &str, value: &[u8]) -> bool {
        let is = |expected: &str| name.eq_ignore_ascii_case(expected);
        let read = if is("x-request-id") {
            let request_id = Some(hash(value.trim_ascii()));
            Self {
                request_id,
                ..Self::default()
            }
        } else if is("traceparent") {
            let trace_id = value.trim_ascii().split(|byte| *byte == b'-').nth(1);
            let trace_id = trace_id.filter(|id| id.len() == 32).map(hash);
            Self {
                trace_id,
                trace_parent: TraceParent::read(value.trim_ascii()).ok(),
                trace_parents: 1,
                ..Self::default()
            }
        } else if is("forwarded") || is("x-forwarded-for") {
            let last = value.rsplit(|byte| *byte == b',').next().unwrap_or(value);
            let node = if is("forwarded") {
                parameter_for(last)
            } else {
                Some(last)
            };
            let forwarded_for = node.and_then(node_address);
            Self {
                forwarded_for,
                ..Self::default()
            }
        } else {
            return false;
        };
        let known = marks.get_or_insert_default();
        let trace_parents = known.trace_parents.saturating_add(read.trace_parents);
        **known = Self {
            request_id: read.request_id.or(known.request_id),
            trace_id: read.trace_id.or(known.trace_id),
            trace_parent: read
                .trace_parent
                .or(known.trace_parent)
                .filter(|_| trace_parents == 1),
            trace_parents,
            // Each proxy may add a line of its own, after those before it.
            forwarded_for: read.forwarded_for.or(known.forwarded_for),
        };
        true
    }
}

fn hash(value: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(value);
    hasher.finish()
}

/// The parameter `for` of an element of `Forwarded`.
fn parameter_for(element: &[u8]) -> Option<&[u8]> {
    let mut pairs = element.split(|byte| *byte == b';');
    pairs.find_map(|pair| {
        let equals = pair.iter().position(|byte| *byte == b'=')?;
        let (name, value) = pair.split_at(equals);
        name.trim_ascii()
            .eq_ignore_ascii_case(b"for")
            .then(|| value.get(1..))
            .flatten()
    })
}

/// An address, with or without a port, quoted or not (RFC 7239, section 6).
fn node_address(node: &[u8]) -> Option<(IpAddr, Option<u16>)> {
    let node = str::from_utf8(node).ok()?.trim().trim_matches('"');
    if let Ok(address) = node.parse::<SocketAddr>() {
        return Some((address.ip().to_canonical(), Some(address.port())));
    }
    let ip = node.trim_start_matches('[').trim_end_matches(']');
    Some((ip.parse::<IpAddr>().ok()?.to_canonical(), None))
}

#[cfg(test)]
mod tests {
    use super::Marks;

    #[test]
    fn the_client_of_a_proxy() {
        let check = |name, value: &str, expected: Option<(&str, Option<u16>)>| {
            let mut marks = None;
            assert!(Marks::read(&mut marks, name, value.as_bytes()));
            let found = marks.unwrap().forwarded_for;
            let expected = expected.map(|(ip, port)| (ip.parse().unwrap(), port));
            assert_eq!(found, expected, "{value}");
        };
        check("X-Forwarded-For", "192.0.2.1", Some(("192.0.2.1", None)));
        check(
            "X-Forwarded-For",
            "192.0.2.1, 198.51.100.2:77",
            Some(("198.51.100.2", Some(77))),
        );
        check("X-Forwarded-For", "unknown", None);
        check("Forwarded", "for=192.0.2.1", Some(("192.0.2.1", None)));
        check(
            "Forwarded",
            "for=192.0.2.1, proto=https;For=\"[2001:db8::1]:4711\";by=_proxy",
            Some(("2001:db8::1", Some(4711))),
        );
        check(
            "Forwarded",
            "for=\"[::ffff:192.0.2.1]\"",
            Some(("192.0.2.1", None)),
        );
        check("Forwarded", "for=_hidden", None);
        check("Forwarded", "proto=http", None);
        check("Forwarded", "", None);
    }

    #[test]
    fn two_parents_are_none() {
        let own = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        for other in [&own[..], b"", b"wrong"] {
            let mut marks = None;
            Marks::read(&mut marks, "traceparent", own);
            Marks::read(&mut marks, "X-Request-ID", b"1");
            assert!(marks.as_ref().unwrap().trace_parent.is_some());
            Marks::read(&mut marks, "traceparent", other);
            assert_eq!(marks.unwrap().trace_parent, None);
        }
    }

    #[test]
    fn identifiers() {
        let read = |name, value: &str| {
            let mut marks = None;
            Marks::read(&mut marks, name, value.as_bytes());
            marks.map(|marks| *marks)
        };
        let trace = |parent: &str| {
            let value = format!("00-0af7651916cd43dd8448eb211c80319c-{parent}-01");
            read("traceparent", &value).unwrap().trace_id
        };
        assert_eq!(trace("b7ad6b7169203331"), trace("00f067aa0ba902b7"));
        assert_ne!(trace("b7ad6b7169203331"), None);
        assert_eq!(read("traceparent", "00-short-1-01").unwrap().trace_id, None);
        let other = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let parent = read("TraceParent", &format!(" {other} ")).unwrap();
        assert_eq!(parent.trace_parent.unwrap().to_string(), other);
        assert_eq!(
            read("traceparent", "00-short-1-01").unwrap().trace_parent,
            None
        );
        assert_eq!(read("X-Request-ID", " a "), read("x-request-id", "a"));
        assert_ne!(read("X-Request-ID", "b"), read("x-request-id", "a"));
        assert_eq!(read("Host", "b"), None);
    }
}
