//! The security headers of every answer: no frames, no scripts, no referrer for other sites.

use axum::http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{
        CONTENT_SECURITY_POLICY, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY,
        X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
    },
};

pub(super) const CROSS_ORIGIN_RESOURCE_POLICY: HeaderName =
    HeaderName::from_static("cross-origin-resource-policy");

/// For answers without a policy of their own.
const NOTHING: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

/// Not `no-referrer`: with that, browsers send `Origin: null` even for the page's own form (Fetch,
/// "append a request Origin header").
const REFERRER: HeaderValue = HeaderValue::from_static("same-origin");

/// A month: long enough to protect clients that return, short enough for a server that stops using
/// TLS.
const STRICT: HeaderValue = HeaderValue::from_static("max-age=2592000");

/// With `strict`, browsers must return over HTTPS alone (HSTS).
pub(crate) fn add(headers: &mut HeaderMap, strict: bool) {
    headers.entry(CONTENT_SECURITY_POLICY).or_insert(NOTHING);
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(REFERRER_POLICY, REFERRER);
    headers
        .entry(CROSS_ORIGIN_RESOURCE_POLICY)
        .or_insert(HeaderValue::from_static("same-origin"));
    if strict {
        headers.insert(STRICT_TRANSPORT_SECURITY, STRICT);
    }
}
