//! An upload's row in the database.

use rusqlite::{Connection, params};
use serde::Serialize;
use serde_json::value::RawValue;
use tracing::error;

use crate::{
    record::Upload,
    server::{clock::wall_clock, net::held_records::Answered},
};

/// A row to be written.
pub(super) struct UploadRow {
    id: u64,
    upload: Upload,
    began: String,
    ended: String,
    record: String,
}

/// A row that was read: a line of the control socket's `GET /history`.
#[derive(Serialize)]
pub(crate) struct HistoryLine {
    began: String,
    ended: String,
    upload: Box<RawValue>,
    timelines: Vec<Box<RawValue>>,
}

impl UploadRow {
    /// None for a record whose id is not a number.
    pub(super) fn new(upload: &Upload) -> Option<Self> {
        let record = serde_json::to_string(upload)
            .inspect_err(|error| error!(%error, "cannot write a record as JSON"))
            .ok()?;
        Some(Self {
            id: upload.id.parse().ok()?,
            upload: upload.clone(),
            began: wall_clock(upload.times.head_ns),
            ended: ended(upload),
            record,
        })
    }

    pub(super) fn write(&self, database: &Connection) -> Result<(), rusqlite::Error> {
        // Numbers, for SQLite looks names up each time.
        let mut insert = database.prepare_cached(
            "INSERT INTO uploads
             (id, name, bytes, sha256, client, began, ended, status, outcome, error, record)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
             ON CONFLICT (id) DO UPDATE SET
             name = ?2, bytes = ?3, sha256 = ?4, ended = ?7, status = ?8, outcome = ?9, error = ?10,
             record = ?11",
        )?;
        insert.execute(params![
            self.id.cast_signed(),
            self.upload.name,
            self.upload.bytes.cast_signed(),
            self.upload.sha256,
            self.upload.origin(),
            self.began,
            self.ended,
            self.upload.status,
            self.upload.outcome.to_string(),
            self.upload.error,
            self.record,
        ])?;
        Ok(())
    }
}

/// Adds the response to the records of these uploads, as far as they are still kept.
pub(super) fn answer(
    database: &Connection,
    ids: &[u64],
    answered: &Answered,
    ended: Option<&str>,
) -> Result<(), rusqlite::Error> {
    let mut update = database.prepare_cached(
        "UPDATE uploads SET status = ?2, ended = coalesce(?5, ended),
         record = json_set(record, '$.status', ?2, '$.response_ns', ?3, '$.sent_ns', ?4)
         WHERE id = ?1",
    )?;
    let Answered {
        status,
        response_ns,
        sent_ns,
    } = answered;
    let [response_ns, sent_ns] = [response_ns, sent_ns].map(|time| time.map(u64::cast_signed));
    for id in ids {
        update.execute(params![
            id.cast_signed(),
            status,
            response_ns,
            sent_ns,
            ended
        ])?;
    }
    Ok(())
}

/// Up to `limit` uploads before this id, the latest first.
pub(super) fn before(
    database: &Connection,
    before: u64,
    limit: u32,
) -> Result<Vec<HistoryLine>, rusqlite::Error> {
    let mut select = database.prepare(
        "SELECT id, began, ended, record FROM uploads WHERE id < ?1 ORDER BY id DESC LIMIT ?2",
    )?;
    let rows = select.query_map(params![before.cast_signed(), limit], |row| {
        let id: i64 = row.get(0)?;
        let record: String = row.get(3)?;
        Ok((id.cast_unsigned(), row.get(1)?, row.get(2)?, record))
    })?;
    let mut past = Vec::new();
    for row in rows {
        let (id, began, ended, record) = row?;
        let timelines = timelines(database, id)?.into_iter().filter_map(raw);
        past.extend(raw(record).map(|upload| HistoryLine {
            began,
            ended,
            upload,
            timelines: timelines.collect(),
        }));
    }
    Ok(past)
}

/// An upload's timelines, the latest last.
pub(super) fn timelines(database: &Connection, id: u64) -> Result<Vec<String>, rusqlite::Error> {
    let mut select =
        database.prepare("SELECT timeline FROM timelines WHERE upload = ?1 ORDER BY rowid")?;
    let rows = select.query_map([id.cast_signed()], |row| row.get(0))?;
    rows.collect()
}

fn raw(json: String) -> Option<Box<RawValue>> {
    RawValue::from_string(json)
        .inspect_err(|error| error!(%error, "the history holds text that is not JSON"))
        .ok()
}

/// The latest time in an upload's record, in RFC 3339.
pub(super) fn ended(upload: &Upload) -> String {
    let times = &upload.times;
    let ended = [
        times.sent_ns,
        times.response_ns,
        times.stored_ns,
        times.body_last_ns,
    ];
    wall_clock(ended.into_iter().flatten().max().unwrap_or(times.head_ns))
}
