//! The gate before every upload: it admits an upload that finds a free slot and enough space on the
//! disk. A refused upload has a record, too.

use std::sync::Arc;

use axum::{
    Extension,
    body::HttpBody,
    extract::{Request, State},
    http::Method,
    middleware::Next,
    response::{IntoResponse, Response},
};
use prometheus_client::metrics::gauge::Gauge;

use super::{
    Limits,
    announced::ToCome,
    client_slots::{ClientSlot, ClientSlots},
    free_space::FreeSpace,
    limited_body::limited_body,
};
use crate::server::{error::Error, net::connection::RequestContext, transfer::Transfer};

#[derive(Clone)]
pub(crate) struct Admission {
    limits: Arc<Limits>,
    slots: Arc<ClientSlots>,
    space: FreeSpace,
    in_flight: Gauge,
}

impl Admission {
    pub(crate) fn new(limits: Limits, space: FreeSpace, in_flight: Gauge) -> Self {
        Self {
            slots: Arc::new(ClientSlots::new(
                "uploads",
                limits.uploads_that_fit(),
                limits.uploads_per_client,
            )),
            space,
            limits: Arc::new(limits),
            in_flight,
        }
    }

    fn admit(
        &self,
        context: &RequestContext,
        request: &Request,
    ) -> Result<(ClientSlot, ToCome), Error> {
        let client = context.client();
        let slot = self.slots.take(client)?;
        let announced = request.body().size_hint().lower();
        // A part of a resumable upload needs no further file.
        let needs_file = request.method() != Method::PATCH;
        let to_come = self.space.admit(client, announced, needs_file)?;
        Ok((slot, to_come))
    }
}

/// Counts an upload as in flight until it is dropped.
struct UploadInFlight<'a>(&'a Gauge);

impl<'a> UploadInFlight<'a> {
    fn new(in_flight: &'a Gauge) -> Self {
        in_flight.inc();
        Self(in_flight)
    }
}

impl Drop for UploadInFlight<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// The gate as a layer around a route for uploads.
pub(crate) async fn admit(
    State(admission): State<Admission>,
    Extension(context): Extension<RequestContext>,
    request: Request,
    next: Next,
) -> Response {
    match admission.admit(&context, &request) {
        Ok((_slot, to_come)) => {
            let _counted = UploadInFlight::new(&admission.in_flight);
            let space = admission.space.clone();
            let request = request.map(|body| limited_body(body, &admission.limits, space, to_come));
            next.run(request).await
        }
        Err(error) => {
            Transfer::begin(&context, &request.into_parts().0).failed(&error);
            error.into_response()
        }
    }
}
