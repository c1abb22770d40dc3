//! Attributes of spans, events and resources. Names are those of OpenTelemetry's semantic conventions, where these
//! have one; the tracer's own begin with `tcp.` or `tracer.`.

use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, any_value::Value};
use upload_protocol::plain::plain;

/// The longest text of an attribute, in bytes; a longer one ends with an ellipsis there. Peers choose targets, names
/// and the like.
pub(super) const MAX_TEXT: usize = 1024;

/// The most texts of an attribute that is a list.
const MAX_TEXTS: usize = 64;

/// The tracer's own names.
pub(super) mod own {
    /// Whether both initial sequence numbers were seen, which the trace's id follows from.
    pub(in super::super) const HANDSHAKE_SEEN: &str = "tcp.handshake_seen";
    pub(in super::super) const ISN_CLIENT: &str = "tcp.isn.client";
    pub(in super::super) const ISN_SERVER: &str = "tcp.isn.server";
    /// Segments that this end retransmitted.
    pub(in super::super) const RETRANSMITS: &str = "tcp.retransmits";
    /// Payload that arrived in order, in bytes.
    pub(in super::super) const CLIENT_BYTES: &str = "tcp.client.bytes";
    pub(in super::super) const SERVER_BYTES: &str = "tcp.server.bytes";
    /// Round-trip times in seconds.
    pub(in super::super) const RTT_FIRST: &str = "tcp.rtt.first";
    pub(in super::super) const RTT_LAST: &str = "tcp.rtt.last";
    pub(in super::super) const RTT_MIN: &str = "tcp.rtt.min";
    pub(in super::super) const MSS: &str = "tcp.mss";
    pub(in super::super) const CLOSED_FIRST: &str = "tcp.closed_first";
    pub(in super::super) const ENDING: &str = "tcp.ending";
    /// How long the connection waited in the accept queue, in seconds.
    pub(in super::super) const ACCEPT_WAIT: &str = "tcp.accept_wait";
    /// Of the event of a step.
    pub(in super::super) const FROM: &str = "tcp.from";
    pub(in super::super) const RETRANSMIT: &str = "tcp.retransmit";
    pub(in super::super) const SEQ: &str = "tcp.seq";
    pub(in super::super) const ACK: &str = "tcp.ack";
    pub(in super::super) const LEN: &str = "tcp.len";
    pub(in super::super) const WINDOW: &str = "tcp.window";
    /// Of a whole connection.
    pub(in super::super) const CONNECTION: &str = "tracer.connection";
    pub(in super::super) const COMPLETE: &str = "tracer.complete";
    pub(in super::super) const INCOMPLETE: &str = "tracer.incomplete";
    pub(in super::super) const OPEN: &str = "tracer.open";
    pub(in super::super) const CERTAINTY: &str = "tracer.certainty";
    pub(in super::super) const KNOWN_BY: &str = "tracer.known_by";
    pub(in super::super) const SEQUENCE: &str = "tracer.request.sequence";
    /// Why spans are linked.
    pub(in super::super) const LINK: &str = "tracer.link";
    /// Of an upload; a list where a form carried several.
    pub(in super::super) const UPLOAD_ID: &str = "tracer.upload.id";
    pub(in super::super) const UPLOAD_NAME: &str = "tracer.upload.name";
    pub(in super::super) const UPLOAD_BYTES: &str = "tracer.upload.bytes";
    pub(in super::super) const UPLOAD_OUTCOME: &str = "tracer.upload.outcome";
    pub(in super::super) const UPLOAD_CERTAINTY: &str = "tracer.upload.certainty";
    /// Bytes of the body per second.
    pub(in super::super) const BODY_RATE: &str = "tracer.body.rate";
    pub(in super::super) const VERDICT: &str = "tracer.diagnosis.verdict";
    pub(in super::super) const SECOND: &str = "tracer.diagnosis.second";
    pub(in super::super) const NO_VERDICT: &str = "tracer.diagnosis.no_verdict";
    pub(in super::super) const SIDE: &str = "tracer.diagnosis.side";
    pub(in super::super) const DIAGNOSIS_CERTAINTY: &str = "tracer.diagnosis.certainty";
    pub(in super::super) const SENTENCE: &str = "tracer.diagnosis.sentence";
    pub(in super::super) const ADVICE: &str = "tracer.diagnosis.advice";
    /// A cause follows: its part of the upload's time, from 0 to 1.
    pub(in super::super) const SHARE: &str = "tracer.diagnosis.share.";
}

/// Attributes in the order they were added. What is unknown is left out.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Attributes(pub(super) Vec<KeyValue>);

impl Attributes {
    pub(super) fn text(&mut self, key: &str, text: &str) {
        self.add(key, Value::StringValue(shortened(text)));
    }

    pub(super) fn some_text(&mut self, key: &str, text: Option<&str>) {
        if let Some(text) = text {
            self.text(key, text);
        }
    }

    /// At most [`MAX_TEXTS`], and then how many more there are.
    pub(super) fn texts<'a>(&mut self, key: &str, texts: impl ExactSizeIterator<Item = &'a str>) {
        let more = texts.len().saturating_sub(MAX_TEXTS);
        let rest = (more > 0).then(|| format!("… and {more} more"));
        let texts = texts.take(MAX_TEXTS).map(shortened).chain(rest);
        let values = texts.map(|text| AnyValue {
            value: Some(Value::StringValue(text)),
        });
        self.add(
            key,
            Value::ArrayValue(ArrayValue {
                values: values.collect(),
            }),
        );
    }

    pub(super) fn number(&mut self, key: &str, number: impl TryInto<i64>) {
        // A number that OTLP has no room for is left out.
        if let Ok(number) = number.try_into() {
            self.add(key, Value::IntValue(number));
        }
    }

    pub(super) fn some_number(&mut self, key: &str, number: Option<impl TryInto<i64>>) {
        if let Some(number) = number {
            self.number(key, number);
        }
    }

    pub(super) fn real(&mut self, key: &str, number: f64) {
        self.add(key, Value::DoubleValue(number));
    }

    /// In seconds, as the conventions have durations.
    pub(super) fn seconds(&mut self, key: &str, ns: Option<u64>) {
        if let Some(ns) = ns {
            self.real(key, std::time::Duration::from_nanos(ns).as_secs_f64());
        }
    }

    pub(super) fn flag(&mut self, key: &str, flag: bool) {
        self.add(key, Value::BoolValue(flag));
    }

    fn add(&mut self, key: &str, value: Value) {
        self.0.push(KeyValue {
            key: key.to_owned(),
            value: Some(AnyValue { value: Some(value) }),
            ..KeyValue::default()
        });
    }
}

/// Without characters that act on a terminal, and no longer than [`MAX_TEXT`].
pub(super) fn shortened(text: &str) -> String {
    const ELLIPSIS: &str = "…";
    let plain = plain(text);
    if plain.len() <= MAX_TEXT {
        return plain.into_owned();
    }
    let end = plain.floor_char_boundary(MAX_TEXT - ELLIPSIS.len());
    format!("{}{ELLIPSIS}", &plain[..end])
}

#[cfg(test)]
mod tests {
    use super::{MAX_TEXT, shortened};

    #[test]
    fn hostile_text() {
        assert_eq!(shortened("a\u{1b}[2Jb"), "a\\u{1b}[2Jb");
        let long = shortened(&"ä".repeat(MAX_TEXT));
        assert!(long.len() <= MAX_TEXT, "{}", long.len());
        assert!(long.ends_with("ä…"));
        let exact = "a".repeat(MAX_TEXT);
        assert_eq!(shortened(&exact), exact);
    }
}
