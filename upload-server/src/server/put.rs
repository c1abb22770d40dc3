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
    error::Error, intake::Intake, json, name::Name, net::connection::Exchange, store::Temporary,
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
    let stored = match receive(&intake, parts.uri.path(), body, &mut transfer).await {
        Ok((name, file)) => intake.finish(file, name, transfer).await,
        Err(error) => {
            transfer.failed(&error);
            Err(error)
        }
    };
    match stored {
        Ok((stored, receipt)) => {
            let headers = [
                (CONTENT_TYPE, "application/json".to_owned()),
                (LOCATION, format!("/files/{}", stored.name.encoded())),
            ];
            (stored.status(), headers, json::line(&receipt)).into_response()
        }
        Err(error) => error.into_response(),
    }
}

async fn receive(
    intake: &Intake,
    path: &str,
    body: Body,
    transfer: &mut Transfer,
) -> Result<(Name, Temporary), Error> {
    let name = Name::decode(path.strip_prefix('/').unwrap_or(path))?;
    transfer.named(&name);
    let length = body.size_hint().exact();
    intake.check_size(length.unwrap_or_default())?;
    let body = body.into_data_stream();
    let file = intake.receive(body, &name, length, transfer).await?;
    Ok((name, file))
}
