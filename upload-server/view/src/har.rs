//! Requests as HAR 1.2 (<http://www.softwareishard.com/blog/har-12-spec/>), which
//! browsers' network panels open. An unknown time is -1, as the format has it. For `send`, `wait` and
//! `receive` the format asks for a number in any case; readers take -1 there, too, and 0 would be false.
//! Beyond the format, `_hops` has the connections that carried the request through proxies, as NDJSON does.

use http::StatusCode;
use jiff::SignedDuration;
use serde_json::{Value, json};
use upload_protocol::{
    timeline::{Exchange, KnownBy, Timeline},
    units::socket_address,
};

use super::shown::{Shown, hops_of};

/// The program that makes the document.
#[derive(Clone, Copy, Debug)]
pub struct Creator<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its version.
    pub version: &'a str,
}

/// The document, with one entry for each request that carried a part of the upload with this id.
#[must_use]
pub fn har(timelines: &[Shown], upload: &str, creator: Creator<'_>) -> Value {
    let entries: Vec<Value> = timelines
        .iter()
        .flat_map(|timeline| {
            let own = timeline.own();
            own.map(move |exchange| entry(timeline, exchange, Some(upload)))
        })
        .collect();
    json!({"log": {
        "version": "1.2",
        "creator": {"name": creator.name, "version": creator.version},
        "entries": entries,
    }})
}

/// One request as an entry; `upload` is the upload that it is shown for, if any.
#[must_use]
pub fn entry(timeline: &Timeline, exchange: &Exchange, upload: Option<&str>) -> Value {
    let request = &exchange.request;
    let begins = request.span.start_ns.or(request.span.end_ns);
    let sent = exchange.body.span.end_ns.or(request.span.end_ns);
    let response = exchange.response.span;
    let (connect, ssl) = match exchange.sequence {
        1 => (connect_ms(timeline), ssl_ms(timeline)),
        // Paid by the first request.
        _ => (-1.0, -1.0),
    };
    let timings = json!({
        "blocked": -1, "dns": -1, "connect": connect, "ssl": ssl,
        "send": ms(begins, sent), "wait": ms(sent, response.start_ns),
        "receive": ms(response.start_ns, response.end_ns),
    });
    // "connect" has "ssl" in it.
    let parts = ["connect", "send", "wait", "receive"];
    let known = parts.iter().filter_map(|part| timings.get(part)?.as_f64());
    let time: f64 = known.filter(|part| *part >= 0.0).sum();
    let status = exchange.response.status;
    let reason = status.and_then(|status| StatusCode::from_u16(status).ok()?.canonical_reason());
    let body = exchange.body.acknowledged.or(request.content_length);
    let mut entry = json!({
        "startedDateTime": started(timeline, begins, connect),
        "time": time,
        "request": {
            "method": request.method,
            "url": url(timeline, &request.target),
            "httpVersion": request.version,
            "cookies": [], "headers": [], "queryString": [],
            "headersSize": -1,
            "bodySize": body.map_or(json!(-1), Value::from),
        },
        "response": {
            "status": status.unwrap_or_default(),
            "statusText": reason.unwrap_or_default(),
            "httpVersion": request.version,
            "cookies": [], "headers": [],
            "content": {"size": -1, "mimeType": ""},
            "redirectURL": "",
            "headersSize": -1,
            "bodySize": -1,
        },
        "cache": {},
        "timings": timings,
        "serverIPAddress": timeline.server.addr,
        "connection": timeline.connection,
        "comment": comment(exchange, timeline, upload),
    });
    let own = upload.filter(|id| exchange.is_of(id));
    if let Some(hops) = own.and_then(|id| hops_of(timeline, id)) {
        entry["_hops"] = json!(hops);
    }
    entry
}

/// Whose the times are, and what held the upload back, where that has a verdict.
fn comment(exchange: &Exchange, timeline: &Timeline, upload: Option<&str>) -> String {
    let times = match exchange.known_by {
        KnownBy::Server => "times by the server's clock",
        KnownBy::Segments => "times of the segments",
    };
    let own = timeline
        .uploads
        .iter()
        .find(|upload| exchange.is_of(&upload.id));
    let diagnosis = own.and_then(|upload| upload.diagnosis.as_deref());
    let verdict = diagnosis.filter(|diagnosis| diagnosis.verdict.is_some());
    let upload = upload.map(|id| format!("upload {id}"));
    let sentence = verdict.map(|diagnosis| diagnosis.sentence.clone());
    let parts = [upload, Some(times.to_owned()), sentence];
    parts.into_iter().flatten().collect::<Vec<_>>().join("; ")
}

/// From the SYN to the open connection, TLS included.
fn connect_ms(timeline: &Timeline) -> f64 {
    let opened = timeline.initiation();
    let tls_end = timeline
        .maintenance()
        .and_then(|phase| phase.tls.as_ref()?.end_ns);
    opened.map_or(-1.0, |phase| match phase.end_ns {
        Some(end) => ms(Some(phase.start_ns), Some(tls_end.unwrap_or(end))),
        None => -1.0,
    })
}

fn ssl_ms(timeline: &Timeline) -> f64 {
    let tls = timeline.maintenance().and_then(|phase| phase.tls.as_ref());
    tls.map_or(-1.0, |tls| ms(tls.start_ns, tls.end_ns))
}

/// Milliseconds; -1 where an end is unknown.
fn ms(start_ns: Option<u64>, end_ns: Option<u64>) -> f64 {
    let took = start_ns.zip(end_ns);
    let took = took.and_then(|(start, end)| end.checked_sub(start));
    took.map_or(-1.0, |took| took as f64 / 1e6)
}

/// The beginning of the first timing: for the first request, the connection's beginning.
fn started(timeline: &Timeline, begins_ns: Option<u64>, connect: f64) -> String {
    let after = if connect >= 0.0 {
        0
    } else {
        begins_ns.unwrap_or_default()
    };
    let after = SignedDuration::from_nanos(i64::try_from(after).unwrap_or(i64::MAX));
    let began = timeline.at.timestamp().checked_add(after).ok();
    format!("{:.3}", began.unwrap_or_default())
}

fn url(timeline: &Timeline, target: &str) -> String {
    let secure = timeline
        .maintenance()
        .is_some_and(|phase| phase.tls.is_some());
    let scheme = if secure { "https" } else { "http" };
    let server = &timeline.server;
    let address = socket_address(server.addr, server.port);
    format!("{scheme}://{address}{target}")
}
