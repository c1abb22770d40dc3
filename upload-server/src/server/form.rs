//! `POST /`: the files of a form (`multipart/form-data`), as browsers, `curl -F` and libraries send them. A
//! form is accepted only if each of its files is stored: a part that may be a file and has no name is
//! an error.
//!
//! Each file has a record of its own, and stays stored when a later one breaks off. Digest fields belong
//! to the parts: the form as a whole is not stored.

mod answer;
mod base64_content;
mod encoded_word;
mod failed_form;
mod file_name;
mod multipart;
mod parameters;
mod part;
mod pieces;
mod reader;

use axum::{
    Extension,
    body::Body,
    extract::State,
    http::{
        HeaderMap, Request, StatusCode,
        header::{ACCEPT, CONTENT_TYPE, USER_AGENT},
        request::Parts,
    },
    response::{IntoResponse, Redirect, Response},
};

pub(crate) use self::failed_form::FailedForm;
use self::{
    answer::Answer, base64_content::Base64Content, multipart::Event, parameters::Parameters,
    part::Part, pieces::NumberOfPieces, reader::FormReader,
};
use super::{
    content_coding,
    digest::RequestedDigests,
    error::Error,
    intake::{IncomingFile, Intake},
    name::Name,
    net::connection::RequestContext,
    preconditions::Preconditions,
    put::refuse_part,
    transfer::Transfer,
};

/// The longest boundary. RFC 2046 allows 70 bytes.
const MAX_BOUNDARY: usize = 256;

/// Stores the form's files. Answers 201 and a list of them, or redirects a browser to the page.
pub(crate) async fn post(
    State(intake): State<Intake>,
    Extension(context): Extension<RequestContext>,
    request: Request<Body>,
) -> Response {
    let (parts, body) = request.into_parts();
    let mut upload = FormUpload {
        answer: Answer::new(intake.store.on_duplicate()),
        transfer: Some(Transfer::begin(&context, &parts)),
        intake,
        context,
        parts,
        position: 0,
        part: None,
    };
    match upload.run(body).await {
        Ok(()) if wants_html(&upload.parts.headers) => Redirect::to("./").into_response(),
        Ok(()) => upload.answer.into_response(),
        Err(error) => error.into_response(),
    }
}

/// A form on its way in.
struct FormUpload {
    intake: Intake,
    context: RequestContext,
    parts: Parts,
    answer: Answer,
    /// That of the current file, or of the next one that may follow. None while the transfer of a file
    /// that has been received ends.
    transfer: Option<Transfer>,
    /// How many parts have begun.
    position: usize,
    /// The part that is being read, for people.
    part: Option<String>,
}

impl FormUpload {
    async fn run(&mut self, body: Body) -> Result<(), Error> {
        let stored = self.store_files(body).await;
        let transfer = self.transfer.take();
        match stored {
            Ok(()) => {
                transfer.into_iter().for_each(Transfer::withdraw);
                Ok(())
            }
            Err(error) => {
                transfer
                    .into_iter()
                    .for_each(|failed| failed.failed(&error));
                let part = self.part.take();
                Err(FailedForm::explain(error, part, self.answer.files()))
            }
        }
    }

    async fn store_files(&mut self, body: Body) -> Result<(), Error> {
        let headers = &self.parts.headers;
        refuse_part(headers)?;
        Preconditions::of_change(headers)?.check_form()?;
        content_coding::check(headers)?;
        let mut form = FormReader::new(body, &boundary(headers)?);
        loop {
            match self.event(&mut form).await? {
                Event::Part(headers) => self.read_part(&mut form, headers).await?,
                Event::End => break,
                _ => {}
            }
            self.part = None;
        }
        if self.answer.files() == 0 {
            return Err(refusal(
                "the form has no file: a file is a part with a filename",
            ));
        }
        Ok(())
    }

    async fn read_part(&mut self, form: &mut FormReader, headers: HeaderMap) -> Result<(), Error> {
        self.position += 1;
        let part = Part::new(headers);
        self.part = Some(part.describe(self.position, None));
        part.check()?;
        let names_are_encoded = encodes_names(&self.parts.headers);
        match part.file_name(names_are_encoded)? {
            None => self.skip_field(form, &part).await,
            Some(name) if name.is_empty() => self.skip_nothing(form).await,
            Some(name) => {
                self.part = Some(part.describe(self.position, Some(&name)));
                self.store_file(form, &part, Name::new(&name)?).await
            }
        }
    }

    async fn store_file(
        &mut self,
        form: &mut FormReader,
        part: &Part,
        name: Name,
    ) -> Result<(), Error> {
        let mut transfer = match self.transfer.take() {
            Some(transfer) => transfer,
            None => Transfer::begin(&self.context, &self.parts),
        };
        transfer.set_name(&name);
        let of_file = self.transfer.insert(transfer);
        self.answer.expect(&name)?;
        refuse_part(&part.headers)?;
        self.intake.space.check_inodes()?;
        let is_base64 = part.is_base64()?;
        let incoming = IncomingFile {
            name,
            length: None,
            requested: RequestedDigests::from_headers(&part.headers)?,
        };
        let received = if is_base64 {
            let content = Base64Content::new(form.file());
            self.intake.receive(content, incoming, of_file).await?
        } else {
            self.intake.receive(form.file(), incoming, of_file).await?
        };
        if let Some(of_file) = self.transfer.take() {
            let (_, receipt) = self.intake.finish(received, of_file).await?;
            self.answer.add(&receipt);
        }
        self.transfer = Some(Transfer::begin(&self.context, &self.parts));
        Ok(())
    }

    /// Passes over a field of the form that is not a file.
    async fn skip_field(&self, form: &mut FormReader, part: &Part) -> Result<(), Error> {
        let mut pieces = NumberOfPieces::of(part.field());
        while let Event::Content(bytes) = self.event(form).await? {
            part.check_is_text(&bytes)?;
            pieces.push(&bytes);
            form.count_overhead(bytes.len())?;
        }
        pieces.check()
    }

    /// Passes over the part that a browser sends where the person chose no file.
    async fn skip_nothing(&self, form: &mut FormReader) -> Result<(), Error> {
        match self.event(form).await? {
            Event::Content(_) => Err(refusal("the file has bytes, and an empty filename")),
            _ => Ok(()),
        }
    }

    async fn event(&self, form: &mut FormReader) -> Result<Event, Error> {
        self.intake.in_time(form.event()).await?
    }
}

/// A form that cannot be taken as it is.
fn refusal(detail: impl Into<String>) -> Error {
    Error::Protocol {
        status: StatusCode::BAD_REQUEST,
        detail: detail.into(),
    }
}

fn boundary(headers: &HeaderMap) -> Result<Vec<u8>, Error> {
    let content_type = headers.get(CONTENT_TYPE);
    let content_type = content_type.map(|content_type| Parameters::read(content_type.as_bytes()));
    let form = content_type.filter(|content_type| content_type.value == "multipart/form-data");
    let form = form.ok_or_else(|| {
        refusal(
            "the body is not a form: send a file with PUT /NAME (curl -T FILE), \
             or as a part of multipart/form-data (curl -F file=@FILE)",
        )
    })?;
    if form.are_too_many {
        return Err(refusal("the field Content-Type has too many parameters"));
    }
    let mut boundaries = form.all("boundary").map(|parameter| &parameter.bytes);
    match (boundaries.next(), boundaries.next()) {
        (Some(boundary), None) if (1..=MAX_BOUNDARY).contains(&boundary.len()) => {
            Ok(boundary.clone())
        }
        _ => Err(refusal(
            "the field Content-Type must give one boundary of 1 to 256 bytes",
        )),
    }
}

/// aiohttp percent-encodes all of a filename, not just what browsers do. Nothing but its name tells.
fn encodes_names(headers: &HeaderMap) -> bool {
    let agent = headers
        .get(USER_AGENT)
        .and_then(|agent| agent.to_str().ok());
    agent.is_some_and(|agent| agent.contains("aiohttp/"))
}

pub(crate) fn wants_html(headers: &HeaderMap) -> bool {
    let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok());
    accept.is_some_and(|accept| accept.contains("text/html"))
}
