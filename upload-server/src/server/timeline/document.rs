//! A timeline as a tracer hands it in, as far as it is shown here. The server knows the JSON and not
//! the tracer: a field that is missing is unknown, one that is not known here is passed over.

use serde::Deserialize;

/// One connection.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Timeline {
    /// When it began, RFC 3339.
    pub(crate) time: String,
    /// The same as CLOCK_MONOTONIC in nanoseconds; all times within count from here.
    pub(crate) mono_ns: u64,
    pub(crate) connection: String,
    pub(crate) client: Endpoint,
    pub(crate) server: Endpoint,
    pub(crate) phases: Vec<Phase>,
    pub(crate) bytes: Bytes,
    pub(crate) retransmits_by: Retransmits,
    pub(crate) roles: String,
    /// What the roles are inferred from.
    pub(crate) roles_from: String,
    pub(crate) lost: u64,
    pub(crate) complete: bool,
    pub(crate) incomplete: Vec<String>,
    pub(crate) open: bool,
}

/// One end.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Endpoint {
    pub(crate) addr: String,
    pub(crate) port: u16,
    pub(crate) pid: Option<u32>,
    pub(crate) comm: Option<String>,
    pub(crate) cookie: Option<String>,
}

/// Payload that arrived.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Bytes {
    pub(crate) client_to_server: Option<u64>,
    pub(crate) server_to_client: Option<u64>,
}

/// Segments sent again.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Retransmits {
    pub(crate) client: Option<u64>,
    pub(crate) server: Option<u64>,
}

/// A phase, told apart by its name.
#[derive(Debug, Deserialize)]
#[serde(tag = "name", rename_all = "lowercase")]
pub(crate) enum Phase {
    Initiation(Initiation),
    Maintenance(Box<Maintenance>),
    Termination(Termination),
    #[serde(other)]
    Other,
}

/// How it was opened.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Initiation {
    pub(crate) start_ns: Option<u64>,
    pub(crate) end_ns: Option<u64>,
    pub(crate) certainty: Certainty,
    pub(crate) steps: Vec<Step>,
    pub(crate) options: Option<Options>,
    pub(crate) rtt_ns: Option<u64>,
    pub(crate) accepted_ns: Option<u64>,
    pub(crate) accept_wait_ns: Option<u64>,
    pub(crate) failure: Option<String>,
    pub(crate) explain: Option<String>,
}

/// What was agreed on.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Options {
    pub(crate) mss: Option<u32>,
    pub(crate) window_scale: Option<WindowScale>,
    pub(crate) sack_permitted: bool,
    pub(crate) timestamps: bool,
}

/// The shift of each end.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct WindowScale {
    pub(crate) client: u8,
    pub(crate) server: u8,
}

/// What it was used for.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Maintenance {
    pub(crate) start_ns: Option<u64>,
    pub(crate) end_ns: Option<u64>,
    pub(crate) certainty: Certainty,
    pub(crate) protocol: String,
    pub(crate) tls: Option<Tls>,
    pub(crate) exchanges: Vec<Exchange>,
    pub(crate) exchanges_left_out: u64,
    pub(crate) rtt_ns: Option<u64>,
    pub(crate) explain: Option<String>,
}

/// The TLS handshake.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Tls {
    pub(crate) start_ns: Option<u64>,
    pub(crate) end_ns: Option<u64>,
    pub(crate) steps: Vec<Step>,
    pub(crate) version: Option<String>,
    pub(crate) cipher_suite: Option<String>,
    pub(crate) server_name: Option<String>,
}

/// A request and its response.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Exchange {
    pub(crate) request: Request,
    pub(crate) body: Body,
    pub(crate) wait: Span,
    pub(crate) response: Response,
    pub(crate) known_by: String,
    pub(crate) upload: Option<String>,
    pub(crate) uploads: Vec<String>,
    pub(crate) sequence: u32,
    pub(crate) explain: Option<String>,
    /// Whether it carried the upload that is shown, or a part of it.
    #[serde(skip)]
    pub(crate) own: bool,
}

/// A stretch of time.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Span {
    pub(crate) start_ns: Option<u64>,
    pub(crate) end_ns: Option<u64>,
    pub(crate) certainty: Certainty,
}

/// A request's head.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Request {
    #[serde(flatten)]
    pub(crate) span: Span,
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) version: String,
    pub(crate) content_length: Option<u64>,
    pub(crate) continue_ns: Option<u64>,
}

/// A request's body.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Body {
    #[serde(flatten)]
    pub(crate) span: Span,
    pub(crate) bytes: Option<u64>,
    pub(crate) acknowledged: Option<u64>,
    pub(crate) bytes_per_second: Option<u64>,
}

/// A response.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Response {
    #[serde(flatten)]
    pub(crate) span: Span,
    pub(crate) status: Option<u16>,
}

/// How it was closed.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Termination {
    pub(crate) start_ns: Option<u64>,
    pub(crate) end_ns: Option<u64>,
    pub(crate) certainty: Certainty,
    pub(crate) steps: Vec<Step>,
    pub(crate) how: Option<String>,
    pub(crate) closed_first: Option<End>,
    pub(crate) half_close: bool,
    pub(crate) simultaneous: bool,
    pub(crate) time_wait: Option<End>,
    pub(crate) missing: Vec<String>,
    pub(crate) explain: Option<String>,
}

/// A segment, or a message of TLS.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Step {
    pub(crate) name: String,
    pub(crate) at_ns: Option<u64>,
    pub(crate) from: End,
    pub(crate) certainty: Certainty,
    pub(crate) known_by: String,
    pub(crate) retransmit: bool,
    pub(crate) seq: Option<u32>,
    pub(crate) ack: Option<u32>,
    pub(crate) len: Option<u32>,
    pub(crate) explain: Option<String>,
}

/// How something is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Certainty {
    Observed,
    Inferred,
    #[default]
    #[serde(other)]
    Unknown,
}

/// Which end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum End {
    #[default]
    Client,
    Server,
}

impl Timeline {
    pub(crate) fn initiation(&self) -> Option<&Initiation> {
        self.phases.iter().find_map(|phase| match phase {
            Phase::Initiation(found) => Some(found),
            _ => None,
        })
    }

    pub(crate) fn maintenance(&self) -> Option<&Maintenance> {
        self.phases.iter().find_map(|phase| match phase {
            Phase::Maintenance(found) => Some(&**found),
            _ => None,
        })
    }

    pub(crate) fn termination(&self) -> Option<&Termination> {
        self.phases.iter().find_map(|phase| match phase {
            Phase::Termination(found) => Some(found),
            _ => None,
        })
    }

    pub(crate) fn exchanges(&self) -> &[Exchange] {
        self.maintenance().map_or(&[], |phase| &phase.exchanges)
    }

    /// Those that carried the upload; all where none is known to have.
    pub(crate) fn own_exchanges(&self) -> impl Iterator<Item = &Exchange> {
        let any = self.exchanges().iter().any(|exchange| exchange.own);
        let exchanges = self.exchanges().iter();
        exchanges.filter(move |exchange| exchange.own || !any)
    }

    /// Marks the requests that carried an upload.
    pub(crate) fn mark_own(&mut self, is_own: impl Fn(&Exchange) -> bool) {
        for phase in &mut self.phases {
            if let Phase::Maintenance(phase) = phase {
                for exchange in &mut phase.exchanges {
                    exchange.own = is_own(exchange);
                }
            }
        }
    }

    /// The last moment that anything is known of.
    pub(crate) fn last_ns(&self) -> u64 {
        let steps = |steps: &[Step]| steps.iter().filter_map(|step| step.at_ns).max();
        let spans = self.exchanges().iter().flat_map(|exchange| {
            [
                exchange.request.span.end_ns,
                exchange.body.span.end_ns,
                exchange.response.span.start_ns,
                exchange.response.span.end_ns,
            ]
        });
        let of_phases = self.phases.iter().flat_map(|phase| match phase {
            Phase::Initiation(phase) => [phase.end_ns, steps(&phase.steps)],
            Phase::Maintenance(phase) => [phase.end_ns, phase.start_ns],
            Phase::Termination(phase) => [phase.end_ns, steps(&phase.steps)],
            Phase::Other => [None, None],
        });
        spans.chain(of_phases).flatten().max().unwrap_or_default()
    }
}

impl Exchange {
    /// Whether it carried this upload.
    pub(crate) fn is_of(&self, upload: &str) -> bool {
        self.upload.as_deref() == Some(upload) || self.uploads.iter().any(|id| id == upload)
    }

    /// From the first moment that is known of it to the last.
    pub(crate) fn window(&self) -> Option<(u64, u64)> {
        let spans = [
            self.request.span,
            self.body.span,
            self.wait,
            self.response.span,
        ];
        let moments = spans.iter().flat_map(|span| [span.start_ns, span.end_ns]);
        let moments = moments.flatten();
        Some((moments.clone().min()?, moments.max()?))
    }
}

impl Certainty {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Observed => "observed",
            Self::Inferred => "inferred",
            Self::Unknown => "unknown",
        }
    }
}

impl End {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Server => "server",
        }
    }

    pub(crate) fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_unknown() {
        let timeline: Timeline = serde_json::from_str("{}").unwrap();
        assert!(timeline.phases.is_empty() && timeline.bytes.client_to_server.is_none());
        let later = r#"{"phases":[{"name":"a later one"},{"name":"termination","how":null,
            "steps":[{"certainty":"a new one"}]}],"and":["more"]}"#;
        let timeline: Timeline = serde_json::from_str(later).unwrap();
        let step = &timeline.termination().unwrap().steps[0];
        assert_eq!(step.certainty, Certainty::Unknown);
    }
}
