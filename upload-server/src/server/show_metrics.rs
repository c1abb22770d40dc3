//! `GET /metrics`.

use std::sync::Arc;

use axum::{
    Extension,
    extract::State,
    http::header::CONTENT_TYPE,
    response::{IntoResponse, Response},
};
use tracing::error;

use super::{error::Error, metrics::Metrics, net::connection::RequestContext};

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The numbers for whoever may see them: with a token whoever has it, without one this machine.
pub(crate) async fn show(
    State((metrics, with_token)): State<(Arc<Metrics>, bool)>,
    Extension(context): Extension<RequestContext>,
) -> Result<Response, Error> {
    if !with_token && !context.connection.client.ip().is_loopback() {
        return Err(Error::NotFound);
    }
    let mut text = String::new();
    if let Err(error) = metrics.write(&mut text) {
        error!(%error, "the metrics cannot be written");
    }
    Ok(([(CONTENT_TYPE, OPENMETRICS)], text).into_response())
}
