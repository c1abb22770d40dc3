//! Where the collector is, and how it is spoken to: the URL, and the environment variables that OpenTelemetry's
//! specification gives an exporter.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use hyper::http::{HeaderName, HeaderValue, Uri, uri::Scheme};
use percent_encoding::percent_decode_str;

/// A collector.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Endpoint {
    pub(super) protocol: Protocol,
    /// Whether it speaks TLS.
    pub(super) is_secure: bool,
    /// A name, or an address without brackets.
    pub(super) host: String,
    pub(super) port: u16,
    /// Host and port as the URL has them.
    pub(super) authority: String,
    /// Where HTTP takes spans.
    pub(super) path: String,
    /// Where it takes metrics.
    pub(super) metrics_path: String,
    /// Fields of each request, such as a token.
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    /// How long an answer may take.
    pub(super) timeout: Duration,
    /// Whether requests are compressed with gzip.
    pub(super) is_compressed: bool,
}

/// The protocols of OTLP, but for JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    /// `grpc`, over HTTP/2.
    Grpc,
    /// `http/protobuf`, over HTTP/1.1.
    Http,
}

/// The port that collectors have for gRPC.
const GRPC_PORT: u16 = 4317;
const TRACES: &str = "/v1/traces";
const METRICS: &str = "/v1/metrics";
/// The specification's.
const TIMEOUT: Duration = Duration::from_secs(10);

impl Endpoint {
    /// Reads the URL, and the variables by `variable`.
    ///
    /// # Errors
    /// When one of them is malformed.
    pub(super) fn read(url: &str, variable: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let uri: Uri = url.parse().context("it is not a URL")?;
        let is_secure = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTP => false,
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            _ => bail!("it begins with neither http:// nor https://"),
        };
        let authority = uri.authority().context("it has no host")?;
        if authority.as_str().contains('@') {
            bail!("it has a user: put a token into OTEL_EXPORTER_OTLP_HEADERS");
        }
        let host = authority.host().trim_matches(['[', ']']);
        if host.is_empty() {
            bail!("it has no host");
        }
        let has_port = authority.as_str().len() > authority.host().len();
        let port = match (uri.port_u16(), is_secure) {
            (Some(port), _) if port > 0 => port,
            _ if has_port => bail!("its port is none"),
            (_, true) => 443,
            (_, false) => 80,
        };
        let variable = |name: &str| {
            let of_traces = variable(&format!("OTEL_EXPORTER_OTLP_TRACES_{name}"));
            let value = of_traces.or_else(|| variable(&format!("OTEL_EXPORTER_OTLP_{name}")));
            value.filter(|value| !value.is_empty())
        };
        let protocol = match variable("PROTOCOL").as_deref() {
            Some("grpc") => Protocol::Grpc,
            Some("http/protobuf") => Protocol::Http,
            Some(other) => bail!(
                "OTEL_EXPORTER_OTLP_PROTOCOL is {other:?}, and only grpc and http/protobuf are spoken"
            ),
            None if port == GRPC_PORT => Protocol::Grpc,
            None => Protocol::Http,
        };
        let path = uri.path().trim_end_matches('/');
        let base = path.strip_suffix(TRACES).unwrap_or(path);
        let timeout = match variable("TIMEOUT") {
            Some(text) => {
                let unread = || format!("OTEL_EXPORTER_OTLP_TIMEOUT is {text:?}, not milliseconds");
                Duration::from_millis(text.parse().with_context(unread)?)
            }
            None => TIMEOUT,
        };
        let is_compressed = match variable("COMPRESSION").as_deref() {
            Some("gzip") => true,
            None | Some("none") => false,
            Some(other) => {
                bail!("OTEL_EXPORTER_OTLP_COMPRESSION is {other:?}, neither gzip nor none")
            }
        };
        Ok(Self {
            protocol,
            is_secure,
            host: host.to_owned(),
            port,
            authority: authority.to_string(),
            path: format!("{base}{TRACES}"),
            metrics_path: format!("{base}{METRICS}"),
            headers: headers(&variable("HEADERS").unwrap_or_default())?,
            timeout,
            is_compressed,
        })
    }
}

/// `key=value` pairs with commas between them, whose values are percent-encoded (W3C Baggage).
fn headers(text: &str) -> Result<Vec<(HeaderName, HeaderValue)>> {
    let pairs = text.split(',').filter(|pair| !pair.trim().is_empty());
    let header = |pair: &str| {
        // A value may be a secret: it is not repeated.
        let (name, value) = pair.split_once('=').context("a pair has no =")?;
        let name = name.trim();
        let name: HeaderName = name
            .parse()
            .with_context(|| format!("{name:?} names no field"))?;
        let value: Vec<u8> = percent_decode_str(value.trim()).collect();
        let mut value = HeaderValue::from_bytes(&value)
            .with_context(|| format!("the value of {name} is none that a field may have"))?;
        value.set_sensitive(true);
        Ok((name, value))
    };
    let headers: Result<_> = pairs.map(header).collect();
    headers.context("OTEL_EXPORTER_OTLP_HEADERS cannot be used")
}

#[cfg(test)]
mod tests {
    use super::{Endpoint, Protocol};

    fn read(url: &str, variables: &[(&str, &str)]) -> Result<Endpoint, String> {
        let variable = |wanted: &str| {
            let found = variables.iter().find(|(name, _)| *name == wanted)?;
            Some(found.1.to_owned())
        };
        Endpoint::read(url, variable).map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn urls() {
        let check = |url, protocol, is_secure, host: &str, port, path: &str| {
            let found = read(url, &[]).unwrap();
            let found_at = (found.host.as_str(), found.port, found.path.as_str());
            assert_eq!(
                (found.protocol, found.is_secure),
                (protocol, is_secure),
                "{url}"
            );
            assert_eq!(found_at, (host, port, path), "{url}");
            let of_metrics = path.replace("traces", "metrics");
            assert_eq!(found.metrics_path, of_metrics, "{url}");
        };
        let (grpc, http) = (Protocol::Grpc, Protocol::Http);
        check(
            "http://localhost:4317",
            grpc,
            false,
            "localhost",
            4317,
            "/v1/traces",
        );
        check(
            "http://localhost:4318/",
            http,
            false,
            "localhost",
            4318,
            "/v1/traces",
        );
        check(
            "http://h:4318/v1/traces",
            http,
            false,
            "h",
            4318,
            "/v1/traces",
        );
        check("https://h/otlp", http, true, "h", 443, "/otlp/v1/traces");
        check("https://h:4317", grpc, true, "h", 4317, "/v1/traces");
        check("http://[::1]:9", http, false, "::1", 9, "/v1/traces");
        check("HTTP://h", http, false, "h", 80, "/v1/traces");
    }

    #[test]
    fn no_urls() {
        let check = |url, why: &str| {
            let error = read(url, &[]).unwrap_err();
            assert!(error.contains(why), "{url}: {error}");
        };
        check("localhost:4317", "neither http://");
        check("ftp://h:1", "neither http://");
        check("/v1/traces", "neither http://");
        check("", "not a URL");
        check("http://", "not a URL");
        check("http://u:p@h:4318", "has a user");
        check("http://h:99999", "its port is none");
        check("http://h:0", "its port is none");
        check("http://[::1]:", "its port is none");
    }

    #[test]
    fn variables() {
        let url = "http://h:4317";
        let of = |variables: &[(&str, &str)]| read(url, variables);
        let http = of(&[("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")]).unwrap();
        assert_eq!(http.protocol, Protocol::Http);
        assert!(of(&[("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json")]).is_err());
        let timed = of(&[
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "1"),
            ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "2500"),
        ]);
        assert_eq!(timed.unwrap().timeout.as_millis(), 2500);
        assert!(of(&[("OTEL_EXPORTER_OTLP_TIMEOUT", "soon")]).is_err());
        let compressed = |how| {
            let read = of(&[("OTEL_EXPORTER_OTLP_COMPRESSION", how)]);
            read.map(|found| found.is_compressed)
        };
        assert_eq!(compressed("gzip"), Ok(true));
        assert_eq!((compressed("none"), compressed("")), (Ok(false), Ok(false)));
        assert!(compressed("zstd").is_err());
        let headers = "authorization=Bearer%20a%2Cb, X-Scope = t ,";
        let with = of(&[("OTEL_EXPORTER_OTLP_HEADERS", headers)]).unwrap();
        let found: Vec<_> = with
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_bytes()))
            .collect();
        assert_eq!(
            found,
            [("authorization", &b"Bearer a,b"[..]), ("x-scope", b"t")]
        );
        for wrong in ["secret", "a b=secret", "a=secret%0a"] {
            let error = of(&[("OTEL_EXPORTER_OTLP_HEADERS", wrong)]).unwrap_err();
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
