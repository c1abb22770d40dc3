//! Cross-site requests: a page of another site can make a browser send a request to this server, with
//! the passwords that the browser has stored. But the browser also sends the origin of the page.
//!
//! To an origin that it trusts (HTTPS, localhost), a browser says how page and server are related
//! (Fetch Metadata), whatever a proxy does to the host. Over plain HTTP, only `Origin` is there, and it has
//! to be compared with the host that the request addresses:
//!
//! - The same host and port: the server's own page.
//! - The same host, and no port although the client must have named one: a proxy left it out
//!   (`proxy_set_header Host $host`). The host alone decides, since nothing else is known. A proxy that
//!   reports the port closes that gap: then another port is another site.
//! - Another host: a proxy that does not report the client's host put its own there, as nginx does unless
//!   it is told otherwise. The page is this server's own if its host is one that the server was given
//!   with `--host`. Whoever runs the server vouches for such a name, so no other site has it, not even
//!   by DNS rebinding. Again, the port is unknown.
//!
//! The last two count only where a proxy may stand in between: one that is trusted, or one on this
//! machine. Clients that are not browsers send neither field.

use axum::http::{
    HeaderMap, HeaderName, HeaderValue, Method,
    header::ORIGIN,
    uri::{Authority, Uri},
};

use super::{host::Hosts, target::Target};

/// Fetch Metadata: the site of the page that makes the request, and the kind of request.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");

/// A refusal repeats this much of a field.
const MAX_SHOWN_BYTES: usize = 200;

const PASS_ON: &str =
    "let the proxy pass the client's Host on (nginx: proxy_set_header Host $http_host)";

/// What tells a request of another site.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CrossSite {
    #[error("this request comes from a page of another site (Sec-Fetch-Site: {0})")]
    Site(String),
    #[error(
        "this request comes from a page of another site (Sec-Fetch-Site: {site}; Origin: {origin}){}",
        allow(origin)
    )]
    SiteAndOrigin { site: String, origin: String },
    #[error(
        "the browser does not say from which site the page of this request comes (Origin: {0}), so it \
         may be another one"
    )]
    Hidden(String),
    #[error(
        "this request comes from a page of another site: the page is from {origin} (Origin), and the \
         request asks for {target} ({field}). If both are this server behind a proxy, {advice}{}",
        allow(origin)
    )]
    Other {
        origin: String,
        target: String,
        field: &'static str,
        advice: String,
    },
    #[error("this request comes from a page ({0}), and does not say for which host it asks")]
    NoHost(String),
}

/// How the operator lets a page in that is meant to use the server.
fn allow(origin: &str) -> String {
    match origin {
        "null" => String::new(),
        origin => format!(". To let that page in, start this server with --allow-origin {origin}"),
    }
}

/// This server, as a page may know it.
pub(crate) struct Site<'a> {
    /// The host that the request addresses.
    pub(crate) target: Option<&'a Target>,
    pub(crate) hosts: &'a Hosts,
}

impl Site<'_> {
    /// An error for a request that a page of another site makes. A link that the user follows from there
    /// is allowed. A `harmless` request is one that may have any origin.
    pub(crate) fn check(
        &self,
        method: &Method,
        headers: &HeaderMap,
        harmless: bool,
    ) -> Result<(), CrossSite> {
        let field = |name: &HeaderName| headers.get(name).map(HeaderValue::as_bytes);
        let follows_link = method.is_safe() && field(&SEC_FETCH_MODE) == Some(b"navigate");
        match (field(&SEC_FETCH_SITE), field(&ORIGIN)) {
            (Some(b"same-origin" | b"none"), _) => Ok(()),
            (Some(_), _) if follows_link => Ok(()),
            (Some(site), Some(origin)) => Err(CrossSite::SiteAndOrigin {
                site: shown(site),
                origin: shown(origin),
            }),
            (Some(site), None) => Err(CrossSite::Site(shown(site))),
            (None, Some(origin)) if !harmless => self.check_origin(origin),
            (None, _) => Ok(()),
        }
    }

    fn check_origin(&self, origin: &[u8]) -> Result<(), CrossSite> {
        let Some((page, default_port)) = read(origin) else {
            return Err(CrossSite::Hidden(shown(origin)));
        };
        let Some(target) = self.target else {
            return Err(CrossSite::NoHost(shown(origin)));
        };
        if page.host().eq_ignore_ascii_case(target.host.host()) {
            let port = |host: &Authority| host.port_u16().unwrap_or(default_port);
            if target.port_is_unknown || port(&page) == port(&target.host) {
                return Ok(());
            }
            return Err(CrossSite::Other {
                origin: shown(origin),
                target: shown(format!("{}:{}", target.host.host(), port(&target.host)).as_bytes()),
                field: target.field,
                advice: format!("{PASS_ON}, with its port"),
            });
        }
        let replaced = target.behind_proxy && !target.is_reported();
        if replaced && self.hosts.contains(&page) {
            return Ok(());
        }
        let name = shown(page.host().as_bytes());
        Err(CrossSite::Other {
            origin: shown(origin),
            target: shown(target.host.as_str().as_bytes()),
            field: target.field,
            advice: if target.is_reported() {
                PASS_ON.to_owned()
            } else if target.behind_proxy {
                format!("{PASS_ON}, or start this server with --host {name}")
            } else {
                let proxy = target.peer;
                format!("start this server with --host {name} --trusted-proxy {proxy}")
            },
        })
    }
}

/// The host in an origin, and the default port of its scheme. The scheme itself may differ from the
/// server's: a proxy may use TLS for it.
fn read(origin: &[u8]) -> Option<(Authority, u16)> {
    let origin = Uri::try_from(origin).ok()?;
    let default_port = match origin.scheme_str()? {
        "http" => 80,
        "https" => 443,
        _ => return None,
    };
    Some((origin.authority()?.clone(), default_port))
}

fn shown(value: &[u8]) -> String {
    let text = String::from_utf8_lossy(value.get(..MAX_SHOWN_BYTES).unwrap_or(value));
    let end = if value.len() > MAX_SHOWN_BYTES {
        "…"
    } else {
        ""
    };
    format!("{text}{end}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::access::target::REPORT;

    fn target(host: &str, field: &'static str, behind_proxy: bool, lost_port: bool) -> Target {
        Target {
            host: host.parse().unwrap(),
            field,
            behind_proxy,
            port_is_unknown: lost_port,
            peer: [192, 0, 2, 9].into(),
        }
    }

    fn is_own(origin: &str, target: &Target) -> bool {
        let hosts = Hosts::new(["files.lan".to_owned(), "192.0.2.7".to_owned()]);
        let target = Some(target);
        let site = Site {
            target,
            hosts: &hosts,
        };
        site.check_origin(origin.as_bytes()).is_ok()
    }

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
        // A name of the server means nothing where no proxy can have replaced the host.
        check("http://files.lan", "192.0.2.7:5000", false);

        fn check(origin: &str, host: &str, expected: bool) {
            let target = target(host, "Host", false, false);
            assert_eq!(is_own(origin, &target), expected, "{origin} {host}");
        }
    }

    #[test]
    fn a_proxy_may_replace_the_host_or_leave_the_port_out() {
        check("http://files.lan", [true, true, false]);
        check("http://files.lan:8080", [true, true, true]);
        check("http://files.lan:9000", [true, true, false]);
        check("http://192.0.2.7", [true, true, false]);
        check("http://127.0.0.1:5000", [true, false, false]);
        // Other applications on this machine are not this server.
        check("http://127.0.0.1:9000", [false; 3]);
        check("http://localhost", [false; 3]);
        check("http://evil.example", [false; 3]);
        check("http://files.lan.evil.example", [false; 3]);
        check("null", [false; 3]);

        fn check(origin: &str, expected: [bool; 3]) {
            let targets = [
                target("127.0.0.1:5000", "Host", true, false),
                target("files.lan", "Host", true, true),
                target("files.lan:8080", REPORT, true, false),
            ];
            let own = targets.map(|target| is_own(origin, &target));
            assert_eq!(own, expected, "{origin}");
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
            let target = target("localhost", "Host", false, false);
            let own = Site {
                target: Some(&target),
                hosts: &Hosts::default(),
            };
            let method = method.parse().unwrap();
            let passed = own.check(&method, &headers, false).is_ok();
            assert_eq!(passed, passes, "{method} {site:?} {mode} {origin:?}");
        }
    }
}
