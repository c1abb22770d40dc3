//! An upload as a timeline lists it.

use serde::{Deserialize, Serialize};

use super::{Certainty, Diagnosis, PassedTo, UploadHop, known_only};
use crate::upload::{Cookie, Outcome, Upload};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
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
    /// For how long it waited for the server's disk on this connection, while its body arrived and while it
    /// was stored; absent where no server reported it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk_ns: Option<u64>,
    /// What held it back on this connection; absent where nothing is known of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub diagnosis: Option<Box<Diagnosis>>,
    /// The connections that carried it, from its client's to this one; absent where this one alone is known.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "known_only")]
    pub hops: Vec<UploadHop>,
    /// How many connections may be the one in front, none of them more likely than another; absent where that is
    /// known, or nothing is in front. Then there are no `hops`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ambiguous_hops: Option<u32>,
    /// Where the server of this connection passed it on to, without TCP; absent where that is not known, or it did
    /// not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub passed_to: Option<Box<PassedTo>>,
}

impl UploadSummary {
    /// As its server reported it, on the connection with this socket.
    #[must_use]
    pub fn reported(upload: &Upload, socket: Option<Cookie>) -> Self {
        Self {
            id: upload.id.clone(),
            name: upload.name.clone(),
            bytes: Some(upload.bytes),
            status: upload.status,
            outcome: Some(upload.outcome),
            certainty: Certainty::Observed,
            disk_ns: socket.and_then(|socket| upload.disk_ns_on(socket)),
            diagnosis: None,
            hops: Vec::new(),
            ambiguous_hops: None,
            passed_to: None,
        }
    }
}
