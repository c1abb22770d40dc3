//! An upload as a timeline lists it.

use serde::{Deserialize, Serialize};

use super::Certainty;
use crate::upload::{Outcome, Upload};

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct UploadSummary {
    /// The server's name for the upload; for an inferred one, the connection's name and a number.
    pub id: String,
    /// The file's name; `null` where it is not known.
    pub name: Option<String>,
    /// Bytes of the file that arrived; for an inferred one, of the request's body, or, where that is
    /// encrypted, of everything that went to the server; `null` where they were not counted.
    pub bytes: Option<u64>,
    /// Status of the response, for FTP the code of the final reply; `null` where none was sent or seen.
    pub status: Option<u16>,
    /// How it ended; `null` where that cannot be told.
    pub outcome: Option<Outcome>,
    /// Observed where the server reported it, else inferred.
    pub certainty: Certainty,
}

impl UploadSummary {
    /// As its server reported it.
    #[must_use]
    pub fn reported(upload: &Upload) -> Self {
        Self {
            id: upload.id.clone(),
            name: upload.name.clone(),
            bytes: Some(upload.bytes),
            status: upload.status,
            outcome: Some(upload.outcome),
            certainty: Certainty::Observed,
        }
    }
}
