//! `PUT /NAME`: the body is the file. The server checks a digest that the client sends, and returns
//! that of the stored file where the client wants it (RFC 9530, 4). A part of a file is refused (RFC
//! 9110, 14.5), and the preconditions of the request are met (RFC 9110, 13).

use axum::{
    Extension,
    body::{Body, HttpBody},
    extract::State,
    http::{
        HeaderMap, Request,
        header::{CONTENT_RANGE, CONTENT_TYPE, ETAG, LOCATION},
        request::Parts,
    },
    response::{IntoResponse, Response},
};

use super::{
    content_coding,
    digest::{REPR_DIGEST, RequestedDigests, wanted},
    encoding::json_line,
    error::Error,
    intake::{IncomingFile, Intake, ReceivedFile},
    name::Name,
    net::connection::RequestContext,
    preconditions::Preconditions,
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
        Ok((received, preconditions)) => intake.finish_if(preconditions, received, transfer).await,
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
                (ETAG, stored.tag.clone()),
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
) -> Result<(ReceivedFile, Preconditions), Error> {
    let path = parts.uri.path();
    // An address that ends with a slash, and the slash before the name.
    let name = Name::decode(path.trim_start_matches('/'))?;
    transfer.set_name(&name);
    refuse_part(&parts.headers)?;
    let preconditions = Preconditions::of_change(&parts.headers)?;
    intake.store.check_if(&name, &preconditions).await?;
    content_coding::check(&parts.headers)?;
    let length = body.size_hint().exact();
    intake.check_size(length.unwrap_or_default())?;
    let incoming = IncomingFile {
        name,
        length,
        requested: RequestedDigests::from_headers(&parts.headers)?,
    };
    let body = body.into_data_stream();
    let received = intake.receive(body, incoming, transfer).await?;
    Ok((received, preconditions))
}

/// Refuses a body, or a file of a form, that is a part of a file, as of a client that resumes an upload or
/// sends a file in pieces: stored, it would pass for the file.
pub(crate) fn refuse_part(headers: &HeaderMap) -> Result<(), Error> {
    if headers.contains_key(CONTENT_RANGE) {
        Err(Error::Part)
    } else {
        Ok(())
    }
}
