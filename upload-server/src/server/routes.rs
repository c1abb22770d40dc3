//! The routes: which handler answers which request.

use std::sync::Arc;

use axum::{
    Router,
    middleware::{from_fn, from_fn_with_state},
    routing::{MethodRouter, delete, get, post, put},
};

use super::{
    access::{self, HEALTH, Offer},
    app::App,
    error::{Error, for_browsers},
    files, form,
    intake::Intake,
    limits::{admission::admit, few_at_once::FewAtOnce},
    page::{self, Page},
    publisher::{self, EventsRoute},
    put,
    show_metrics::show_metrics,
    timeline,
};

/// How many pages are made at a time. Each may take a hundred times as much memory as the request for it.
const PAGES: usize = 16;

/// The routes of the upload listeners, behind the guard.
pub(crate) fn router(app: &App) -> Router {
    let App {
        intake,
        admission,
        guard,
        tus,
        journal,
        ..
    } = app;
    let offer = guard.access.offer;
    let with_token = guard.access.token.is_some();
    let gate = from_fn_with_state(admission.clone(), admit);
    let put = || put(put::put).layer(gate.clone());
    let metrics = get(show_metrics).with_state((Arc::clone(journal), with_token));
    let events = get(publisher::events).with_state(EventsRoute {
        publisher: Arc::clone(&journal.publisher),
        uploads: offer.listing,
    });
    let few = from_fn_with_state(FewAtOnce::new(PAGES), FewAtOnce::wait);
    let page = get(page::index).layer(few.clone()).with_state(Page {
        intake: intake.clone(),
        journal: Arc::clone(journal),
        offer,
        with_token,
    });
    let form = post(form::post).layer(gate.clone());
    let tus = tus.clone().router(
        |route| route.layer(gate.clone()),
        find(offer).merge(put()).with_state(intake.clone()),
    );
    let mut routes = Router::new()
        .route("/", page.merge(form))
        .route(HEALTH, get(healthy).merge(put()))
        .route("/metrics", metrics.merge(put()))
        .route("/events", events.merge(put()))
        .route("/{*name}", find(offer).merge(put()));
    if let Some(file) = file(offer) {
        routes = routes.route("/files/{name}", file);
    }
    routes
        .method_not_allowed_fallback(async || Error::MethodNotAllowed)
        .fallback(async || Error::NotFound)
        .with_state(intake.clone())
        .merge(tus)
        .merge(page::assets())
        .merge(timeline::router(Arc::clone(journal)).layer(few))
        .layer(from_fn_with_state(Arc::clone(guard), access::guard))
        .layer(from_fn(for_browsers))
}

/// For health checks: the server answers requests.
async fn healthy() -> &'static str {
    "ok\n"
}

/// `GET` on the address of a `PUT`. Where nothing can be downloaded, it reveals nothing.
fn find(offer: Offer) -> MethodRouter<Intake> {
    if offer.download {
        get(files::find)
    } else {
        get(async || Error::NoFile)
    }
}

/// The methods for a stored file, if any.
fn file(offer: Offer) -> Option<MethodRouter<Intake>> {
    let get = offer.download.then(|| get(files::download));
    let delete = offer.delete.then(|| delete(files::delete));
    match (get, delete) {
        (Some(get), Some(delete)) => Some(get.merge(delete)),
        (get, delete) => get.or(delete),
    }
}
