//! About how many bytes an output takes while it waits for a sink. A peer chooses how many requests a connection has,
//! and how long their targets and names are.

#[cfg(live)]
use upload_protocol::line::UploadLine;
use upload_protocol::timeline::{Exchange, Timeline, UploadSummary};

/// What a timeline takes without its exchanges and uploads.
const PHASES_BYTES: usize = 6 << 10;

pub(super) fn of_timeline(timeline: &Timeline) -> usize {
    let exchanges = timeline.exchanges().iter();
    let exchanges = exchanges.map(|one| size_of::<Exchange>() + one.request.target.len());
    let uploads = timeline.uploads.iter();
    let uploads = uploads
        .map(|upload| size_of::<UploadSummary>() + upload.name.as_ref().map_or(0, String::len));
    PHASES_BYTES + exchanges.chain(uploads).sum::<usize>()
}

#[cfg(live)]
pub(super) fn of_upload(upload: &UploadLine) -> usize {
    let texts = [
        Some(&upload.id),
        upload.name.as_ref(),
        upload.error.as_ref(),
    ];
    let texts = texts.into_iter().flatten().map(String::len);
    size_of::<UploadLine>()
        + texts.sum::<usize>()
        + size_of_val(upload.parts.as_slice())
        + size_of_val(upload.earlier.as_slice())
}
