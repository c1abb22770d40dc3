//! Which request goes where.

use axum::{
    Router,
    middleware::from_fn_with_state,
    routing::{get, post, put},
};

use super::{
    download,
    error::Error,
    form,
    intake::Intake,
    limits::admission::{Admission, admit},
    page, put,
};

/// The upload listeners' routes.
pub(crate) fn router(intake: Intake, admission: Admission) -> Router {
    let gate = from_fn_with_state(admission, admit);
    let form = post(form::post).layer(gate.clone());
    Router::new()
        .route("/", get(page::index).merge(form))
        .route("/files/{name}", get(download::download))
        .route("/{*name}", put(put::put).layer(gate))
        .method_not_allowed_fallback(async || Error::MethodNotAllowed)
        .fallback(async || Error::NotFound)
        .with_state(intake)
}
