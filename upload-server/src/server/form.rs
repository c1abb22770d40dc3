//! `POST /`: the files of a form (`multipart/form-data`), as a browser without a script and
//! `curl -F` send them. Each file has a record of its own and stays when a later one breaks off; of
//! the one that breaks off, the record may miss the last bytes, which multer keeps.

use std::mem;

use axum::{
    Extension,
    body::Body,
    extract::State,
    http::{
        HeaderMap, Request, StatusCode,
        header::{ACCEPT, CONTENT_TYPE},
        request::Parts,
    },
    response::{IntoResponse, Redirect, Response},
};
use multer::Multipart;
use tokio_stream::StreamExt;

use super::{
    error::Error,
    form_body::FormBody,
    intake::Intake,
    json,
    name::Name,
    net::connection::Exchange,
    transfer::{Receipt, Transfer},
};

/// Stores the form's files: 201 and a list of them, or back to the page for a browser.
pub(crate) async fn post(
    State(intake): State<Intake>,
    Extension(exchange): Extension<Exchange>,
    request: Request<Body>,
) -> Response {
    let (parts, body) = request.into_parts();
    match store_files(&intake, &exchange, &parts, body).await {
        Ok(_) if wants_html(&parts.headers) => Redirect::to("/").into_response(),
        Ok(receipts) => {
            let content_type = [(CONTENT_TYPE, "application/json")];
            (StatusCode::CREATED, content_type, json::line(&receipts)).into_response()
        }
        Err(error) => error.into_response(),
    }
}

async fn store_files(
    intake: &Intake,
    exchange: &Exchange,
    parts: &Parts,
    body: Body,
) -> Result<Vec<Receipt>, Error> {
    let mut transfer = Transfer::begin(exchange, parts);
    match store_each(intake, exchange, parts, body, &mut transfer).await {
        Ok(receipts) => {
            transfer.withdraw();
            Ok(receipts)
        }
        Err(error) => {
            transfer.failed(&error);
            Err(error)
        }
    }
}

/// `transfer` is the file under way, or the next one: where something fails, the one that failed.
async fn store_each<'a>(
    intake: &Intake,
    exchange: &'a Exchange,
    parts: &Parts,
    body: Body,
    transfer: &mut Transfer<'a>,
) -> Result<Vec<Receipt>, Error> {
    let boundary = boundary(&parts.headers)?;
    let source = FormBody::default();
    let mut body = source.read(body);
    let mut form = Multipart::new(&mut body, boundary);
    let mut receipts = Vec::new();

    while let Some(field) = intake
        .in_time(form.next_field())
        .await?
        .map_err(|error| source.explain(&error))?
    {
        let Some(name) = field.file_name().filter(|name| !name.is_empty()) else {
            continue;
        };
        let name = Name::new(name)?;
        transfer.named(&name);
        source.within_file();
        let file = field.map(|chunk| {
            source.within_file();
            chunk.map_err(|error| source.explain(&error))
        });
        let stored = intake.store(file, &name, transfer).await?;
        let stored_transfer = mem::replace(transfer, Transfer::begin(exchange, parts));
        receipts.push(stored_transfer.complete(stored));
    }

    drop(form);
    while intake.in_time(body.next()).await?.is_some() {}
    if let Some(error) = source.error() {
        return Err(error);
    }
    if receipts.is_empty() {
        return Err(Error::Malformed("the form has no file".to_owned()));
    }
    Ok(receipts)
}

fn boundary(headers: &HeaderMap) -> Result<String, Error> {
    let content_type = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    multer::parse_boundary(content_type.unwrap_or_default())
        .map_err(|error| Error::Malformed(error.to_string()))
}

fn wants_html(headers: &HeaderMap) -> bool {
    let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok());
    accept.is_some_and(|accept| accept.contains("text/html"))
}
