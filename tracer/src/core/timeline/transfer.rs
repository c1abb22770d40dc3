//! The upload of a data connection of FTP, as its control connection tells it.

use upload_protocol::{
    ConnectionId, End,
    timeline::{Certainty, UploadSummary},
    upload::Outcome,
};

use crate::core::payload::{Command, Transfer};

/// One if the command stores a file, none if it fetches one; `None` if the command is unknown.
/// `volume`: payload from the end that opened the connection, and to it.
pub(super) fn uploads(
    transfer: &Transfer,
    connection: ConnectionId,
    volume: (u64, u64),
    was_reset: bool,
) -> Option<Vec<UploadSummary>> {
    let Command::Store(name) = transfer.command.as_ref()? else {
        return Some(Vec::new());
    };
    // In active mode the client listens.
    let bytes = match transfer.listens {
        End::Server => volume.0,
        End::Client => volume.1,
    };
    let last = name.as_ref().and_then(|path| path.rsplit('/').next());
    Some(vec![UploadSummary {
        id: format!("{connection}/1"),
        name: last.filter(|name| !name.is_empty()).map(str::to_owned),
        bytes: Some(bytes),
        status: transfer.reply,
        outcome: match transfer.reply {
            Some(reply) => outcome(reply),
            None => was_reset.then_some(Outcome::Reset),
        },
        certainty: Certainty::Inferred,
        disk_ns: None,
        diagnosis: None,
        hops: Vec::new(),
        ambiguous_hops: None,
        passed_to: None,
    }])
}

/// How an upload ended, from the final reply (RFC 959, section 4.2.1).
const fn outcome(reply: u16) -> Option<Outcome> {
    match reply {
        200..300 => Some(Outcome::Complete),
        426 => Some(Outcome::Aborted),
        452 => Some(Outcome::DiskFull),
        552 => Some(Outcome::TooLarge),
        400..500 => Some(Outcome::Failed),
        500..600 => Some(Outcome::Refused),
        _ => None,
    }
}
