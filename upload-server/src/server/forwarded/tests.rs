use axum::http::{HeaderName, HeaderValue};

use super::*;

/// Proxies in front of this server, and one of them that sends these fields.
fn read(fields: &[(&str, &str)]) -> Forwarded {
    let proxies = ["10.0.0.0/8", "2001:db8::/32", "127.0.0.1/32"];
    let proxies = TrustedProxies::new(proxies.map(|network| network.parse().unwrap()));
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    assert_eq!(
        proxies.read("192.0.2.1".parse().unwrap(), &headers),
        None,
        "only a trusted proxy is believed"
    );
    proxies.read("10.0.0.1".parse().unwrap(), &headers).unwrap()
}

fn address(text: &str) -> Option<IpAddr> {
    (text != "unknown").then(|| text.parse().unwrap())
}

#[test]
fn the_client_is_the_first_address_that_is_not_trusted() {
    check("192.0.2.7", "192.0.2.7");
    check("192.0.2.7:4711", "192.0.2.7");
    check("2001:db9::7", "2001:db9::7");
    check("[2001:db9::7]", "2001:db9::7");
    check("[2001:db9::7]:4711", "2001:db9::7");
    check("::ffff:192.0.2.7", "192.0.2.7");
    // The client's own claims come first.
    check("1.2.3.4, 192.0.2.7", "192.0.2.7");
    check("1.2.3.4,192.0.2.7, 10.0.0.2 ,10.9.9.9", "192.0.2.7");
    check("192.0.2.7, 2001:db8::2", "192.0.2.7");
    check("10.0.0.3, 10.0.0.2", "10.0.0.3");
    // Never guessed.
    check("192.0.2.7, unknown", "unknown");
    check("192.0.2.7, _hidden, 10.0.0.2", "unknown");
    check("192.0.2.7, nonsense", "unknown");
    check("192.0.2.7,", "unknown");
    check("192.0.2.7 192.0.2.8", "unknown");
    check("192.0.2.7:port", "unknown");
    check("192.0.2", "unknown");
    check("", "unknown");

    fn check(chain: &str, client: &str) {
        let read = read(&[("x-forwarded-for", chain)]);
        assert_eq!(read.client(), address(client), "{chain}");
    }
}

#[test]
fn several_lines_are_one() {
    let lines = [
        ("x-forwarded-for", "1.2.3.4"),
        ("x-forwarded-for", "192.0.2.7, 10.0.0.2"),
    ];
    assert_eq!(read(&lines).client(), address("192.0.2.7"));
    let lines = [
        ("forwarded", "for=1.2.3.4"),
        ("forwarded", "for=192.0.2.7;host=a.example"),
    ];
    assert_eq!(read(&lines).client(), address("192.0.2.7"));
    assert_eq!(read(&lines).host.unwrap(), "a.example");
}

#[test]
fn forwarded_is_read_as_rfc_7239_has_it() {
    check("for=192.0.2.7", "192.0.2.7", None, None);
    check("For=\"192.0.2.7:4711\"", "192.0.2.7", None, None);
    check("for=\"[2001:db9::7]:4711\"", "2001:db9::7", None, None);
    check("for=\"[2001:db9::7]\"", "2001:db9::7", None, None);
    check("for=\"192.0.2.7:_port\"", "192.0.2.7", None, None);
    check(
        "for=192.0.2.7;host=files.example;proto=https;by=203.0.113.43",
        "192.0.2.7",
        Some("files.example"),
        Some(true),
    );
    check(
        "for=192.0.2.7 ; Proto=HTTP;host=\"files.example:8080\", for=10.0.0.2;host=inner",
        "192.0.2.7",
        Some("files.example:8080"),
        Some(false),
    );
    check(
        "by=\"a;for=1.2.3.4,x\\\"\";for=192.0.2.7",
        "192.0.2.7",
        None,
        None,
    );
    check(";for=192.0.2.7;;", "192.0.2.7", None, None);
    check(
        "for=1.2.3.4, for=_hidden, for=10.0.0.2",
        "unknown",
        None,
        None,
    );
    check(
        "for=1.2.3.4, for=unknown;proto=https",
        "unknown",
        None,
        Some(true),
    );
    check("for=1.2.3.4, proto=https", "unknown", None, Some(true));
    check("for=192.0.2.7;for=192.0.2.8", "unknown", None, None);
    check("for=192.0.2.7, for=\"10.0.0.2", "unknown", None, None);
    check("for=2001:db9::7", "unknown", None, None);
    check("for=\"2001:db9::7\"", "unknown", None, None);
    check("for = 192.0.2.7", "unknown", None, None);
    check("192.0.2.7", "unknown", None, None);
    check(
        "for=192.0.2.7;host=\"user@evil.example\"",
        "192.0.2.7",
        None,
        None,
    );
    check("for=192.0.2.7;host=\"a b\"", "192.0.2.7", None, None);

    fn check(field: &str, client: &str, host: Option<&str>, secure: Option<bool>) {
        let read = read(&[("forwarded", field)]);
        assert_eq!(read.client(), address(client), "{field}");
        assert_eq!(read.host.as_ref().map(Authority::as_str), host, "{field}");
        assert_eq!(read.secure, secure, "{field}");
    }
}

/// A proxy that sets one of the fields passes on what the client wrote into the other.
#[test]
fn fields_that_disagree_are_unknown() {
    check("for=192.0.2.7", "192.0.2.7", "192.0.2.7");
    check("for=1.2.3.4", "192.0.2.7", "unknown");
    check("for=192.0.2.7", "1.2.3.4", "unknown");
    check("nonsense", "192.0.2.7", "192.0.2.7");
    check("proto=https", "192.0.2.7", "192.0.2.7");
    check("for=_hidden", "192.0.2.7", "unknown");
    check("for=192.0.2.7", "nonsense", "unknown");

    fn check(forwarded: &str, x_forwarded_for: &str, client: &str) {
        let read = read(&[
            ("forwarded", forwarded),
            ("x-forwarded-for", x_forwarded_for),
        ]);
        assert_eq!(
            read.client(),
            address(client),
            "{forwarded} {x_forwarded_for}"
        );
    }
}

fn read_one(name: &str, value: &str) -> Forwarded {
    read(&[(name, value)])
}

#[test]
fn the_other_fields() {
    let host = |value| read_one("x-forwarded-host", value).host;
    assert_eq!(host("files.example:8080").unwrap(), "files.example:8080");
    assert_eq!(host("[2001:db8::7]:8080").unwrap(), "[2001:db8::7]:8080");
    assert_eq!(host("a.example, a.example").unwrap(), "a.example");
    for value in [
        "a.example, b.example",
        "user@a.example",
        "",
        "a b",
        "http://a.example",
    ] {
        assert_eq!(host(value), None, "{value}");
    }
    // As Apache appends.
    let chain = read(&[
        ("x-forwarded-for", "1.2.3.4, 192.0.2.7, 10.0.0.2"),
        ("x-forwarded-host", "evil.example, files.example, inner"),
        ("x-forwarded-proto", "http, https, http"),
    ]);
    assert_eq!(chain.host.unwrap(), "files.example");
    assert_eq!(chain.secure, Some(true));

    let port = |value| read_one("x-forwarded-port", value).port;
    assert_eq!(
        (port("8080"), port("65536"), port("http")),
        (Some(8080), None, None)
    );
    let secure = |value| read_one("x-forwarded-proto", value).secure;
    assert_eq!(
        (secure("HTTPS"), secure("http"), secure("on")),
        (Some(true), Some(false), None)
    );
    let prefix = |value: &str| read_one("x-forwarded-prefix", value).prefix;
    assert_eq!(prefix("/upload").as_deref(), Some("/upload"));
    assert_eq!(prefix("/a/b%20c/").as_deref(), Some("/a/b%20c"));
    for value in [
        "",
        "/",
        "upload",
        "//evil.example",
        "/a//b",
        "/a/../b",
        "/.",
        "/a?b",
        "/a#b",
        "/a\"b",
        "/a\\b",
        "/a, /b",
        "http://evil.example/",
    ] {
        assert_eq!(prefix(value), None, "{value}");
    }
    assert_eq!(prefix(&format!("/{}", "x".repeat(MAX_PREFIX))), None);
}

const MAX_PREFIX: usize = 256;
