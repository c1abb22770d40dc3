//! `POST /`: the files of a form (`multipart/form-data`), as a browser without a script and
//! `curl -F` send them.
//!
//! Each file has a record of its own, and stays stored when a later one breaks off. The record of a
//! file that breaks off may lack its last bytes, which multer holds back. Digest fields belong to the
//! parts: the form as a whole is not stored.

mod form_body;

use axum::{
    Extension,
    body::Body,
    extract::State,
    http::{
        HeaderMap, Request, StatusCode,
        header::{ACCEPT, CONTENT_TYPE},
        request::Parts,
    },
    response::{AppendHeaders, IntoResponse, Redirect, Response},
};
use multer::Multipart;
use tokio_stream::StreamExt;

use self::form_body::FormBody;
use super::{
    content_coding,
    digest::RequestedDigests,
    encoding::json_line,
    error::Error,
    intake::{IncomingFile, Intake},
    name::Name,
    net::connection::RequestContext,
    put::refuse_part,
    transfer::{Receipt, Transfer},
};

/// Stores the form's files. Answers 201 and a list of them, or redirects a browser to the page.
pub(crate) async fn post(
    State(intake): State<Intake>,
    Extension(context): Extension<RequestContext>,
    request: Request<Body>,
) -> Response {
    let (parts, body) = request.into_parts();
    match store_files(&intake, &context, &parts, body).await {
        Ok(_) if wants_html(&parts.headers) => Redirect::to("./").into_response(),
        Ok(receipts) => {
            let content_type = [(CONTENT_TYPE, "application/json")];
            let links = receipts.iter().map(Receipt::link).collect();
            let links = AppendHeaders::<Vec<_>>(links);
            let receipts = json_line(&receipts);
            (StatusCode::CREATED, content_type, links, receipts).into_response()
        }
        Err(error) => error.into_response(),
    }
}

async fn store_files(
    intake: &Intake,
    context: &RequestContext,
    parts: &Parts,
    body: Body,
) -> Result<Vec<Receipt>, Error> {
    let mut transfer = Some(Transfer::begin(context, parts));
    let stored = store_each(intake, context, parts, body, &mut transfer).await;
    match (&stored, transfer) {
        (Ok(_), Some(unused)) => unused.withdraw(),
        (Err(error), Some(failed)) => failed.failed(error),
        (_, None) => {}
    }
    stored
}

/// `transfer` is that of the current file, or of the next one that may follow. After an error, it is
/// that of the file that failed; none where the file's transfer has ended already.
async fn store_each(
    intake: &Intake,
    context: &RequestContext,
    parts: &Parts,
    body: Body,
    transfer: &mut Option<Transfer>,
) -> Result<Vec<Receipt>, Error> {
    refuse_part(&parts.headers)?;
    content_coding::check(&parts.headers)?;
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
        content_coding::check(field.headers())?;
        let of_file = transfer.get_or_insert_with(|| Transfer::begin(context, parts));
        of_file.set_name(&name);
        source.within_file();
        let incoming = IncomingFile {
            name,
            length: None,
            requested: RequestedDigests::from_headers(field.headers())?,
        };
        let file = field.map(|chunk| {
            source.within_file();
            chunk.map_err(|error| source.explain(&error))
        });
        let received = intake.receive(file, incoming, of_file).await?;
        if let Some(of_file) = transfer.take() {
            let (_, receipt) = intake.finish(received, of_file).await?;
            receipts.push(receipt);
        }
        *transfer = Some(Transfer::begin(context, parts));
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

pub(crate) fn wants_html(headers: &HeaderMap) -> bool {
    let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok());
    accept.is_some_and(|accept| accept.contains("text/html"))
}
