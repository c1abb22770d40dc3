//! The upload directory. A file is written under a hidden temporary name and renamed when it is whole,
//! so that no name ever shows a part of a file.

pub(crate) mod directory;
mod duplicate;
mod listing;
mod readings;
mod temporary;

use std::{collections::HashSet, fs::File, io, net::IpAddr, path::Path, sync::Arc};

use axum::http::StatusCode;
use parking_lot::Mutex;
use rustix::fs::OFlags;

pub use self::duplicate::OnDuplicate;
use self::{
    directory::Directory, duplicate::give_other_name, readings::Readings,
    temporary::remove_leftovers,
};
pub(crate) use self::{
    directory::FileStat,
    listing::{ListedFile, Listing, Place},
    temporary::Temporary,
};
use super::{blocking::off_the_runtime, error::Error, name::Name, preconditions::Preconditions};

#[derive(Clone, Debug)]
pub(crate) struct Store {
    directory: Arc<Directory>,
    on_duplicate: OnDuplicate,
    fsync: bool,
    readings: Readings,
    /// Held while a file is replaced or removed, so that a precondition stays true until then. New names
    /// need no lock: the kernel gives each only once.
    changing: Arc<Mutex<()>>,
}

/// A file that has got its name.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    /// The name that it got, which may differ from the client's.
    pub(crate) name: Name,
    pub(crate) bytes: u64,
    /// Its entity tag.
    pub(crate) tag: String,
    /// It replaced an older file of that name.
    replaced: bool,
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
            readings: Readings::new(),
            changing: Arc::default(),
        })
    }

    pub(crate) fn on_duplicate(&self) -> OnDuplicate {
        self.on_duplicate
    }

    /// Whether a file is on the disk before it counts as stored.
    pub(crate) fn syncs(&self) -> bool {
        self.fsync
    }

    /// Creates a temporary file. An error where it could not get this name.
    pub(crate) async fn create(&self, name: &Name) -> Result<Temporary, Error> {
        let (store, name) = (self.clone(), name.clone());
        let create = move || {
            store.check(&name)?;
            Ok(store.new_file()?)
        };
        off_the_runtime(create).await
    }

    /// A temporary file for bytes that have arrived already. Blocks.
    pub(crate) fn new_file(&self) -> io::Result<Temporary> {
        Temporary::create(&self.directory)
    }

    /// Gives a whole file its name, or another one, where the preconditions hold at this moment. Blocks.
    pub(crate) fn publish(
        &self,
        mut file: Temporary,
        name: &Name,
        preconditions: &Preconditions,
    ) -> Result<Stored, Error> {
        if self.fsync {
            file.file().sync_all().map_err(Error::Unflushed)?;
        }
        let (name, replaced) = self.give_name(&mut file, name, preconditions)?;
        if self.fsync {
            self.directory.sync().map_err(Error::Unflushed)?;
        }
        let stat = FileStat::of(file.file())?;
        Ok(Stored {
            name,
            bytes: stat.bytes,
            tag: stat.tag(),
            replaced,
        })
    }

    /// A stored file, and its status.
    pub(crate) async fn open_file(&self, name: &Name) -> io::Result<(File, FileStat)> {
        let (directory, name) = (Arc::clone(&self.directory), name.clone());
        let open = move || {
            let file = directory.open_file(name.as_str(), OFlags::RDONLY)?;
            let stat = FileStat::of(&file)?;
            Ok((file, stat))
        };
        off_the_runtime(open).await
    }

    /// Whether a file of this name is stored.
    pub(crate) async fn has_file(&self, name: &Name) -> io::Result<bool> {
        let (directory, name) = (Arc::clone(&self.directory), name.clone());
        let find = move || directory.find(name.as_str());
        let found = off_the_runtime(find).await?;
        Ok(found.is_some_and(|found| found.is_file))
    }

    /// Removes a file where the preconditions hold.
    pub(crate) async fn remove(
        &self,
        name: &Name,
        preconditions: Preconditions,
    ) -> Result<(), Error> {
        let (store, name) = (self.clone(), name.clone());
        let remove = move || {
            let _lock = store.changing.lock();
            let found = store.directory.find(name.as_str())?;
            let found = found.filter(|found| found.is_file).ok_or(Error::NotFound)?;
            preconditions.check_change(Some(&found))?;
            let removed = store.directory.remove(name.as_str());
            removed.map_err(Error::from_lookup)
        };
        off_the_runtime(remove).await
    }

    /// Which of these names stored files have.
    pub(crate) async fn names_of_files(&self, names: Vec<String>) -> io::Result<HashSet<String>> {
        let directory = Arc::clone(&self.directory);
        let find = move || {
            let is_file = |name: &String| {
                let found = directory.find(name).ok().flatten();
                found.is_some_and(|found| found.is_file)
            };
            Ok(names.into_iter().filter(is_file).collect())
        };
        off_the_runtime(find).await
    }

    /// The stored files, the newest first, behind this place. An error where too many clients ask at the same time,
    /// or this one too often.
    pub(crate) async fn list(
        &self,
        after: Option<Place>,
        client: IpAddr,
    ) -> Result<Listing, Error> {
        self.readings.list(&self.directory, after, client).await
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

    /// The same where the client also expects a state of the file.
    pub(crate) async fn check_if(
        &self,
        name: &Name,
        preconditions: &Preconditions,
    ) -> Result<(), Error> {
        if preconditions.is_empty() {
            return Ok(());
        }
        let (store, name, preconditions) = (self.clone(), name.clone(), preconditions.clone());
        off_the_runtime(move || store.check_preconditions(&name, &preconditions)).await
    }

    fn check_preconditions(&self, name: &Name, preconditions: &Preconditions) -> Result<(), Error> {
        if preconditions.is_empty() {
            return Ok(());
        }
        let found = self.directory.find(name.as_str())?;
        preconditions.check_change(found.as_ref())?;
        // The client means to replace the file that it knows. Another name is not what it asked for.
        let replaces = preconditions.expect_a_file() && found.is_some();
        if replaces && self.on_duplicate == OnDuplicate::Rename {
            return Err(Error::NotReplaced);
        }
        Ok(())
    }

    /// Returns the name that the file got, and whether it replaced another file.
    fn give_name(
        &self,
        file: &mut Temporary,
        name: &Name,
        preconditions: &Preconditions,
    ) -> Result<(Name, bool), Error> {
        let may_replace = self.on_duplicate == OnDuplicate::Overwrite;
        let _lock = (may_replace || !preconditions.is_empty()).then(|| self.changing.lock());
        self.check_preconditions(name, preconditions)?;
        if name_if_free(file, name)? {
            return Ok((name.clone(), false));
        }
        // Another upload may have got the name since.
        self.check_preconditions(name, preconditions)?;
        match self.on_duplicate {
            OnDuplicate::Error => Err(Error::Exists),
            OnDuplicate::Rename => {
                let is_taken = |other: &Name| Ok(self.directory.find(other.as_str())?.is_some());
                let give = |other: &Name| name_if_free(file, other);
                let given = give_other_name(name, is_taken, give)?;
                given.map(|other| (other, false)).ok_or(Error::Exists)
            }
            OnDuplicate::Overwrite => {
                self.check(name)?;
                file.name_anyway(name.as_str())?;
                Ok((name.clone(), true))
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
