//! `GET /metrics`. Those who reach the port may be slow or hostile: there are few connections at once, each has
//! one request, a limit in bytes and a limit of time.

use std::{
    io,
    net::TcpListener as StdListener,
    sync::{Arc, mpsc::SyncSender},
    time::Duration,
};

use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{ACCEPT, ALLOW, CONTENT_TYPE, HeaderMap, HeaderName},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::TcpListener,
    sync::{Semaphore, oneshot},
    time::{sleep, timeout},
};
use tracing::debug;

use super::{
    Ask,
    exposition::{self, Format},
    process::Process,
};

/// Connections at once; more wait in the kernel.
pub(super) const MOST_SCRAPERS: usize = 16;
/// Bytes of a request's head; hyper takes no fewer.
const MOST_REQUEST_BYTES: usize = 8 * 1024;
/// How long a connection may take: Prometheus gives a scrape ten seconds, unless it is configured otherwise.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long the core may take to give a copy. It does so every 20 ms, and later while it is behind.
const CORE_PATIENCE: Duration = Duration::from_secs(5);
/// Until another connection is accepted, after one could not be: there may be no descriptor.
const PAUSE: Duration = Duration::from_millis(100);

/// Answers scrapers, for ever.
pub(super) async fn serve(listener: StdListener, ask: SyncSender<Ask>) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let slots = Arc::new(Semaphore::new(MOST_SCRAPERS));
    let process = Arc::new(Process::own());
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .keep_alive(false)
        .max_buf_size(MOST_REQUEST_BYTES);
    loop {
        let slot = Arc::clone(&slots).acquire_owned().await;
        let slot = slot.map_err(io::Error::other)?;
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                debug!(%error, "cannot accept a scraper");
                sleep(PAUSE).await;
                continue;
            }
        };
        let (ask, process) = (ask.clone(), Arc::clone(&process));
        let service = service_fn(move |request| {
            let (ask, process) = (ask.clone(), Arc::clone(&process));
            async move { answer(&request, &ask, &process).await }
        });
        let connection = http.serve_connection(TokioIo::new(stream), service);
        tokio::spawn(async move {
            match timeout(PATIENCE, connection).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => debug!(%error, "a scraper's connection failed"),
                Err(_) => debug!("a scraper took too long"),
            }
            drop(slot);
        });
    }
}

type Answer = Response<Full<Bytes>>;

async fn answer(
    request: &Request<Incoming>,
    ask: &SyncSender<Ask>,
    process: &Process,
) -> Result<Answer, hyper::http::Error> {
    if request.uri().path() != "/metrics" {
        return refuse(StatusCode::NOT_FOUND, "the metrics are at /metrics\n", None);
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return refuse(
            StatusCode::METHOD_NOT_ALLOWED,
            "GET alone\n",
            Some((ALLOW, "GET, HEAD")),
        );
    }
    let (to, copy) = oneshot::channel();
    let asked = ask.try_send(to);
    let given = async { timeout(CORE_PATIENCE, copy).await.ok()?.ok() };
    let measures = if asked.is_ok() { given.await } else { None };
    let Some(measures) = measures else {
        return refuse(
            StatusCode::SERVICE_UNAVAILABLE,
            "the tracer is busy, or at its end\n",
            None,
        );
    };
    let format = format(request.headers());
    let text = exposition::text(measures, process.reading(), format);
    Response::builder()
        .header(CONTENT_TYPE, format.content_type())
        .body(text.into())
}

fn refuse(
    status: StatusCode,
    why: &'static str,
    field: Option<(HeaderName, &'static str)>,
) -> Result<Answer, hyper::http::Error> {
    let mut response = Response::builder()
        .status(status)
        .header(CONTENT_TYPE, "text/plain; charset=utf-8");
    if let Some((name, value)) = field {
        response = response.header(name, value);
    }
    response.body(why.into())
}

/// OpenMetrics for those who ask for it, as Prometheus does.
fn format(headers: &HeaderMap) -> Format {
    let accepted = headers.get_all(ACCEPT).iter();
    let mut accepted = accepted.filter_map(|value| value.to_str().ok());
    if accepted.any(|value| value.contains("application/openmetrics-text")) {
        Format::OpenMetrics
    } else {
        Format::Prometheus
    }
}
