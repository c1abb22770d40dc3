//! Which request goes where.

use std::sync::Arc;

use axum::{
    Router,
    middleware::from_fn_with_state,
    routing::{MethodRouter, delete, get, post, put},
};

use super::{
    access::{Guard, HEALTH, Offer, guard},
    error::Error,
    files, form,
    intake::Intake,
    journal::Journal,
    limits::admission::{Admission, admit},
    metrics::{self, Metrics},
    page::{self, Page},
    publisher::{self, EventsRoute},
    put, timeline,
    tus::Tus,
};

/// The upload listeners' routes, within the guard.
pub(crate) fn router(
    intake: Intake,
    admission: Admission,
    access: Guard,
    metrics: Arc<Metrics>,
    tus: Tus,
    journal: Arc<Journal>,
) -> Router {
    let with_token = access.access.token.is_some();
    let metrics_page = get(metrics::show).with_state((metrics, with_token));
    let timeline = timeline::router(Arc::clone(&journal));
    let events = get(publisher::events).with_state(EventsRoute {
        publisher: Arc::clone(journal.events()),
        uploads: access.access.offer.listing,
    });
    let gate = from_fn_with_state(admission, admit);
    let page = get(page::index).with_state(Page {
        intake: intake.clone(),
        journal,
        offer: access.access.offer,
        on_duplicate: intake.store.on_duplicate(),
        with_token,
    });
    let form = post(form::post).layer(gate.clone());
    let tus = tus.router(|route| route.layer(gate.clone()));
    let mut routes = Router::new()
        .route("/", page.merge(form))
        .route(
            HEALTH,
            get(healthy).merge(put(put::put).layer(gate.clone())),
        )
        .route(
            "/metrics",
            metrics_page.merge(put(put::put).layer(gate.clone())),
        )
        .route("/events", events.merge(put(put::put).layer(gate.clone())))
        .route("/{*name}", put(put::put).layer(gate));
    if let Some(file) = file(access.access.offer) {
        routes = routes.route("/files/{name}", file);
    }
    routes
        .method_not_allowed_fallback(async || Error::MethodNotAllowed)
        .fallback(async || Error::NotFound)
        .with_state(intake)
        .merge(tus)
        .merge(page::assets())
        .merge(timeline)
        .layer(from_fn_with_state(Arc::new(access), guard))
}

/// For whoever watches over the server: it takes requests.
async fn healthy() -> &'static str {
    "ok\n"
}

/// What may be done with a stored file, if anything.
fn file(offer: Offer) -> Option<MethodRouter<Intake>> {
    let get = offer.download.then(|| get(files::download));
    let delete = offer.delete.then(|| delete(files::delete));
    match (get, delete) {
        (Some(get), Some(delete)) => Some(get.merge(delete)),
        (get, delete) => get.or(delete),
    }
}
