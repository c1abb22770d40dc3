//! `GET /metrics`.

use std::sync::Arc;

use axum::{
    Extension,
    extract::State,
    http::{HeaderMap, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use tracing::error;

use super::{
    error::Error, forwarded::is_forwarded, journal::Journal, net::connection::RequestContext,
};

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Serves the metrics to clients with the token; without one, to this machine alone.
pub(crate) async fn show_metrics(
    State((journal, with_token)): State<(Arc<Journal>, bool)>,
    Extension(context): Extension<RequestContext>,
    headers: HeaderMap,
) -> Result<Response, Error> {
    if !with_token && (!context.is_local() || is_through_an_untrusted_proxy(&context, &headers)) {
        return Err(Error::NotFound);
    }
    let mut text = String::new();
    if let Err(error) = journal.metrics.write(&mut text) {
        error!(%error, "cannot write the metrics");
    }
    Ok(([(CONTENT_TYPE, OPENMETRICS)], text).into_response())
}

/// Whether the client may be elsewhere, although the connection comes from this machine.
fn is_through_an_untrusted_proxy(context: &RequestContext, headers: &HeaderMap) -> bool {
    context.forwarded.is_none() && is_forwarded(headers)
}
