//! Unfinished uploads, in the upload directory: one hidden file has the bytes that arrived, another the
//! upload's description. So they survive the server, even one that is killed.
//!
//! The description is written after the bytes' file is created, and outlives it: bytes without a
//! description belong to an upload that never began, a description without bytes to a complete one.
//!
//! A partial upload keeps its bytes until the final upload takes them (see `assembly`).

mod age;
mod assembly;
mod counted_time;
mod places;

use std::{
    collections::HashSet,
    fs::File,
    io::{self, Seek, SeekFrom},
    os::unix::fs::MetadataExt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use rustix::fs::OFlags;
use tracing::warn;

use self::{age::Ages, places::Places};
use super::{
    description::{Description, Kind},
    error::TusError,
    id::Id,
    metadata,
    session::Session,
};
use crate::server::{
    error::Error,
    file_lock::Locked,
    limits::Limits,
    name::Name,
    store::{
        Temporary,
        directory::{Directory, FileStat},
    },
};

const PREFIX: &str = ".tus-";
const DESCRIPTION: &str = ".json";

/// The unfinished uploads of a directory.
#[derive(Clone)]
pub(crate) struct UnfinishedUploads {
    pub(crate) directory: Arc<Directory>,
    /// How long an interrupted upload is kept.
    life: Duration,
    ages: Arc<Ages>,
    places: Arc<Places>,
}

/// An unfinished upload, locked for one request.
pub(crate) struct Unfinished {
    directory: Arc<Directory>,
    places: Arc<Places>,
    file: Locked,
    pub(crate) description: Description,
    // The last field is dropped last: the next request gets its turn only once the file is unlocked.
    /// Keeps the next request for this upload waiting.
    pub(crate) session: Session,
}

pub(crate) enum OpenedUpload {
    Unfinished(Box<Unfinished>),
    Complete(Box<Description>),
}

impl UnfinishedUploads {
    /// Counts those that are there already. Blocks.
    pub(crate) fn new(directory: Arc<Directory>, life: Duration, limits: &Limits) -> Self {
        let uploads = Self {
            ages: Arc::new(Ages::open(&directory)),
            places: Arc::new(Places::new(limits)),
            directory,
            life,
        };
        match uploads.names() {
            Ok(names) => uploads.count(&names, &HashSet::new()),
            Err(error) => warn!(%error, "cannot count the unfinished uploads"),
        }
        uploads
    }

    /// How long an interrupted upload is kept.
    pub(crate) fn life(&self) -> Duration {
        self.life
    }

    pub(crate) fn create(
        &self,
        session: Session,
        description: Description,
    ) -> Result<Unfinished, Error> {
        self.places.take(&session.id, &description.upload)?;
        let id = session.id.clone();
        let created = self.create_files(session, description);
        if created.is_err() {
            self.places.free(&id);
        }
        created
    }

    fn create_files(
        &self,
        session: Session,
        description: Description,
    ) -> Result<Unfinished, Error> {
        let id = session.id.clone();
        let file = self.directory.create(&bytes_name(&id))?;
        let begun = self.begin(file, session, description);
        if begun.is_err() {
            remove_files(&self.directory, &id);
        }
        begun
    }

    fn begin(
        &self,
        file: File,
        session: Session,
        description: Description,
    ) -> Result<Unfinished, Error> {
        let upload = Unfinished {
            directory: Arc::clone(&self.directory),
            places: Arc::clone(&self.places),
            file: Locked::new(file)?.ok_or(TusError::Locked)?,
            description,
            session,
        };
        upload.save()?;
        Ok(upload)
    }

    pub(crate) fn open(&self, session: Session) -> Result<OpenedUpload, Error> {
        let bytes_name = bytes_name(&session.id);
        let (state, modified) = match self.lock_bytes(&bytes_name) {
            Ok(locked) => {
                let upload = self.resume(session, locked.ok_or(TusError::Locked)?)?;
                let modified = upload.file.metadata()?.modified()?;
                (OpenedUpload::Unfinished(Box::new(upload)), modified)
            }
            Err(Error::NotFound) => {
                let (description, modified) = read(&self.directory, &session.id)?;
                (OpenedUpload::Complete(Box::new(description)), modified)
            }
            Err(error) => return Err(error),
        };
        if self.has_expired(modified) {
            Err(TusError::Gone.into())
        } else {
            Ok(state)
        }
    }

    /// Removes expired files, and returns the uploads that thereby end without a file.
    pub(crate) fn sweep(&self) -> io::Result<Vec<Description>> {
        let mut expired = Vec::new();
        let held = self.places.ids();
        let names = self.names()?;
        for name in &names {
            let rest = name.strip_prefix(PREFIX).unwrap_or(name);
            match self.sweep_one(name, rest) {
                Ok(description) => expired.extend(description),
                Err(error) => warn!(%error, name, "cannot remove a leftover file"),
            }
        }
        self.count(&names, &held);
        let is_left = |name: &String| matches!(self.directory.find(name), Ok(Some(_)));
        let saved = if names.iter().any(is_left) {
            self.ages.save(&self.directory)
        } else {
            remove_if_there(&self.directory, age::FILE)
        };
        if let Err(error) = saved {
            warn!(%error, "cannot save the age of resumable uploads: after a restart, they expire later");
        }
        Ok(expired)
    }

    fn names(&self) -> io::Result<Vec<String>> {
        let mut names = self.directory.names()?;
        names.retain(|name| name.starts_with(PREFIX) && name != age::FILE);
        Ok(names)
    }

    /// Frees the places of uploads that are gone, of which `held` knew, and gives one to each of these files of
    /// bytes that has none. Both may be the work of another server.
    fn count(&self, names: &[String], held: &HashSet<Id>) {
        let is_there = |id: &Id| !matches!(self.directory.find(&bytes_name(id)), Ok(None));
        for id in held.iter().filter(|id| !is_there(id)) {
            self.places.free(id);
        }
        let ids = names
            .iter()
            .filter_map(|name| Id::parse(name.strip_prefix(PREFIX)?));
        for id in ids.filter(|id| !held.contains(id) && is_there(id)) {
            // Without a description, the upload never began.
            if let Ok((description, _)) = read(&self.directory, &id) {
                self.places.adopt(&id, &description.upload);
            }
        }
    }

    fn sweep_one(&self, name: &str, rest: &str) -> Result<Option<Description>, Error> {
        let last_change = |found: Option<FileStat>| found.map(|found| found.modified);
        let Some(modified) = last_change(self.directory.find(name)?) else {
            return Ok(None);
        };
        if !self.has_expired(modified) {
            return Ok(None);
        }
        let Some(id) = rest.strip_suffix(DESCRIPTION).and_then(Id::parse) else {
            return self.sweep_bytes(name, rest);
        };
        let bytes_name = bytes_name(&id);
        if let Some(modified) = last_change(self.directory.find(&bytes_name)?) {
            if !self.has_expired(modified) {
                return Ok(None);
            }
            let Some(file) = self.lock_bytes(&bytes_name)? else {
                return Ok(None);
            };
            match self.resume(Session::alone(id), file) {
                Ok(upload) => return Ok(Some(upload.remove())),
                // The description was never saved whole.
                Err(Error::NotFound) => self.directory.remove(&bytes_name)?,
                Err(error) => return Err(error),
            }
        }
        self.directory.remove(name)?;
        Ok(None)
    }

    /// Removes bytes without a description. Others are removed with their description.
    fn sweep_bytes(&self, name: &str, rest: &str) -> Result<Option<Description>, Error> {
        let described = match Id::parse(rest) {
            Some(id) => self.directory.find(&description_name(&id))?.is_some(),
            None => false,
        };
        let file = || self.directory.open_file(name, OFlags::RDWR);
        if !described && Locked::new(file()?)?.is_some() {
            self.directory.remove(name)?;
        }
        Ok(None)
    }

    /// Opens an upload's bytes. None where another request, or another server, works on them.
    fn lock_bytes(&self, name: &str) -> Result<Option<Locked>, Error> {
        let opened = self.directory.open_file(name, OFlags::RDWR);
        let Some(file) = Locked::new(opened.map_err(Error::from_lookup)?)? else {
            return Ok(None);
        };
        // Another server may have given the file its name since it was opened.
        let inode = file.metadata()?.ino();
        let found = self.directory.find(name)?;
        Ok(Some(file).filter(|_| found.is_some_and(|found| found.inode == inode)))
    }

    fn resume(&self, session: Session, file: Locked) -> Result<Unfinished, Error> {
        let (mut description, _) = read(&self.directory, &session.id)?;
        if let Some(unchecked) = description.unchecked_from.take() {
            file.set_len(unchecked)?;
        }
        (&*file).seek(SeekFrom::End(0))?;
        Ok(Unfinished {
            directory: Arc::clone(&self.directory),
            places: Arc::clone(&self.places),
            file,
            description,
            session,
        })
    }

    fn has_expired(&self, modified: SystemTime) -> bool {
        self.ages.age(modified) >= self.life
    }
}

impl Unfinished {
    /// The name that the file is to get. None for a partial upload, which becomes no file.
    pub(crate) fn name(&self) -> Result<Option<Name>, Error> {
        if self.description.kind == Kind::Partial {
            return Ok(None);
        }
        file_name(&self.session.id, &self.description.metadata).map(Some)
    }

    /// Whether nothing is missing once this many bytes have arrived.
    pub(crate) fn becomes_a_file_at(&self, offset: u64) -> bool {
        let description = &self.description;
        description.kind == Kind::Whole && description.length == Some(offset)
    }

    /// How many bytes have arrived.
    pub(crate) fn offset(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    /// The bytes, to append to them or to give them a name.
    pub(crate) fn file(&self) -> io::Result<Temporary> {
        let name = bytes_name(&self.session.id);
        let file = self.file.try_clone()?;
        Ok(Temporary::adopt(Arc::clone(&self.directory), file, name))
    }

    /// The bytes, to read from their beginning.
    pub(crate) fn content(&self) -> io::Result<File> {
        let mut file = self.file.try_clone()?;
        file.rewind()?;
        Ok(file)
    }

    /// Discards the bytes from this offset on.
    pub(crate) fn truncate(&mut self, offset: u64) -> io::Result<()> {
        self.file.set_len(offset)
    }

    /// Writes the description.
    pub(crate) fn save(&self) -> io::Result<()> {
        let name = description_name(&self.session.id);
        self.description.save(&self.directory, &name)
    }

    /// Removes the upload, with the parts that it is made of.
    pub(crate) fn remove(self) -> Description {
        let mut ids = vec![&self.session.id];
        if let Kind::Final(upload) = &self.description.kind {
            ids.extend(upload.parts.iter().map(|part| &part.id));
        }
        for id in ids {
            remove_files(&self.directory, id);
            self.places.free(id);
        }
        self.description
    }

    /// Call once the file has its name.
    pub(crate) fn stored(&self) {
        self.places.free(&self.session.id);
    }
}

/// The name that the file of an upload is to get: a plain one where the client gives none.
pub(crate) fn file_name(id: &Id, metadata: &str) -> Result<Name, Error> {
    match metadata::name(metadata)? {
        Some(name) => Ok(name),
        None => Ok(Name::new(&format!("upload-{}", id.short()))?),
    }
}

/// The description goes first: bytes without one count as never begun.
fn remove_files(directory: &Directory, id: &Id) {
    for name in [description_name(id), bytes_name(id)] {
        if let Err(error) = remove_if_there(directory, &name) {
            warn!(%error, "cannot remove an upload's file: it stays until it expires");
        }
    }
}

fn remove_if_there(directory: &Directory, name: &str) -> io::Result<()> {
    match directory.remove(name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

fn bytes_name(id: &Id) -> String {
    format!("{PREFIX}{id}")
}

fn description_name(id: &Id) -> String {
    format!("{PREFIX}{id}{DESCRIPTION}")
}

/// An upload's description, and when it was last changed.
fn read(directory: &Directory, id: &Id) -> Result<(Description, SystemTime), Error> {
    Description::read(directory, &description_name(id))
}

#[cfg(test)]
mod tests;
