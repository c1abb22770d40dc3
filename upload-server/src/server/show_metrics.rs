//! `GET /metrics`.

use std::sync::Arc;

use axum::{
    Extension,
    extract::State,
    http::header::CONTENT_TYPE,
    response::{IntoResponse, Response},
};
use tracing::error;

use super::{error::Error, journal::Journal, net::connection::RequestContext};

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Serves the metrics to clients with the token; without one, to this machine alone.
pub(crate) async fn show_metrics(
    State((journal, with_token)): State<(Arc<Journal>, bool)>,
    Extension(context): Extension<RequestContext>,
) -> Result<Response, Error> {
    if !with_token && !context.connection.client.ip().is_loopback() {
        return Err(Error::NotFound);
    }
    let mut text = String::new();
    if let Err(error) = journal.metrics.write(&mut text) {
        error!(%error, "cannot write the metrics");
    }
    Ok(([(CONTENT_TYPE, OPENMETRICS)], text).into_response())
}
