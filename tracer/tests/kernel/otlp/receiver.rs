//! What is behind the collector: it takes the spans and metrics that the collector passes on, over HTTP, and keeps them.

use std::{
    collections::HashMap,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{Ipv4Addr, TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use flate2::read::GzDecoder;
use opentelemetry_proto::tonic::{
    collector::{metrics::v1::ExportMetricsServiceRequest, trace::v1::ExportTraceServiceRequest},
    common::v1::{KeyValue, any_value::Value},
    metrics::v1::Metric,
    trace::v1::Span,
};
use prost::Message as _;

use crate::{churn::within, lab::Lab};

const PATIENCE: Duration = Duration::from_secs(120);

#[derive(Clone, Debug)]
pub(super) struct Received {
    pub(super) resource: HashMap<String, String>,
    pub(super) attributes: HashMap<String, String>,
    pub(super) span: Span,
}

/// A metric, and the resource that has it.
#[derive(Clone, Debug)]
pub(super) struct Measured {
    pub(super) resource: HashMap<String, String>,
    pub(super) metric: Metric,
}

#[derive(Default)]
struct All {
    spans: Vec<Received>,
    metrics: Vec<Measured>,
    /// Requests that were compressed, and all.
    compressed: (u64, u64),
}

type Kept = Arc<(Mutex<All>, Condvar)>;

pub(super) struct Receiver {
    pub(super) port: u16,
    kept: Kept,
}

impl Receiver {
    /// Listens within the lab.
    pub(super) fn listen(lab: &Lab) -> Self {
        let listener = within(lab, || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
        let port = listener.local_addr().unwrap().port();
        let kept = Kept::default();
        let to = Arc::clone(&kept);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let to = Arc::clone(&to);
                thread::spawn(move || serve(&stream.unwrap(), &to));
            }
        });
        Self { port, kept }
    }

    /// Waits for so many spans that are so; gives all that came.
    pub(super) fn wait_for(&self, count: usize, is: impl Fn(&Received) -> bool) -> Vec<Received> {
        self.wait(|all| {
            let found = all.spans.iter().filter(|one| is(one)).count();
            if found >= count {
                return Ok(all.spans.clone());
            }
            let came = all.spans.len();
            Err(format!("{found} of {count} spans came, of {came}"))
        })
    }

    /// Waits for a metric that is so.
    pub(super) fn wait_for_metric(&self, name: &str, is: impl Fn(&Measured) -> bool) -> Measured {
        self.wait(|all| {
            let mut found = all.metrics.iter().filter(|one| one.metric.name == name);
            let right = found.clone().rfind(|one| is(one)).cloned();
            right.ok_or_else(|| format!("the latest {name}: {:#?}", found.next_back()))
        })
    }

    /// How many requests were compressed, and how many came.
    pub(super) fn compressed(&self) -> (u64, u64) {
        self.wait(|all| Ok(all.compressed))
    }

    pub(super) fn metrics(&self) -> Vec<Measured> {
        self.wait(|all| Ok(all.metrics.clone()))
    }

    /// Waits until all that came is enough; otherwise it says what is missing.
    fn wait<T>(&self, enough: impl Fn(&All) -> Result<T, String>) -> T {
        let (kept, came) = &*self.kept;
        let deadline = Instant::now() + PATIENCE;
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let missing = match enough(&kept) {
                Ok(found) => return found,
                Err(missing) => missing,
            };
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{missing}");
            kept = came.wait_timeout(kept, left).unwrap().0;
        }
    }

    pub(super) fn all(&self) -> Vec<Received> {
        self.wait_for(0, |_| true)
    }
}

/// One request after the other, until the peer closes.
fn serve(stream: &TcpStream, (kept, came): &(Mutex<All>, Condvar)) {
    let mut reader = BufReader::new(stream);
    let mut writer = stream;
    while let Some(Head {
        of_metrics,
        is_gzip,
        length,
    }) = head(&mut reader)
    {
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        if is_gzip {
            let mut plain = Vec::new();
            GzDecoder::new(&body[..]).read_to_end(&mut plain).unwrap();
            body = plain;
        }
        let mut all = kept.lock().unwrap_or_else(PoisonError::into_inner);
        all.compressed.0 += u64::from(is_gzip);
        all.compressed.1 += 1;
        if of_metrics {
            let request = ExportMetricsServiceRequest::decode(&body[..]).unwrap();
            all.metrics.extend(measured(request));
        } else {
            let request = ExportTraceServiceRequest::decode(&body[..]).unwrap();
            all.spans.extend(received(request));
        }
        drop(all);
        came.notify_all();
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        if writer.write_all(answer).is_err() {
            break;
        }
    }
}

struct Head {
    of_metrics: bool,
    /// Whether the body is compressed.
    is_gzip: bool,
    length: usize,
}

/// `None` at the end.
fn head(reader: &mut impl std::io::BufRead) -> Option<Head> {
    let mut head: Option<Head> = None;
    for line in reader.by_ref().lines() {
        let line = line.ok()?.to_ascii_lowercase();
        let Some(known) = &mut head else {
            head = Some(Head {
                of_metrics: line.starts_with("post /v1/metrics "),
                is_gzip: false,
                length: 0,
            });
            continue;
        };
        if line.is_empty() {
            return head;
        }
        match line.split_once(": ") {
            Some(("content-length", value)) => known.length = value.parse().unwrap(),
            Some(("content-encoding", value)) => known.is_gzip = value == "gzip",
            _ => {}
        }
    }
    None
}

fn received(request: ExportTraceServiceRequest) -> Vec<Received> {
    let mut all = Vec::new();
    for of_resource in request.resource_spans {
        let resource = texts(&of_resource.resource.unwrap_or_default().attributes);
        for span in of_resource
            .scope_spans
            .into_iter()
            .flat_map(|scope| scope.spans)
        {
            all.push(Received {
                resource: resource.clone(),
                attributes: texts(&span.attributes),
                span,
            });
        }
    }
    all
}

fn measured(request: ExportMetricsServiceRequest) -> Vec<Measured> {
    let mut all = Vec::new();
    for of_resource in request.resource_metrics {
        let resource = texts(&of_resource.resource.unwrap_or_default().attributes);
        let scopes = of_resource.scope_metrics.into_iter();
        all.extend(
            scopes
                .flat_map(|scope| scope.metrics)
                .map(|metric| Measured {
                    resource: resource.clone(),
                    metric,
                }),
        );
    }
    all
}

pub(super) fn texts(attributes: &[KeyValue]) -> HashMap<String, String> {
    let text = |one: &KeyValue| {
        let value = match one.value.clone()?.value? {
            Value::StringValue(text) => text,
            Value::IntValue(number) => number.to_string(),
            Value::DoubleValue(number) => number.to_string(),
            Value::BoolValue(flag) => flag.to_string(),
            other => format!("{other:?}"),
        };
        Some((one.key.clone(), value))
    };
    attributes.iter().filter_map(text).collect()
}
