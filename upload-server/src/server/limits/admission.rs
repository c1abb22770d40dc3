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
    free_space::FreeSpace,
    limited_body::{Cut, LimitedBody},
    upload_slots::{UploadSlot, UploadSlots},
};
use crate::server::{
    error::Error, metrics::Metrics, net::connection::RequestContext, transfer::Transfer,
};

/// What the gate asks.
#[derive(Clone)]
pub(crate) struct Admission {
    limits: Arc<Limits>,
    metrics: Arc<Metrics>,
    slots: Arc<UploadSlots>,
    space: FreeSpace,
}

impl Admission {
    /// For uploads to this directory.
    pub(crate) fn new(limits: Limits, directory: PathBuf, metrics: Arc<Metrics>) -> Self {
        Self {
            metrics,
            slots: Arc::new(UploadSlots::new(limits.uploads, limits.uploads_per_client)),
            space: FreeSpace::new(directory, limits.min_free),
            limits: Arc::new(limits),
        }
    }

    fn admit(&self, context: &RequestContext, body: &Body) -> Result<UploadSlot, Error> {
        let slot = self.slots.take(context.connection.client.ip())?;
        match self.space.has_room_for(body.size_hint().lower()) {
            true => Ok(slot),
            false => Err(Error::Cut(Cut::NoSpace)),
        }
    }
}

/// Counts an upload as under way, until this is dropped.
struct UploadInFlight<'a>(&'a Metrics);

impl<'a> UploadInFlight<'a> {
    fn new(metrics: &'a Metrics) -> Self {
        metrics.uploads_in_flight.inc();
        Self(metrics)
    }
}

impl Drop for UploadInFlight<'_> {
    fn drop(&mut self) {
        self.0.uploads_in_flight.dec();
    }
}

/// The gate as a layer of a route that takes uploads.
pub(crate) async fn admit(
    State(admission): State<Admission>,
    Extension(context): Extension<RequestContext>,
    request: Request,
    next: Next,
) -> Response {
    match admission.admit(&context, request.body()) {
        Ok(_slot) => {
            let _counted = UploadInFlight::new(&admission.metrics);
            let request = request.map(|body| {
                let space = admission.space.clone();
                Body::new(LimitedBody::new(body, &admission.limits, space))
            });
            next.run(request).await
        }
        Err(error) => {
            Transfer::begin(&context, &request.into_parts().0).failed(&error);
            error.into_response()
        }
    }
}
