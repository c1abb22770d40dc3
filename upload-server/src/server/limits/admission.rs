//! The gate before every upload: is there a place for it, and room on the disk? Who is turned away
//! has a record of it.

use std::{path::PathBuf, sync::Arc};

use axum::{
    Extension,
    body::{Body, HttpBody},
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::{
    Limits,
    arriving::{Arriving, Cut},
    free_space::FreeSpace,
    places::{Place, Places},
};
use crate::server::{
    error::Error, metrics::Metrics, net::connection::Exchange, transfer::Transfer,
};

/// What the gate asks.
#[derive(Clone)]
pub(crate) struct Admission {
    limits: Arc<Limits>,
    metrics: Arc<Metrics>,
    places: Arc<Places>,
    space: FreeSpace,
}

impl Admission {
    /// For uploads to this directory.
    pub(crate) fn new(limits: Limits, directory: PathBuf, metrics: Arc<Metrics>) -> Self {
        Self {
            metrics,
            places: Arc::new(Places::new(limits.uploads, limits.uploads_per_client)),
            space: FreeSpace::new(directory, limits.min_free),
            limits: Arc::new(limits),
        }
    }

    fn admit(&self, exchange: &Exchange, body: &Body) -> Result<Place, Error> {
        let place = self.places.take(exchange.connection.client.ip())?;
        match self.space.has_room_for(body.size_hint().lower()) {
            true => Ok(place),
            false => Err(Error::Cut(Cut::NoSpace)),
        }
    }
}

/// Counts an upload as under way, until this is dropped.
struct InFlight<'a>(&'a Metrics);

impl<'a> InFlight<'a> {
    fn new(metrics: &'a Metrics) -> Self {
        metrics.uploads_in_flight.inc();
        Self(metrics)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.uploads_in_flight.dec();
    }
}

/// The gate as a layer of a route that takes uploads.
pub(crate) async fn admit(
    State(admission): State<Admission>,
    Extension(exchange): Extension<Exchange>,
    request: Request,
    next: Next,
) -> Response {
    match admission.admit(&exchange, request.body()) {
        Ok(_place) => {
            let _counted = InFlight::new(&admission.metrics);
            let request = request.map(|body| {
                let space = admission.space.clone();
                Body::new(Arriving::new(body, &admission.limits, space))
            });
            next.run(request).await
        }
        Err(error) => {
            Transfer::begin(&exchange, &request.into_parts().0).failed(&error);
            error.into_response()
        }
    }
}
