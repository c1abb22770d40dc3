//! `PUT /NAME`: the body is the file.

use axum::{
    Extension,
    body::{Body, HttpBody},
    extract::State,
    http::{
        Request,
        header::{CONTENT_TYPE, LOCATION},
    },
    response::{IntoResponse, Response},
};

use super::{
    error::Error, intake::Intake, json, name::Name, net::connection::Exchange, store::Stored,
    transfer::Transfer,
};

/// Stores the body under the path's name: 201, or 200 where it replaced a file.
pub(crate) async fn put(
    State(intake): State<Intake>,
    Extension(exchange): Extension<Exchange>,
    request: Request<Body>,
) -> Response {
    let (parts, body) = request.into_parts();
    let mut transfer = Transfer::begin(&exchange, &parts);
    match store(&intake, parts.uri.path(), body, &mut transfer).await {
        Ok((name, stored)) => {
            let receipt = transfer.complete(stored);
            let headers = [
                (CONTENT_TYPE, "application/json".to_owned()),
                (LOCATION, format!("/files/{}", name.encoded())),
            ];
            (stored.status(), headers, json::line(&receipt)).into_response()
        }
        Err(error) => {
            transfer.failed(&error);
            error.into_response()
        }
    }
}

async fn store(
    intake: &Intake,
    path: &str,
    body: Body,
    transfer: &mut Transfer<'_>,
) -> Result<(Name, Stored), Error> {
    let name = Name::decode(path.strip_prefix('/').unwrap_or(path))?;
    transfer.named(&name);
    if let Some(length) = body.size_hint().exact() {
        intake.check_size(length)?;
    }
    let stored = intake
        .store(body.into_data_stream(), &name, transfer)
        .await?;
    Ok((name, stored))
}
