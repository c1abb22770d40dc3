//! The upload directory. A file is written under a hidden temporary name and renamed when it is
//! whole, so that a name never shows a part of a file; an older file of that name is replaced.

use std::{
    fs::{self, File, Permissions},
    io,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    time::SystemTime,
};

use axum::http::StatusCode;
use tempfile::NamedTempFile;
use tokio::task::spawn_blocking;

use super::{name::Name, writer::Writer};

/// Before the umask, as for any file that a user creates.
const MODE: u32 = 0o666;

/// Where uploads are stored.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    directory: PathBuf,
}

/// How a file came to its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stored {
    New,
    Replaced,
}

/// A stored file, as the listing shows it.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) name: Name,
    pub(crate) bytes: u64,
    pub(crate) modified: SystemTime,
}

impl Stored {
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::New => StatusCode::CREATED,
            Self::Replaced => StatusCode::OK,
        }
    }
}

impl Store {
    pub(crate) fn new(directory: PathBuf) -> Self {
        Self { directory }
    }

    /// Begins a file that has no name yet.
    pub(crate) async fn create(&self) -> io::Result<Writer> {
        let directory = self.directory.clone();
        let create = move || {
            tempfile::Builder::new()
                .prefix(".upload-")
                .permissions(Permissions::from_mode(MODE))
                .tempfile_in(directory)
        };
        Ok(Writer::new(spawn_blocking(create).await??))
    }

    /// Gives a file that is whole its name.
    pub(crate) async fn publish(&self, file: NamedTempFile, name: &Name) -> io::Result<Stored> {
        let path = self.directory.join(name.as_str());
        let publish = move || match file.persist_noclobber(&path) {
            Ok(_) => Ok(Stored::New),
            Err(refused) if refused.error.kind() == io::ErrorKind::AlreadyExists => {
                refused.file.persist(&path)?;
                Ok(Stored::Replaced)
            }
            Err(refused) => Err(refused.error),
        };
        spawn_blocking(publish).await?
    }

    /// Opens a stored file and says how long it is.
    pub(crate) async fn open(&self, name: &Name) -> io::Result<(File, u64)> {
        let path = self.directory.join(name.as_str());
        let open = move || {
            if !fs::symlink_metadata(&path)?.is_file() {
                return Err(io::ErrorKind::NotFound.into());
            }
            let file = File::open(path)?;
            let bytes = file.metadata()?.len();
            Ok((file, bytes))
        };
        spawn_blocking(open).await?
    }

    /// Removes a stored file.
    pub(crate) async fn remove(&self, name: &Name) -> io::Result<()> {
        let path = self.directory.join(name.as_str());
        let remove = move || match fs::symlink_metadata(&path)?.is_file() {
            true => fs::remove_file(path),
            false => Err(io::ErrorKind::NotFound.into()),
        };
        spawn_blocking(remove).await?
    }

    /// The stored files, the newest first.
    pub(crate) async fn list(&self) -> io::Result<Vec<Entry>> {
        let directory = self.directory.clone();
        let list = move || {
            let entries = fs::read_dir(directory)?.filter_map(|entry| entry_of(&entry.ok()?));
            let mut entries: Vec<Entry> = entries.collect();
            entries.sort_by_key(|entry| std::cmp::Reverse(entry.modified));
            Ok(entries)
        };
        spawn_blocking(list).await?
    }
}

/// None for what is not a plain file with a name of ours, or has just been removed.
fn entry_of(entry: &fs::DirEntry) -> Option<Entry> {
    let name = Name::new(entry.file_name().to_str()?).ok()?;
    let metadata = entry.metadata().ok().filter(fs::Metadata::is_file)?;
    Some(Entry {
        name,
        bytes: metadata.len(),
        modified: metadata.modified().ok()?,
    })
}
