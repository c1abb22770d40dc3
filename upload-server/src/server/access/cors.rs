//! Pages of other origins that the operator allows: the CORS protocol (Fetch, 3.3), by which their
//! scripts may upload, and read the answers.
//!
//! The browser's own credentials are never asked for (no `Access-Control-Allow-Credentials`). A page
//! sends the token itself. `tower-http`'s layer takes every `OPTIONS` for a preflight, which hides
//! what this server supports from clients of tus.

use std::str::FromStr;

use axum::{
    extract::Request,
    http::{
        HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri,
        header::{
            ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
            ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
            ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
        },
    },
    response::{IntoResponse, Response},
};

use super::headers::CROSS_ORIGIN_RESOURCE_POLICY;

/// Private Network Access: a page of a public site asks whether it may use a server in a LAN.
const REQUEST_PRIVATE_NETWORK: HeaderName =
    HeaderName::from_static("access-control-request-private-network");
const ALLOW_PRIVATE_NETWORK: HeaderName =
    HeaderName::from_static("access-control-allow-private-network");

const METHODS: HeaderValue =
    HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
const TRUE: HeaderValue = HeaderValue::from_static("true");
const CROSS_ORIGIN: HeaderValue = HeaderValue::from_static("cross-origin");

/// Two hours, the longest that Chromium keeps the answer to a preflight.
const MAX_AGE: HeaderValue = HeaderValue::from_static("7200");

/// An origin that the operator allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllowedOrigin {
    /// Every origin: `*`.
    Any,
    /// As browsers send it: in lower case, without the scheme's own port.
    This(String),
}

/// Why a text is not an origin that can be allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OriginError {
    #[error("give a scheme, a host and a port if needed, such as https://app.example:8443")]
    NotAnOrigin,
    #[error(
        "a browser sends it as ASCII: begin the parts of the host that have other letters with xn--"
    )]
    NotAscii,
    #[error(
        "give each host by its name: only '*' alone stands for others, and allows every origin"
    )]
    Pattern,
    #[error("every site can make a page whose origin is null: allow '*', which needs a token")]
    Null,
}

/// The origins whose pages may use the server.
#[derive(Clone, Debug, Default)]
pub struct Origins {
    any: bool,
    these: Vec<String>,
}

/// The page that makes a request is of an allowed origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Grant {
    /// Because every origin is allowed.
    ToAny,
    /// Because this one is.
    ToThis(HeaderValue),
}

impl FromStr for AllowedOrigin {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, OriginError> {
        match text {
            "*" => return Ok(Self::Any),
            "null" => return Err(OriginError::Null),
            // What the pages within an app for Android may have.
            "file://" => return Ok(Self::This(text.to_owned())),
            _ if text.contains('*') => return Err(OriginError::Pattern),
            _ if !text.is_ascii() => return Err(OriginError::NotAscii),
            _ => {}
        }
        let text = text.to_ascii_lowercase();
        let (scheme, authority) = text.split_once("://").ok_or(OriginError::NotAnOrigin)?;
        // As the address of the page is copied from a browser.
        let authority = authority.strip_suffix('/').unwrap_or(authority);
        let uri: Uri = format!("{scheme}://{authority}")
            .parse()
            .map_err(|_| OriginError::NotAnOrigin)?;
        let is_plain = uri
            .authority()
            .is_some_and(|found| found.as_str() == authority && !authority.contains('@'))
            && !authority.ends_with(':');
        if !is_plain {
            return Err(OriginError::NotAnOrigin);
        }
        let own_port = match scheme {
            "http" => ":80",
            "https" => ":443",
            _ => "",
        };
        let authority = authority.strip_suffix(own_port).unwrap_or(authority);
        Ok(Self::This(format!("{scheme}://{authority}")))
    }
}

impl FromIterator<AllowedOrigin> for Origins {
    fn from_iter<T: IntoIterator<Item = AllowedOrigin>>(allowed: T) -> Self {
        let mut origins = Self::default();
        for origin in allowed {
            match origin {
                AllowedOrigin::Any => origins.any = true,
                AllowedOrigin::This(origin) => origins.these.push(origin),
            }
        }
        origins
    }
}

impl Origins {
    /// Whether the origin of the page that makes the request is allowed. None also for a request that
    /// no page of another origin makes.
    pub(super) fn grant(&self, headers: &HeaderMap) -> Option<Grant> {
        let origin = headers.get(ORIGIN)?;
        if self.these.iter().any(|this| origin == this.as_str()) {
            Some(Grant::ToThis(origin.clone()))
        } else {
            self.any.then_some(Grant::ToAny)
        }
    }

    /// Adds to an answer that a page may read it, with all its fields.
    pub(super) fn add(&self, grant: Option<&Grant>, response: &mut Response) {
        let status = response.status();
        let headers = response.headers_mut();
        if self.any || !self.these.is_empty() {
            headers.append(VARY, HeaderValue::from_name(ORIGIN));
        }
        let Some(grant) = grant else {
            return;
        };
        let mut names = names(headers);
        if status == StatusCode::METHOD_NOT_ALLOWED {
            // axum adds this field later.
            names += ", allow";
        }
        if let Ok(exposed) = HeaderValue::from_str(&names) {
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
        }
        let origin = match grant {
            Grant::ToAny => HeaderValue::from_static("*"),
            Grant::ToThis(origin) => origin.clone(),
        };
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(CROSS_ORIGIN_RESOURCE_POLICY, CROSS_ORIGIN);
    }
}

/// Whether a browser asks if a page may make a request. It has no token: a browser sends none here.
pub(super) fn is_preflight(request: &Request) -> bool {
    let headers = request.headers();
    request.method() == Method::OPTIONS
        && headers.contains_key(ORIGIN)
        && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// The answer to a preflight: the page may use every method, and send every field. The request itself
/// is judged when it comes, and the page can read that answer.
pub(super) fn preflight(request: &HeaderMap, is_guarded: bool, grant: &Grant) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    if let Some(fields) = request.get(ACCESS_CONTROL_REQUEST_HEADERS) {
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, fields.clone());
    }
    headers.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE);
    // Without a token, a site that the operator does not name stays outside of the LAN.
    let into_lan = is_guarded || matches!(grant, Grant::ToThis(_));
    if into_lan && request.contains_key(REQUEST_PRIVATE_NETWORK) {
        headers.insert(ALLOW_PRIVATE_NETWORK, TRUE);
    }
    response
}

/// The names of the fields, which a script cannot read unless they are listed. `*` would stand for all
/// of them, but not in older browsers.
fn names(headers: &HeaderMap) -> String {
    let names: Vec<_> = headers
        .keys()
        .filter(|name| !name.as_str().starts_with("access-control-"))
        .map(HeaderName::as_str)
        .collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_read_as_browsers_send_it() {
        check("*", Ok("*"));
        check("https://app.example", Ok("https://app.example"));
        check("https://APP.example/", Ok("https://app.example"));
        check("https://app.example:443", Ok("https://app.example"));
        check("https://app.example:80", Ok("https://app.example:80"));
        check("http://localhost:3000", Ok("http://localhost:3000"));
        check("http://[::1]:80", Ok("http://[::1]"));
        check("capacitor://localhost", Ok("capacitor://localhost"));
        check("chrome-extension://abcdef", Ok("chrome-extension://abcdef"));
        check("file://", Ok("file://"));
        check("null", Err(OriginError::Null));
        check("https://*.example", Err(OriginError::Pattern));
        check("https://bücher.example", Err(OriginError::NotAscii));
        check("app.example", Err(OriginError::NotAnOrigin));
        check("app.example:3000", Err(OriginError::NotAnOrigin));
        check("https://app.example/page", Err(OriginError::NotAnOrigin));
        check("https://app.example?", Err(OriginError::NotAnOrigin));
        check("https://app.example#", Err(OriginError::NotAnOrigin));
        check("https://me@app.example", Err(OriginError::NotAnOrigin));
        check("https://app.example:", Err(OriginError::NotAnOrigin));
        check("https://", Err(OriginError::NotAnOrigin));
        check("https:///", Err(OriginError::NotAnOrigin));
        check("", Err(OriginError::NotAnOrigin));
        check("two words://a", Err(OriginError::NotAnOrigin));

        fn check(text: &str, expected: Result<&str, OriginError>) {
            let read = text.parse();
            let read = read.as_ref().map(|origin| match origin {
                AllowedOrigin::Any => "*",
                AllowedOrigin::This(origin) => origin.as_str(),
            });
            assert_eq!(read.map_err(|error| *error), expected, "{text}");
        }
    }

    #[test]
    fn an_origin_is_allowed_as_a_whole() {
        check("https://app.example", true);
        check("https://app.example.evil.example", false);
        check("https://evil.example/https://app.example", false);
        check("http://app.example", false);
        check("https://app.example:8443", false);
        check("https://other.app.example", false);
        check("null", false);
        check("", false);

        fn check(origin: &str, expected: bool) {
            let origins: Origins = ["https://app.example".parse().unwrap()]
                .into_iter()
                .collect();
            let headers = [(ORIGIN, origin.parse().unwrap())].into_iter().collect();
            assert_eq!(origins.grant(&headers).is_some(), expected, "{origin}");
        }
    }
}
