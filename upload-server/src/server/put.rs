//! `PUT /NAME`: the body is the file. The server checks a digest that the client sends, and returns
//! that of the stored file where the client wants it (RFC 9530, 4).

use axum::{
    Extension,
    body::{Body, HttpBody},
    extract::State,
    http::{
        Request,
        header::{CONTENT_TYPE, LOCATION},
        request::Parts,
    },
    response::{IntoResponse, Response},
};

use super::{
    digest::{REPR_DIGEST, RequestedDigests, wanted},
    encoding::json_line,
    error::Error,
    intake::{IncomingFile, Intake, ReceivedFile},
    name::Name,
    net::connection::RequestContext,
    relative::relative,
    transfer::Transfer,
};

/// Stores the body under the path's name. Answers 201, or 200 where it replaced a file.
pub(crate) async fn put(
    State(intake): State<Intake>,
    Extension(context): Extension<RequestContext>,
    request: Request<Body>,
) -> Response {
    let (parts, body) = request.into_parts();
    let mut transfer = Transfer::begin(&context, &parts);
    let wanted = wanted(&parts.headers).unwrap_or_default();
    let stored = match receive(&intake, &parts, body, &mut transfer).await {
        Ok(received) => intake.finish(received, transfer).await,
        Err(error) => {
            transfer.failed(&error);
            Err(error)
        }
    };
    match stored {
        Ok((stored, receipt)) => {
            let digest = receipt.digest(wanted);
            let digest = digest.map(|digest| [(REPR_DIGEST, digest.to_string())]);
            let headers = [
                (CONTENT_TYPE, "application/json".to_owned()),
                (LOCATION, relative(parts.uri.path(), &stored.name.path())),
            ];
            let status = stored.status();
            let link = [receipt.link()];
            (status, headers, link, digest, json_line(&receipt)).into_response()
        }
        Err(error) => error.into_response(),
    }
}

async fn receive(
    intake: &Intake,
    parts: &Parts,
    body: Body,
    transfer: &mut Transfer,
) -> Result<ReceivedFile, Error> {
    let path = parts.uri.path();
    let name = Name::decode(path.strip_prefix('/').unwrap_or(path))?;
    transfer.set_name(&name);
    let length = body.size_hint().exact();
    intake.check_size(length.unwrap_or_default())?;
    let incoming = IncomingFile {
        name,
        length,
        requested: RequestedDigests::from_headers(&parts.headers)?,
    };
    let body = body.into_data_stream();
    intake.receive(body, incoming, transfer).await
}
