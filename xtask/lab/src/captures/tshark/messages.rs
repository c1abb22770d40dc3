//! HTTP and TLS by tshark, conversation by conversation.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
};

use anyhow::Result;
use upload_protocol::timeline::TlsVersion;

use super::pdml::{Field, packets};
use crate::captures::conversation::{Conversation, Conversations, Message};

/// A request and a response of HTTP/2.
#[derive(Default)]
struct Exchange {
    request: Option<Message>,
    response: Option<Message>,
}

impl Exchange {
    fn message(&mut self, is_request: bool) -> &mut Message {
        let message = if is_request {
            &mut self.request
        } else {
            &mut self.response
        };
        message.get_or_insert_with(|| Message {
            bytes: Some(0),
            ..Message::default()
        })
    }
}

/// The exchanges of HTTP/2 by conversation and stream.
type Multiplexed = BTreeMap<(String, u32), Exchange>;

/// Adds them. `streams`: the conversation that a frame belongs to, and whether the client sent it.
pub(super) fn dissect(
    file: &Path,
    streams: &HashMap<u64, (String, bool)>,
    to: &mut Conversations,
) -> Result<()> {
    let mut multiplexed = Multiplexed::new();
    packets(file, &["http", "http2", "tls"], |frame, fields| {
        let Some((stream, is_client)) = streams.get(&frame) else {
            return;
        };
        let Some(conversation) = to.get_mut(stream) else {
            return;
        };
        for layer in fields.chunk_by(|one, next| one.layer == next.layer) {
            match layer.first().map(|layer| layer.name.as_str()) {
                Some("http") => http(layer, conversation),
                Some("http2") => http2(layer, stream, *is_client, &mut multiplexed),
                Some("tls") => tls(layer, conversation),
                _ => {}
            }
        }
    })?;
    for ((stream, _), exchange) in multiplexed {
        if let Some(conversation) = to.get_mut(&stream) {
            let has_head = |message: &Message| !message.head.is_empty();
            conversation
                .requests
                .extend(exchange.request.filter(has_head));
            conversation
                .responses
                .extend(exchange.response.filter(has_head));
        }
    }
    Ok(())
}

const CODED: &str = "Content-encoded entity body";

fn http(layer: &[Field], to: &mut Conversation) {
    let find = |name: &str| layer.iter().find(|field| field.name == name);
    // tshark's data are decoded; this is the field before.
    let coded = layer.iter().find_map(|field| {
        let is_coded = field.show.starts_with(CODED) || field.showname.starts_with(CODED);
        is_coded.then_some(field.size)
    });
    let message = |head| Message {
        head,
        bytes: Some(coded.unwrap_or_else(|| find("http.file_data").map_or(0, |data| data.size))),
        missing_end: None,
    };
    if let Some(method) = find("http.request.method") {
        let target = find("http.request.uri").map_or_else(String::new, |uri| text(&uri.value));
        to.requests
            .push(message(format!("{} {target}", method.show)));
    } else if let Some(status) = find("http.response.code") {
        // Another response follows (RFC 9110, section 15.2).
        let is_interim = status.show.starts_with('1') && status.show != "101";
        if !is_interim {
            to.responses.push(message(status.show.clone()));
        }
    }
}

fn http2(layer: &[Field], stream: &str, is_client: bool, to: &mut Multiplexed) {
    let (mut number, mut length, mut is_data) = (0, 0, false);
    let (mut method, mut path) = (String::new(), String::new());
    for field in layer {
        match field.name.as_str() {
            "http2.length" => length = field.show.parse().unwrap_or_default(),
            "http2.type" => is_data = field.show == "0",
            "http2.streamid" => number = field.show.parse().unwrap_or_default(),
            "http2.headers.method" => method.clone_from(&field.show),
            "http2.headers.path" => path.clone_from(&field.show),
            _ => {}
        }
        if number == 0 {
            continue;
        }
        let exchange = to.entry((stream.to_owned(), number)).or_default();
        match field.name.as_str() {
            "http2.headers.path" | "http2.headers.method"
                if is_client && !method.is_empty() && !path.is_empty() =>
            {
                exchange.request.get_or_insert_with(|| Message {
                    head: format!("{method} {path}"),
                    bytes: Some(0),
                    missing_end: None,
                });
                method.clear();
                path.clear();
            }
            "http2.headers.status" if !field.show.starts_with('1') => {
                exchange.response.get_or_insert_with(|| Message {
                    head: field.show.clone(),
                    bytes: Some(0),
                    missing_end: None,
                });
            }
            // The length of the frame; the last one's data may be those of all frames.
            "http2.streamid" if is_data => {
                let message = exchange.message(is_client);
                message.bytes = message.bytes.map(|bytes: u64| bytes + length);
            }
            "http2.padding" if is_data => {
                let padding: u64 = field.show.parse().unwrap_or_default();
                let message = exchange.message(is_client);
                message.bytes = message
                    .bytes
                    .map(|bytes: u64| bytes.saturating_sub(padding + 1));
            }
            _ => {}
        }
    }
}

/// Of several hellos, the first counts: those of a retry have the same facts. Without a record it is TLS by its
/// port alone.
fn tls(layer: &[Field], to: &mut Conversation) {
    to.is_tls |= layer.iter().any(|field| field.name == "tls.record");
    let mut hello = "";
    for field in layer {
        let mut record = |name: &'static str, value: String| {
            to.tls.entry(name).or_insert(value);
        };
        match (field.name.as_str(), hello) {
            ("tls.handshake.type", _) => {
                hello = match field.show.as_str() {
                    "1" => "client",
                    "2" => "server",
                    _ => "",
                };
            }
            ("tls.handshake.version", "server") => record("version", version(&field.show)),
            ("tls.handshake.extensions.supported_version", "server") => {
                to.tls.insert("version", version(&field.show));
            }
            ("tls.handshake.ciphersuite", "server") => {
                let mut words = field.showname.split(' ').skip(2);
                let name = words.next().unwrap_or_default();
                let number = words.next().unwrap_or_default();
                let name = match name {
                    "Unknown" => number.trim_matches(['(', ')']),
                    name => name,
                };
                record("cipher suite", name.to_owned());
            }
            ("tls.handshake.extensions_alpn_str", "server") => record("ALPN", field.show.clone()),
            ("tls.handshake.extensions_server_name", "client") => {
                record("SNI", field.show.clone());
            }
            ("tls.alert_message.desc", _) => alert(to, &text_of_alert(&field.showname)),
            ("tls.alert_message", _) if field.showname.contains("Encrypted") => {
                alert(to, "encrypted");
            }
            _ => {}
        }
    }
}

fn alert(to: &mut Conversation, description: &str) {
    let alerts = to.tls.entry("alerts").or_default();
    if !alerts.is_empty() {
        alerts.push(' ');
    }
    alerts.push_str(description);
}

/// `Description: Handshake Failure (40)` as the standard has it.
fn text_of_alert(showname: &str) -> String {
    let (_, description) = showname.split_once(": ").unwrap_or_default();
    let name = description.split(" (").next().unwrap_or_default();
    name.to_lowercase().replace(' ', "_")
}

fn version(show: &str) -> String {
    let number = show.strip_prefix("0x").unwrap_or(show);
    u16::from_str_radix(number, 16)
        .map_or_else(|_| show.to_owned(), |number| TlsVersion(number).to_string())
}

/// The bytes, escaped as the tracer does.
fn text(hex: &str) -> String {
    let bytes: Vec<u8> = hex
        .as_bytes()
        .chunks(2)
        .filter_map(|pair| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok())
        .collect();
    match str::from_utf8(&bytes) {
        Ok(text) if !text.contains(char::is_control) => text.to_owned(),
        _ => bytes.escape_ascii().to_string(),
    }
}
