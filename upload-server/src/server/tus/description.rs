//! What is known of an upload besides its bytes. Its file has a line of JSON for each time that it was
//! saved, and the last whole line counts: where a server is killed, or the disk is full, the one before
//! does. Saving it so creates no file, which matters to small uploads.

use std::{
    fs::File,
    io::{self, Read, Write},
    time::SystemTime,
};

use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};

use super::id::Id;
use crate::{
    record::Upload,
    server::{error::Error, store::directory::Directory},
};

/// A longer file is written anew.
const MAX_FILE_BYTES: u64 = 64 * 1024;

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

impl Description {
    /// Saves it in the file of this name.
    pub(crate) fn save(&self, directory: &Directory, name: &str) -> io::Result<()> {
        // The first newline ends a line that is not whole.
        let mut line = vec![b'\n'];
        serde_json::to_writer(&mut line, self)?;
        line.push(b'\n');
        let opened = directory.open_file(name, OFlags::WRONLY | OFlags::APPEND);
        let mut file = match opened {
            Err(error) if error.kind() == io::ErrorKind::NotFound => directory.create(name)?,
            opened => opened?,
        };
        let old = file.metadata()?.len();
        if old > 0 && old + line.len() as u64 > MAX_FILE_BYTES {
            replace(directory, name, &line)
        } else {
            file.write_all(&line)
        }
    }

    /// The description, and when it was saved. `NotFound` where it was never saved whole.
    pub(crate) fn read(directory: &Directory, name: &str) -> Result<(Self, SystemTime), Error> {
        let opened = directory.open_file(name, OFlags::RDONLY);
        let mut file: File = opened.map_err(Error::from_lookup)?;
        let mut lines = Vec::new();
        file.read_to_end(&mut lines)?;
        let mut lines = lines.rsplit(|byte| *byte == b'\n');
        let whole = lines.find_map(|line| serde_json::from_slice(line).ok());
        Ok((whole.ok_or(Error::NotFound)?, file.metadata()?.modified()?))
    }
}

fn replace(directory: &Directory, name: &str, line: &[u8]) -> io::Result<()> {
    let new = format!("{name}.new");
    let mut file = match directory.create(&new) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            directory.remove(&new)?;
            directory.create(&new)?
        }
        created => created?,
    };
    file.write_all(line)?;
    directory.rename(&new, name)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::record::tests::upload;

    fn description(length: u64) -> Description {
        Description {
            length: Some(length),
            metadata: "x".repeat(1_000),
            unchecked_from: None,
            kind: Kind::Whole,
            upload: upload(1),
        }
    }

    #[test]
    fn the_last_whole_line_counts() {
        let root = tempfile::tempdir().unwrap();
        let directory = Directory::open(root.path()).unwrap();
        let path = root.path().join("file");
        let read = || Description::read(&directory, "file").map(|(found, _)| found.length);
        assert!(matches!(read(), Err(Error::NotFound)));
        fs::write(&path, "").unwrap();
        assert!(matches!(read(), Err(Error::NotFound)));
        description(1).save(&directory, "file").unwrap();
        let whole = fs::read(&path).unwrap();
        description(2).save(&directory, "file").unwrap();
        let twice = fs::read(&path).unwrap();
        for end in (whole.len()..twice.len() - 1).step_by(97) {
            fs::write(&path, &twice[..end]).unwrap();
            assert_eq!(read().unwrap(), Some(1), "{end}");
        }
        description(3).save(&directory, "file").unwrap();
        assert_eq!(read().unwrap(), Some(3));
    }

    #[test]
    fn a_file_does_not_grow_forever() {
        let root = tempfile::tempdir().unwrap();
        let directory = Directory::open(root.path()).unwrap();
        for length in 0..200 {
            description(length).save(&directory, "file").unwrap();
            let bytes = fs::metadata(root.path().join("file")).unwrap().len();
            assert!(bytes <= MAX_FILE_BYTES, "{bytes}");
            let (found, _) = Description::read(&directory, "file").unwrap();
            assert_eq!(found.length, Some(length));
        }
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
    }

    /// The only line of a server's that wrote whole files (0.1.0).
    #[test]
    fn an_older_description_is_read() {
        let root = tempfile::tempdir().unwrap();
        let directory = Directory::open(root.path()).unwrap();
        let record = serde_json::to_string(&upload(1)).unwrap();
        let json =
            format!(r#"{{"length":7,"metadata":"","unchecked_from":null,"upload":{record}}}"#);
        fs::write(root.path().join("file"), json).unwrap();
        let (found, _) = Description::read(&directory, "file").unwrap();
        assert_eq!((found.length, found.kind), (Some(7), Kind::Whole));
    }
}
