//! A file that is whole, or not there: its pieces wait in a file without a name, since what comes before them is known
//! last. At the end all of it goes to a file with a temporary name, which then takes the name's place.

use std::{
    fs::{self, File},
    io::{self, ErrorKind, Seek as _, Write as _},
    path::{Path, PathBuf},
};

use tempfile::{NamedTempFile, tempfile_in};

use crate::caller::Caller;

/// All files are the caller's, and no other user may read them.
pub(super) struct Replacement {
    path: PathBuf,
    caller: Caller,
    pieces: File,
    length: u64,
}

impl Replacement {
    /// Begins beside the file that will be replaced.
    pub(super) fn begin(path: &Path, caller: &Caller) -> io::Result<Self> {
        let named = path.to_owned();
        let pieces = caller.act(move || {
            check(&named)?;
            tempfile_in(folder(&named))
        })?;
        Ok(Self {
            path: path.to_owned(),
            caller: caller.clone(),
            pieces,
            length: 0,
        })
    }

    /// Bytes of the pieces so far.
    pub(super) const fn length(&self) -> u64 {
        self.length
    }

    pub(super) fn add(&mut self, piece: &[u8]) -> io::Result<()> {
        self.pieces.write_all(piece)?;
        self.length += piece.len() as u64;
        Ok(())
    }

    /// Puts head, pieces and tail in the place of the file.
    pub(super) fn finish(self, head: Vec<u8>, tail: Vec<u8>) -> io::Result<()> {
        let Self {
            path,
            caller,
            mut pieces,
            ..
        } = self;
        caller.act(move || {
            let mut whole = NamedTempFile::new_in(folder(&path))?;
            pieces.rewind()?;
            whole.write_all(&head)?;
            io::copy(&mut pieces, whole.as_file_mut())?;
            whole.write_all(&tail)?;
            check(&path)?;
            whole.persist(&path)?;
            Ok(())
        })
    }
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Whether a file may take this place: a device, for one, is not replaced.
fn check(path: &Path) -> io::Result<()> {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let reason = if found.is_symlink() {
        "it is a symbolic link, which the tracer does not follow: name the file itself"
    } else if found.is_dir() {
        "it is a folder"
    } else if !found.is_file() {
        "it is no regular file, and is not replaced by one"
    } else {
        return Ok(());
    };
    Err(io::Error::other(reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }

    #[test]
    fn is_there_whole_at_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("page");
        fs::write(&path, "an older page").unwrap();
        let caller = Caller::default();
        let mut file = Replacement::begin(&path, &caller).unwrap();
        file.add(b"one ").unwrap();
        file.add(b"two").unwrap();
        assert_eq!(file.length(), 7);
        assert_eq!(fs::read_to_string(&path).unwrap(), "an older page");
        file.finish(b"<".to_vec(), b">".to_vec()).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "<one two>");
        assert_eq!(names(folder.path()), ["page"]);
    }

    #[test]
    fn leaves_nothing_where_it_is_not_finished() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("page");
        let mut file = Replacement::begin(&path, &Caller::default()).unwrap();
        file.add(b"one").unwrap();
        drop(file);
        assert_eq!(names(folder.path()), [""; 0]);
    }

    #[test]
    fn refuses_what_it_would_not_replace() {
        let folder = tempfile::tempdir().unwrap();
        let refused = |path: &Path, reason: &str| {
            let error = Replacement::begin(path, &Caller::default()).err().unwrap();
            assert!(error.to_string().contains(reason), "{path:?}: {error}");
        };
        refused(folder.path(), "it is a folder");
        let missing = folder.path().join("missing/page");
        let error = Replacement::begin(&missing, &Caller::default()).err();
        assert_eq!(error.unwrap().kind(), ErrorKind::NotFound);
        #[cfg(unix)]
        {
            let link = folder.path().join("link");
            std::os::unix::fs::symlink("page", &link).unwrap();
            refused(&link, "symbolic link");
            refused(Path::new("/dev/null"), "no regular file");
        }
    }
}
