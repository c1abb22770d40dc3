//! The upload directory. A file is written under a hidden temporary name and renamed when it is whole,
//! so that no name ever shows a part of a file.

pub(crate) mod directory;
mod duplicate;
mod temporary;

use std::{fs::File, io, path::Path, sync::Arc, time::SystemTime};

use axum::http::StatusCode;
use rustix::fs::OFlags;

pub use self::duplicate::OnDuplicate;
pub(crate) use self::temporary::Temporary;
use self::{directory::Directory, duplicate::other_names, temporary::remove_leftovers};
use super::{blocking::off_the_runtime, error::Error, name::Name};

#[derive(Clone, Debug)]
pub(crate) struct Store {
    directory: Arc<Directory>,
    on_duplicate: OnDuplicate,
    fsync: bool,
}

/// A file that has got its name.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    /// The name that it got, which may differ from the client's.
    pub(crate) name: Name,
    pub(crate) bytes: u64,
    /// It replaced an older file of that name.
    replaced: bool,
}

/// A stored file, as the page lists it.
#[derive(Debug)]
pub(crate) struct ListedFile {
    pub(crate) name: Name,
    pub(crate) bytes: u64,
    pub(crate) modified: SystemTime,
}

impl Stored {
    pub(crate) fn status(&self) -> StatusCode {
        if self.replaced {
            StatusCode::OK
        } else {
            StatusCode::CREATED
        }
    }
}

impl Store {
    /// Opens the directory, and removes the temporary files of servers that were killed. With `fsync`,
    /// a file is on the disk before it counts as stored.
    pub(crate) fn open(path: &Path, on_duplicate: OnDuplicate, fsync: bool) -> io::Result<Self> {
        let directory = Arc::new(Directory::open(path)?);
        remove_leftovers(&directory)?;
        Ok(Self {
            directory,
            on_duplicate,
            fsync,
        })
    }

    pub(crate) fn on_duplicate(&self) -> OnDuplicate {
        self.on_duplicate
    }

    /// Creates a temporary file, with room for this many bytes where their number is known. An error
    /// where the disk has no room for it, or where it could not get this name.
    pub(crate) async fn create(&self, name: &Name, bytes: Option<u64>) -> Result<Temporary, Error> {
        let (store, name) = (self.clone(), name.clone());
        let create = move || {
            store.check(&name)?;
            let temporary = Temporary::create(store.directory)?;
            temporary.reserve(bytes.unwrap_or_default())?;
            Ok(temporary)
        };
        off_the_runtime(create).await
    }

    /// Gives a whole file its name, or another one. Blocks.
    pub(crate) fn publish(&self, mut file: Temporary, name: &Name) -> Result<Stored, Error> {
        if self.fsync {
            file.file().sync_all()?;
        }
        let stored = self.give_name(&mut file, name)?;
        if self.fsync {
            self.directory.sync()?;
        }
        Ok(stored)
    }

    /// A stored file, and its length.
    pub(crate) async fn open_file(&self, name: &Name) -> io::Result<(File, u64)> {
        let (directory, name) = (Arc::clone(&self.directory), name.clone());
        let open = move || {
            let file = directory.open_file(name.as_str(), OFlags::RDONLY)?;
            let bytes = file.metadata()?.len();
            Ok((file, bytes))
        };
        off_the_runtime(open).await
    }

    pub(crate) async fn remove(&self, name: &Name) -> io::Result<()> {
        let (directory, name) = (Arc::clone(&self.directory), name.clone());
        let remove = move || match directory.find(name.as_str())? {
            Some(found) if found.is_file => directory.remove(name.as_str()),
            _ => Err(io::ErrorKind::NotFound.into()),
        };
        off_the_runtime(remove).await
    }

    /// The stored files, the newest first.
    pub(crate) async fn list(&self) -> io::Result<Vec<ListedFile>> {
        let directory = Arc::clone(&self.directory);
        let list = move || {
            let names = directory.names()?;
            let entries = names.iter().filter_map(|name| entry(&directory, name));
            let mut entries: Vec<ListedFile> = entries.collect();
            entries.sort_by_key(|entry| std::cmp::Reverse(entry.modified));
            Ok(entries)
        };
        off_the_runtime(list).await
    }

    pub(crate) fn directory(&self) -> &Arc<Directory> {
        &self.directory
    }

    /// An error where a file cannot get this name, as far as is known before it is whole. Blocks.
    pub(crate) fn check(&self, name: &Name) -> Result<(), Error> {
        if self.on_duplicate == OnDuplicate::Rename {
            return Ok(());
        }
        match self.directory.find(name.as_str())? {
            None => Ok(()),
            Some(found) if !found.is_file => Err(Error::Occupied),
            Some(_) if self.on_duplicate == OnDuplicate::Error => Err(Error::Exists),
            Some(_) => Ok(()),
        }
    }

    fn give_name(&self, file: &mut Temporary, name: &Name) -> Result<Stored, Error> {
        let bytes = file.file().metadata()?.len();
        let as_new = |name: &Name| Stored {
            name: name.clone(),
            bytes,
            replaced: false,
        };
        if name_if_free(file, name)? {
            return Ok(as_new(name));
        }
        match self.on_duplicate {
            OnDuplicate::Error => Err(Error::Exists),
            OnDuplicate::Rename => {
                for other in other_names(name) {
                    if name_if_free(file, &other)? {
                        return Ok(as_new(&other));
                    }
                }
                Err(Error::Exists)
            }
            OnDuplicate::Overwrite => {
                self.check(name)?;
                file.name_anyway(name.as_str())?;
                Ok(Stored {
                    name: name.clone(),
                    bytes,
                    replaced: true,
                })
            }
        }
    }
}

/// Returns false where the name is not free.
fn name_if_free(file: &mut Temporary, name: &Name) -> io::Result<bool> {
    match file.name_if_free(name.as_str()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}

/// None for anything but a plain file with an accepted name, and for a file removed meanwhile.
fn entry(directory: &Directory, name: &str) -> Option<ListedFile> {
    let name = Name::new(name).ok()?;
    let found = directory.find(name.as_str()).ok()??;
    found.is_file.then_some(ListedFile {
        name,
        bytes: found.bytes,
        modified: found.modified,
    })
}
