//! One file on its way in, and its record: exactly one, even when the request is dropped halfway.

use std::{net::IpAddr, sync::Arc, time::Duration};

use axum::http::{
    HeaderMap, HeaderName, Uri,
    header::{CONTENT_LENGTH, EXPECT, LINK},
    request::Parts,
};
use serde::Serialize;

use super::{
    clock,
    digest::{Algorithm, Digest},
    error::Error,
    forwarded::Forwarded,
    history::Keeping,
    name::Name,
    net::{
        connection::{Connection, RequestContext},
        request::OriginalTarget,
    },
    relative::Links,
    store::Stored,
};
use crate::record::{MAX_TARGET, Outcome, Part, Times, Upload};

/// The client's, or a proxy's, own id for a request. A page that cancels an upload never learns the id of
/// its record, and finds the record by this one.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// A longer request id is not recorded.
const LONGEST_REQUEST_ID: usize = 128;

/// The most parts in the record of a file. Of more, the latest are recorded.
pub(crate) const MAX_PARTS: usize = 256;

/// The record of an upload in flight. Dropping it concludes the upload as failed, unless it was
/// concluded before.
pub(crate) struct Transfer {
    context: RequestContext,
    links: Links,
    record: Upload,
    expects_continue: bool,
    concluded: bool,
}

/// The answer to the client of a stored file.
#[derive(Debug, Serialize)]
pub(crate) struct Receipt {
    id: String,
    name: String,
    bytes: u64,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
    /// The address of its timeline.
    timeline: String,
    /// The same as a link from the request's.
    #[serde(skip)]
    link: String,
    #[serde(skip)]
    digests: Vec<Digest>,
}

/// An upload whose file is stored, until its record is kept.
pub(crate) struct Completed {
    receipt: Receipt,
    record: Upload,
    /// Absent without a history.
    keeping: Option<Keeping>,
    connection: Arc<Connection>,
}

impl Completed {
    /// The answer to the client, once the record is kept in the history. Blocks.
    pub(crate) fn receipt(self) -> Receipt {
        if let Some(keeping) = self.keeping {
            keeping.wait();
        }
        self.connection.hold_back(self.record);
        self.receipt
    }
}

impl Receipt {
    /// The Link field with the timeline's address (RFC 8288). The relation `describedby` is from POWDER.
    pub(crate) fn link(&self) -> (HeaderName, String) {
        (LINK, format!("<{}>; rel=\"describedby\"", self.link))
    }

    /// The digest that the client wants back.
    pub(crate) fn digest(&self, wanted: Option<Algorithm>) -> Option<&Digest> {
        let wanted = wanted?;
        self.digests
            .iter()
            .find(|digest| digest.algorithm == wanted)
    }
}

impl Transfer {
    pub(crate) fn begin(context: &RequestContext, request: &Parts) -> Self {
        let content_length = request.headers.get(CONTENT_LENGTH);
        let original = request.extensions.get::<OriginalTarget>();
        let (target, target_bytes) = recorded(original.map_or(&request.uri, |target| &target.0));
        let record = Upload {
            id: String::new(),
            cookie: context.connection.cookie,
            request: context.request,
            client: context.connection.client,
            forwarded_for: context.forwarded.as_ref().and_then(Forwarded::client),
            method: request.method.to_string(),
            target,
            target_bytes,
            version: format!("{:?}", request.version),
            name: None,
            request_id: request_id(&request.headers),
            content_length: content_length.and_then(|length| length.to_str().ok()?.parse().ok()),
            bytes: 0,
            stored_bytes: None,
            sha256: None,
            status: None,
            outcome: Outcome::Failed,
            error: None,
            connections: Vec::new(),
            times: Times {
                accepted_ns: context.connection.accepted_ns,
                first_byte_ns: context.first_byte_ns,
                head_ns: context.head_ns,
                ..Times::default()
            },
        };
        Self {
            context: context.clone(),
            links: context.links(request.uri.path()),
            record,
            expects_continue: request.headers.contains_key(EXPECT),
            concluded: false,
        }
    }

    /// Whether the client may wait for `100 Continue` before it sends the body (RFC 9110, 10.1.1).
    pub(crate) fn expects_continue(&self) -> bool {
        self.expects_continue
    }

    /// The client's address.
    pub(crate) fn client(&self) -> IpAddr {
        self.context.client()
    }

    /// The record so far.
    pub(crate) fn record(&self) -> &Upload {
        &self.record
    }

    /// Turns the record of a request into that of the whole upload, of which the request carried a
    /// part. The file now has the bytes up to `reached`. Returns the part, if any bytes arrived.
    pub(crate) fn become_part_of(
        &mut self,
        so_far: &Upload,
        offset: u64,
        reached: u64,
    ) -> Option<Part> {
        let record = &mut self.record;
        let part = (record.bytes > 0).then_some(Part {
            cookie: record.cookie,
            request: record.request,
            client: record.client,
            forwarded_for: record.forwarded_for,
            offset,
            bytes: record.bytes,
            times: record.times,
        });
        let mut parts = so_far.connections.clone();
        if part.is_some() && parts.len() == MAX_PARTS {
            parts.remove(0);
        }
        parts.extend(part.clone());
        record.connections = parts;
        record.bytes = reached;
        part
    }

    /// Sets the name under which the file is, or will be, stored.
    pub(crate) fn set_name(&mut self, name: &Name) {
        self.record.name = Some(name.as_str().to_owned());
    }

    /// Counts bytes of the file that came out of hyper.
    pub(crate) fn arrived(&mut self, bytes: usize) {
        let now = Some(clock::now_ns());
        self.record.times.body_first_ns = self.record.times.body_first_ns.or(now);
        self.record.times.body_last_ns = now;
        self.record.bytes += bytes as u64;
    }

    /// Counts time for which the request waited for the disk.
    pub(crate) fn waited_for_disk(&mut self, waited: Duration) {
        let ns = u64::try_from(waited.as_nanos()).unwrap_or(u64::MAX);
        let so_far = &mut self.record.times.disk_ns;
        *so_far = Some(so_far.unwrap_or(0).saturating_add(ns));
    }

    /// How many bytes have arrived.
    pub(crate) fn bytes(&self) -> u64 {
        self.record.bytes
    }

    /// Concludes the upload of a file that is stored, and begins to keep its record in the history.
    pub(crate) fn complete(mut self, stored: &Stored, digests: Vec<Digest>) -> Completed {
        self.record.times.stored_ns = Some(clock::now_ns());
        self.set_name(&stored.name);
        self.record.stored_bytes = Some(stored.bytes);
        let sha256 = digests
            .iter()
            .find(|digest| digest.algorithm == Algorithm::Sha256);
        self.record.sha256 = sha256.map(Digest::hex);
        self.record.outcome = Outcome::Complete;
        self.concluded = true;
        let mut record = self.record.clone();
        let connection = Arc::clone(&self.context.connection);
        let keeping = connection.upload_stored(&mut record);
        let timeline = connection.timeline_address(&record.id);
        let receipt = Receipt {
            id: record.id.clone(),
            name: record.name.clone().unwrap_or_default(),
            bytes: record.bytes,
            status: stored.status().as_u16(),
            sha256: record.sha256.clone(),
            link: self.links.to(&timeline),
            timeline: self.links.absolute(&timeline),
            digests,
        };
        Completed {
            receipt,
            record,
            keeping,
            connection,
        }
    }

    /// Concludes the upload of a file that is not stored.
    pub(crate) fn failed(mut self, error: &Error) {
        self.conclude_failed(error);
    }

    /// Makes dropping this conclude nothing: the upload may go on in another request.
    pub(crate) fn outlives_request(&mut self) {
        self.concluded = true;
    }

    /// Leaves no record: the upload goes on in another request, or there was none.
    pub(crate) fn withdraw(mut self) {
        self.concluded = true;
    }

    fn conclude_failed(&mut self, error: &Error) {
        let source = std::error::Error::source(error);
        let text = source.map_or(error.to_string(), |source| format!("{error}: {source}"));
        self.conclude(error.outcome(), Some(text));
    }

    fn conclude(&mut self, outcome: Outcome, error: Option<String>) {
        self.concluded = true;
        self.record.outcome = outcome;
        self.record.error = error;
        self.record.id = self
            .context
            .connection
            .upload_concluded(self.record.clone());
    }
}

impl Drop for Transfer {
    fn drop(&mut self) {
        if self.concluded {
            return;
        }
        if self.context.connection.is_reset() {
            self.conclude_failed(&Error::Reset);
        } else if self.context.connection.is_abandoned() {
            self.conclude_failed(&Error::Abandoned);
        } else {
            // A client of HTTP/2 may cancel a single request.
            self.conclude_failed(&Error::Aborted);
        }
    }
}

/// A target as records have it, and how long it was if that is only its beginning. A query may be secret. A
/// record is kept for each file of a form.
fn recorded(target: &Uri) -> (String, Option<u64>) {
    let mut text = target.to_string();
    let bytes = text.len();
    let path = text.find('?').unwrap_or(bytes).min(MAX_TARGET);
    text.truncate(text.floor_char_boundary(path));
    text.shrink_to_fit();
    let is_cut = text.len() < bytes;
    (text, is_cut.then_some(bytes as u64))
}

fn request_id(headers: &HeaderMap) -> Option<String> {
    let id = headers.get(REQUEST_ID)?.to_str().ok()?;
    (!id.is_empty() && id.len() <= LONGEST_REQUEST_ID).then(|| id.to_owned())
}
