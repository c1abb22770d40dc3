//! Cross-site requests: a page of another site can make a browser send a request to this server, with
//! the passwords that the browser has stored. But the browser also sends the origin of the page.

use axum::http::{
    HeaderMap, HeaderName, HeaderValue, Method,
    header::ORIGIN,
    uri::{Authority, Uri},
};

use crate::server::error::Error;

/// Fetch Metadata: the site of the page that makes the request, and the kind of request.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");

/// Refuses requests that a page of another site makes. A link that the user follows from there is
/// allowed.
pub(crate) fn refuse(
    method: &Method,
    headers: &HeaderMap,
    host: Option<&Authority>,
) -> Result<(), Error> {
    let header = |name: &HeaderName| headers.get(name).map(HeaderValue::as_bytes);
    let follows_link = method.is_safe() && header(&SEC_FETCH_MODE) == Some(b"navigate");
    let own = match (header(&SEC_FETCH_SITE), header(&ORIGIN)) {
        (Some(b"same-origin" | b"none"), _) => true,
        (Some(_), _) => follows_link,
        (None, Some(origin)) => host.is_some_and(|host| is_origin_of(origin, host)),
        (None, None) => true,
    };
    if own { Ok(()) } else { Err(Error::CrossSite) }
}

/// Whether an origin is this host. The schemes may differ: a proxy may speak TLS for the server.
fn is_origin_of(origin: &[u8], host: &Authority) -> bool {
    let Ok(origin) = Uri::try_from(origin) else {
        return false;
    };
    let (Some(scheme), Some(authority)) = (origin.scheme_str(), origin.authority()) else {
        return false;
    };
    let default_port = match scheme {
        "http" => 80,
        "https" => 443,
        _ => return false,
    };
    let port = |authority: &Authority| authority.port_u16().unwrap_or(default_port);
    authority.host().eq_ignore_ascii_case(host.host()) && port(authority) == port(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_host_and_port() {
        check("http://files.example", "files.example", true);
        check("https://files.example", "files.example", true);
        check("https://files.example", "files.example:443", true);
        check("http://files.example:80", "files.example", true);
        check("http://FILES.example:5000", "files.example:5000", true);
        check("http://[::1]:5000", "[::1]:5000", true);
        check("http://files.example", "files.example:5000", false);
        check("http://files.example:81", "files.example", false);
        check("http://evil.example", "files.example", false);
        check("http://files.example.evil.example", "files.example", false);
        check("ftp://files.example", "files.example", false);
        check("null", "files.example", false);
        check("", "files.example", false);

        fn check(origin: &str, host: &str, expected: bool) {
            let is = is_origin_of(origin.as_bytes(), &host.parse().unwrap());
            assert_eq!(is, expected, "{origin} {host}");
        }
    }

    #[test]
    fn the_browser_names_the_pages_site() {
        check("POST", Some("same-origin"), "cors", None, true);
        check("POST", Some("none"), "navigate", None, true);
        check("POST", Some("same-site"), "navigate", None, false);
        check("POST", Some("cross-site"), "navigate", None, false);
        check(
            "PUT",
            Some("cross-site"),
            "cors",
            Some("http://evil.example"),
            false,
        );
        check("PUT", Some("whatever"), "cors", None, false);
        check("GET", Some("cross-site"), "navigate", None, true);
        check("GET", Some("cross-site"), "no-cors", None, false);
        check("GET", None, "", Some("http://evil.example"), false);
        check("DELETE", None, "", Some("http://localhost"), true);
        check("PUT", None, "", None, true);

        fn check(method: &str, site: Option<&str>, mode: &str, origin: Option<&str>, passes: bool) {
            let mut headers = HeaderMap::new();
            headers.insert(SEC_FETCH_MODE, mode.parse().unwrap());
            for (name, value) in [(SEC_FETCH_SITE, site), (ORIGIN, origin)] {
                if let Some(value) = value {
                    headers.insert(name, value.parse().unwrap());
                }
            }
            let host = Authority::from_static("localhost");
            let method = method.parse().unwrap();
            let passed = refuse(&method, &headers, Some(&host)).is_ok();
            assert_eq!(passed, passes, "{method} {site:?} {mode} {origin:?}");
        }
    }
}
