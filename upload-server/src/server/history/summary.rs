//! The summary of an upload that the page lists.

use rusqlite::{Connection, params};

use super::upload_row;
use crate::record::Upload;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UploadSummary {
    pub(crate) id: u64,
    /// None where no name was accepted.
    pub(crate) name: Option<String>,
    /// How many bytes of the file arrived.
    pub(crate) bytes: u64,
    pub(crate) outcome: String,
    pub(crate) error: Option<String>,
    /// RFC 3339, in UTC.
    pub(crate) ended: String,
    pub(crate) has_timeline: bool,
}

impl UploadSummary {
    /// None for an id that is not a number.
    pub(crate) fn new(upload: &Upload, has_timeline: bool) -> Option<Self> {
        Some(Self {
            id: upload.id.parse().ok()?,
            name: upload.name.clone(),
            bytes: upload.bytes,
            outcome: upload.outcome.to_string(),
            error: upload.error.clone(),
            ended: upload_row::ended(upload),
            has_timeline,
        })
    }
}

/// Up to `limit` uploads before this id, the latest first.
pub(super) fn before(
    database: &Connection,
    before: u64,
    limit: u32,
) -> Result<Vec<UploadSummary>, rusqlite::Error> {
    let mut select = database.prepare(
        "SELECT id, name, bytes, outcome, error, ended,
         EXISTS (SELECT 1 FROM timelines WHERE upload = id)
         FROM uploads WHERE id < ?1 ORDER BY id DESC LIMIT ?2",
    )?;
    let rows = select.query_map(params![before.cast_signed(), limit], |row| {
        let unsigned = |column| row.get(column).map(i64::cast_unsigned);
        Ok(UploadSummary {
            id: unsigned(0)?,
            name: row.get(1)?,
            bytes: unsigned(2)?,
            outcome: row.get(3)?,
            error: row.get(4)?,
            ended: row.get(5)?,
            has_timeline: row.get(6)?,
        })
    })?;
    rows.collect()
}
