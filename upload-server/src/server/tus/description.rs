//! What is known of an upload besides its bytes. It is written as JSON, and read again by later versions
//! of the server.

use serde::{Deserialize, Serialize};

use super::id::Id;
use crate::record::Upload;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Description {
    /// The number of bytes. None until a client that deferred it declares it.
    pub(crate) length: Option<u64>,
    /// The client's metadata, unparsed.
    pub(crate) metadata: String,
    /// The bytes from this offset on are not checked yet.
    pub(crate) unchecked_from: Option<u64>,
    #[serde(default)]
    pub(crate) kind: Kind,
    /// The record so far.
    pub(crate) upload: Upload,
}

/// What an upload becomes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// A file.
    #[default]
    Whole,
    /// A part of a file, and never a file of its own.
    Partial,
    /// A file, made of parts.
    Final(FinalUpload),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FinalUpload {
    /// The client's list of the parts, as HEAD sends it back.
    pub(crate) concat: String,
    /// In the order of the file. Their bytes come one behind the other.
    pub(crate) parts: Vec<PartOfFile>,
}

/// A complete partial upload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PartOfFile {
    pub(crate) id: Id,
    pub(crate) length: u64,
}
