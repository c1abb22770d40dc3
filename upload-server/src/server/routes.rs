//! Which request goes where.

use axum::{
    Router,
    routing::{get, put},
};

use super::{download, error::Error, form, intake::Intake, page, put};

/// The upload listeners' routes.
pub(crate) fn router(intake: Intake) -> Router {
    Router::new()
        .route("/", get(page::index).post(form::post))
        .route("/files/{name}", get(download::download))
        .route("/{*name}", put(put::put))
        .method_not_allowed_fallback(async || Error::MethodNotAllowed)
        .fallback(async || Error::NotFound)
        .with_state(intake)
}
