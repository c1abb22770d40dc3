//! The span of a request and its response, with the diagnosis of the upload that it carried. It belongs to the
//! application's own trace where its client names a span, and to the connection's otherwise.

use opentelemetry_proto::tonic::trace::v1::{Span, span::Event};
use opentelemetry_semantic_conventions::attribute::{
    ERROR_TYPE, HTTP_REQUEST_BODY_SIZE, HTTP_REQUEST_METHOD, HTTP_REQUEST_METHOD_ORIGINAL,
    HTTP_RESPONSE_BODY_SIZE, HTTP_RESPONSE_STATUS_CODE, NETWORK_PROTOCOL_NAME,
    NETWORK_PROTOCOL_VERSION, URL_PATH, URL_QUERY, URL_SCHEME,
};
use upload_protocol::{
    End,
    timeline::{Exchange, HeldBackBy, NoVerdict, Protocol, Request, Side, UploadSummary},
};

use super::{Described, HAS_IS_REMOTE, IS_REMOTE, SAMPLED, What, connection::addresses, link};
use crate::sink::otlp::attributes::{Attributes, own};

/// Methods that the conventions know (RFC 9110, section 9; RFC 5789); others are `_OTHER`.
const METHODS: [&str; 9] = [
    "CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE",
];

/// Parameters of a query that are keys, as the conventions have them hidden.
const SECRETS: [&str; 4] = ["AWSAccessKeyId", "Signature", "sig", "X-Goog-Signature"];

/// The exchange with this index among those of the connection; `None` if no time of it is known.
pub(super) fn exchange(described: Described<'_>, index: usize) -> Option<Span> {
    let timeline = described.timeline;
    let exchange = timeline.exchanges().get(index)?;
    let window = exchange.window()?;
    let number = u32::try_from(index).ok()?.saturating_add(1);
    let connection = described.id(What::Connection);
    let what = What::Exchange(number);
    let mut attributes = Attributes::default();
    request(&mut attributes, described, exchange);
    let error = error(described, exchange);
    attributes.some_text(ERROR_TYPE, error.as_deref());
    let uploads: Vec<_> = timeline
        .uploads
        .iter()
        .filter(|upload| exchange.is_of(&upload.id))
        .collect();
    upload(&mut attributes, &uploads);
    diagnosis(&mut attributes, &uploads);
    let maintenance = described.id(What::Maintenance);
    let mut span = Span {
        attributes: attributes.0,
        events: parts(described, exchange),
        status: error.and_then(super::error),
        ..described.span(what, method(&exchange.request).0, Some(maintenance), window)
    };
    if let Some(before) = number.checked_sub(1).filter(|before| *before > 0) {
        let before = described.id(What::Exchange(before));
        let trace = trace_of(described, index - 1);
        let why = "the request before it on the connection";
        span.links.push(link(&trace, &before.0, SAMPLED, why));
    }
    if let Some(parent) = exchange.request.traceparent {
        if parent.flags & SAMPLED != 0 {
            span.trace_id = parent.trace_id.to_vec();
            span.parent_span_id = parent.parent_id.to_vec();
            span.flags = u32::from(parent.flags) | HAS_IS_REMOTE | IS_REMOTE;
            span.links
                .push(described.link(connection, "its connection"));
        } else {
            // A span that was not recorded will never arrive.
            let (trace, span_id) = (&parent.trace_id, &parent.parent_id);
            let why = "the client's span, which it did not record";
            span.links.push(link(trace, span_id, parent.flags, why));
        }
    }
    Some(span)
}

/// The trace that the exchange with this index is in.
fn trace_of(described: Described<'_>, index: usize) -> [u8; 16] {
    let exchange = described.timeline.exchanges().get(index);
    let parent = exchange.and_then(|exchange| exchange.request.traceparent);
    parent
        .filter(|parent| parent.flags & SAMPLED != 0)
        .map_or(described.trace.0, |parent| parent.trace_id)
}

fn request(attributes: &mut Attributes, described: Described<'_>, exchange: &Exchange) {
    let Exchange {
        request,
        body,
        response,
        known_by,
        sequence,
        ..
    } = exchange;
    let (name, original) = method(request);
    attributes.text(
        HTTP_REQUEST_METHOD,
        if original.is_some() { "_OTHER" } else { name },
    );
    attributes.some_text(HTTP_REQUEST_METHOD_ORIGINAL, original);
    let target = &*request.target;
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    attributes.text(URL_PATH, path);
    attributes.some_text(URL_QUERY, query.map(without_secrets).as_deref());
    let maintenance = described.timeline.maintenance();
    let is_tls = maintenance.is_some_and(|phase| phase.protocol == Protocol::Tls);
    attributes.text(URL_SCHEME, if is_tls { "https" } else { "http" });
    attributes.text(NETWORK_PROTOCOL_NAME, "http");
    attributes.some_text(NETWORK_PROTOCOL_VERSION, version(request));
    addresses(attributes, described);
    attributes.some_number(HTTP_REQUEST_BODY_SIZE, body.bytes);
    attributes.some_number(own::BODY_RATE, body.bytes_per_second);
    attributes.some_number(HTTP_RESPONSE_STATUS_CODE, response.status);
    attributes.some_number(HTTP_RESPONSE_BODY_SIZE, response.bytes);
    attributes.text(own::KNOWN_BY, known_by.name());
    attributes.number(own::SEQUENCE, *sequence);
    let connection = described.timeline.connection;
    attributes.text(own::CONNECTION, &connection.to_string());
}

/// The span's name, and the method itself where the conventions do not know it: then it may be anything.
fn method(request: &Request) -> (&'static str, Option<&str>) {
    match METHODS.iter().find(|known| **known == request.method) {
        Some(known) => (known, None),
        None => ("HTTP", Some(&request.method)),
    }
}

/// Such as `1.1` or `2`.
fn version(request: &Request) -> Option<&str> {
    match request.version.strip_prefix("HTTP/")? {
        "2.0" => Some("2"),
        version => Some(version),
    }
}

fn without_secrets(query: &str) -> String {
    let pairs = query.split('&').map(|pair| match pair.split_once('=') {
        Some((name, _)) if SECRETS.contains(&name) => format!("{name}=REDACTED"),
        _ => pair.to_owned(),
    });
    pairs.collect::<Vec<_>>().join("&")
}

/// As the conventions have it: a status from 500 on, at the client's end from 400 on; and a missing answer, if the
/// connection is over.
fn error(described: Described<'_>, exchange: &Exchange) -> Option<String> {
    let is_client = described.observer.end() == End::Client;
    match exchange.response.status {
        Some(status) => {
            let least = if is_client { 400 } else { 500 };
            (status >= least).then(|| status.to_string())
        }
        None => (!described.timeline.open).then(|| "no_response".to_owned()),
    }
}

/// When each part of the exchange began and ended.
fn parts(described: Described<'_>, exchange: &Exchange) -> Vec<Event> {
    let Exchange {
        request,
        body,
        response,
        ..
    } = exchange;
    let moments = [
        ("request begins", request.span.start_ns),
        ("request head complete", request.span.end_ns),
        ("100 Continue", request.continue_ns),
        ("body begins", body.span.start_ns),
        ("body ends", body.span.end_ns),
        ("response begins", response.span.start_ns),
        ("response ends", response.span.end_ns),
    ];
    let known = moments
        .iter()
        .filter_map(|(name, at_ns)| Some((name, (*at_ns)?)));
    let mut events: Vec<_> = known
        .map(|(name, at_ns)| described.event(at_ns, name, Attributes::default()))
        .collect();
    events.sort_by_key(|event| event.time_unix_nano);
    events
}

/// The uploads that one request, or none, carried.
pub(super) fn upload(attributes: &mut Attributes, uploads: &[&UploadSummary]) {
    let [upload] = uploads else {
        if !uploads.is_empty() {
            let ids = uploads.iter().map(|upload| &*upload.id);
            attributes.texts(own::UPLOAD_ID, ids);
        }
        return;
    };
    attributes.text(own::UPLOAD_ID, &upload.id);
    attributes.some_text(own::UPLOAD_NAME, upload.name.as_deref());
    attributes.some_number(own::UPLOAD_BYTES, upload.bytes);
    let outcome = upload.outcome.map(|outcome| outcome.to_string());
    attributes.some_text(own::UPLOAD_OUTCOME, outcome.as_deref());
    attributes.text(own::UPLOAD_CERTAINTY, upload.certainty.name());
}

/// What held the first of them back.
pub(super) fn diagnosis(attributes: &mut Attributes, uploads: &[&UploadSummary]) {
    let diagnosis = uploads
        .iter()
        .find_map(|upload| upload.diagnosis.as_deref());
    let Some(diagnosis) = diagnosis else {
        return;
    };
    attributes.some_text(own::VERDICT, diagnosis.verdict.map(HeldBackBy::name));
    attributes.some_text(own::SECOND, diagnosis.second.map(HeldBackBy::name));
    attributes.some_text(own::NO_VERDICT, diagnosis.no_verdict.map(NoVerdict::name));
    attributes.some_text(own::SIDE, diagnosis.side.map(Side::name));
    attributes.text(own::DIAGNOSIS_CERTAINTY, diagnosis.certainty.name());
    attributes.text(own::SENTENCE, &diagnosis.sentence);
    attributes.some_text(own::ADVICE, diagnosis.advice.as_deref());
    for share in &diagnosis.shares {
        let key = format!("{}{}", own::SHARE, share.cause.name());
        attributes.real(&key, share.share);
    }
}
