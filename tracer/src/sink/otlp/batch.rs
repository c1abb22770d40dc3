//! Encoded requests to a collector: of spans in the order they came, as they are gathered here, and of metrics.

use std::collections::HashMap;

use hyper::body::Bytes;
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::InstrumentationScope,
    trace::v1::{ResourceSpans, ScopeSpans, Span},
};
use prost::Message as _;

use super::spans::Group;

/// The size of a request, give or take a span. Collectors take 4 MiB.
const MAX_BYTES: usize = 1 << 20;
/// What a field and its length take at most.
const FIELD: usize = 8;

#[derive(Default)]
pub(super) struct Batch {
    full: Vec<Encoded>,
    open: ExportTraceServiceRequest,
    /// Where in `open` the spans of an encoded resource are.
    resources: HashMap<Vec<u8>, usize>,
    bytes: usize,
    spans: u64,
}

/// A request.
pub(super) struct Encoded {
    pub(super) signal: Signal,
    pub(super) bytes: Bytes,
    /// How many spans or points of metrics it has.
    pub(super) count: u64,
}

/// What a request is of, as OpenTelemetry has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    Traces,
    Metrics,
}

impl Signal {
    /// What is sent, for a person.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Traces => "spans",
            Self::Metrics => "metrics",
        }
    }
}

/// Who measures and observes.
pub(super) fn scope() -> InstrumentationScope {
    InstrumentationScope {
        name: env!("CARGO_PKG_NAME").to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    }
}

impl Batch {
    pub(super) fn add(&mut self, all: Vec<Group>) {
        for group in all {
            let resource = group.resource.encode_to_vec();
            for span in group.spans {
                self.add_span(&resource, &group.resource, span);
            }
        }
    }

    /// Whether it has a whole request.
    pub(super) const fn is_full(&self) -> bool {
        !self.full.is_empty()
    }

    /// The requests.
    pub(super) fn encode(mut self) -> Vec<Encoded> {
        self.close();
        self.full
    }

    fn add_span(
        &mut self,
        encoded: &[u8],
        resource: &opentelemetry_proto::tonic::resource::v1::Resource,
        span: Span,
    ) {
        let length = span.encoded_len() + FIELD;
        if self.spans > 0 && self.bytes + length > MAX_BYTES {
            self.close();
        }
        let place = match self.resources.get(encoded) {
            Some(place) => *place,
            None => {
                let place = self.open.resource_spans.len();
                let new = ResourceSpans {
                    resource: Some(resource.clone()),
                    scope_spans: vec![ScopeSpans {
                        scope: Some(scope()),
                        ..ScopeSpans::default()
                    }],
                    ..ResourceSpans::default()
                };
                self.bytes += new.encoded_len() + 2 * FIELD;
                self.open.resource_spans.push(new);
                self.resources.insert(encoded.to_owned(), place);
                place
            }
        };
        let of_resource = self.open.resource_spans.get_mut(place);
        if let Some(scope) = of_resource.and_then(|spans| spans.scope_spans.first_mut()) {
            scope.spans.push(span);
            self.bytes += length;
            self.spans += 1;
        }
    }

    fn close(&mut self) {
        if self.spans == 0 {
            return;
        }
        let request = std::mem::take(&mut self.open);
        self.resources.clear();
        self.bytes = 0;
        self.full.push(Encoded {
            signal: Signal::Traces,
            bytes: request.encode_to_vec().into(),
            count: std::mem::take(&mut self.spans),
        });
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::{
        collector::trace::v1::ExportTraceServiceRequest, resource::v1::Resource, trace::v1::Span,
    };
    use prost::Message as _;

    use super::{Batch, MAX_BYTES};
    use crate::sink::otlp::{attributes::Attributes, spans::Group};

    fn group(service: &str, names: &[String]) -> Group {
        let mut attributes = Attributes::default();
        attributes.text("service.name", service);
        let span = |name: &String| Span {
            name: name.clone(),
            ..Span::default()
        };
        Group {
            resource: Resource {
                attributes: attributes.0,
                ..Resource::default()
            },
            spans: names.iter().map(span).collect(),
        }
    }

    #[test]
    fn resources_are_sent_once_and_no_request_is_too_large() {
        let names: Vec<String> = (0..3000)
            .map(|at| format!("{at}{}", "x".repeat(1000)))
            .collect();
        let mut batch = Batch::default();
        for name in names.chunks(10) {
            batch.add(vec![group("a", name), group("b", &name[..1])]);
        }
        assert!(batch.is_full());
        let encoded = batch.encode();
        assert!(encoded.len() > 3, "{}", encoded.len());
        let mut found = Vec::new();
        for request in &encoded {
            assert!(request.bytes.len() <= MAX_BYTES, "{}", request.bytes.len());
            let read = ExportTraceServiceRequest::decode(request.bytes.clone()).unwrap();
            assert!(read.resource_spans.len() <= 2);
            let spans = |read: &ExportTraceServiceRequest, at: usize| -> Vec<String> {
                let of = read.resource_spans.get(at).into_iter();
                let scopes = of.flat_map(|of| &of.scope_spans).flat_map(|one| &one.spans);
                scopes.map(|span| span.name.clone()).collect()
            };
            let all = spans(&read, 0).len() + spans(&read, 1).len();
            assert_eq!(request.count, all as u64);
            for resource in &read.resource_spans {
                let service = &resource.resource.as_ref().unwrap().attributes[0];
                if format!("{service:?}").contains("\"a\"") {
                    let spans = resource.scope_spans.iter().flat_map(|one| &one.spans);
                    found.extend(spans.map(|span| span.name.clone()));
                }
            }
        }
        assert_eq!(found, names);
    }
}
