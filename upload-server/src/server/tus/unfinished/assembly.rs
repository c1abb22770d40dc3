//! Putting partial uploads together. The first part's file becomes the file of the final upload, and the
//! bytes of the others are copied behind it, each of which is then removed. So the disk needs room for the
//! largest of the others alone, and none where it can share blocks (copy_file_range(2)).
//!
//! The length of the final upload's file says which parts it has. A server that is killed meanwhile leaves
//! every byte in one place or the other, and the client, which has no answer, has the work continued.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    sync::Arc,
};

use super::{
    Description, Error, Kind, OpenedUpload, Session, TusError, Unfinished, UnfinishedUploads,
    bytes_name, read, remove_if_there,
};
use crate::server::tus::{description::PartOfFile, id::Id};

impl UnfinishedUploads {
    /// The descriptions of complete partial uploads that are in no file yet. The file of their final
    /// upload, which may have begun, may be that of the first.
    fn complete_parts(&self, parts: &[Id], final_upload: &Id) -> Result<Vec<Description>, Error> {
        let begun = self.directory.find(&bytes_name(final_upload))?.is_some();
        let complete = (1..).zip(parts).map(|(number, id)| {
            let (description, _) = read(&self.directory, id).map_err(|error| match error {
                Error::NotFound => TusError::Missing(number).into(),
                error => error,
            })?;
            let bytes = self.directory.find(&bytes_name(id))?;
            let refused = match bytes {
                _ if description.kind != Kind::Partial => TusError::NotPartial(number),
                None if number == 1 && begun => return Ok(description),
                None => TusError::Used(number),
                Some(found) if self.has_expired(found.modified) => TusError::Missing(number),
                Some(found) => {
                    let has_all = description.length == Some(found.bytes);
                    if has_all && description.unchecked_from.is_none() {
                        return Ok(description);
                    }
                    TusError::Incomplete(number)
                }
            };
            Err(refused.into())
        });
        complete.collect()
    }

    /// Opens a final upload if it has begun, or else what `describe` makes of its parts.
    pub(crate) fn open_final(
        &self,
        session: Session,
        parts: &[Id],
        describe: impl FnOnce(Vec<Description>) -> Result<Description, Error>,
    ) -> Result<OpenedUpload, Error> {
        match read(&self.directory, &session.id) {
            Err(Error::NotFound) => {}
            begun => {
                begun?;
                return self.open(session);
            }
        }
        let description = describe(self.complete_parts(parts, &session.id)?)?;
        let first = parts.first().ok_or(TusError::Missing(1))?;
        let upload = self.begin_final(session, first, description)?;
        Ok(OpenedUpload::Unfinished(Box::new(upload)))
    }

    /// Begins a final upload with the bytes of its first part.
    fn begin_final(
        &self,
        session: Session,
        first: &Id,
        description: Description,
    ) -> Result<Unfinished, Error> {
        let (from, to) = (bytes_name(first), bytes_name(&session.id));
        // A server may have been killed after it gave the file its new name.
        let renamed = self.directory.find(&from)?.is_none();
        let file = self.lock_bytes(if renamed { &to } else { &from })?;
        let upload = Unfinished {
            directory: Arc::clone(&self.directory),
            places: Arc::clone(&self.places),
            file: file.ok_or(TusError::Locked)?,
            description,
            session,
        };
        if !renamed {
            self.directory.rename(&from, &to)?;
        }
        self.places.free(first);
        let record = &upload.description.upload;
        self.places.adopt(&upload.session.id, record);
        upload.save()?;
        Ok(upload)
    }

    /// Appends the parts that the file of a final upload lacks. Returns false where a part is lost.
    pub(crate) fn assemble(&self, upload: &Unfinished) -> Result<bool, Error> {
        let Kind::Final(made_of) = &upload.description.kind else {
            return Ok(true);
        };
        let mut reached = upload.offset()?;
        let mut begin = 0;
        for (number, part) in made_of.parts.iter().enumerate() {
            let end = begin + part.length;
            if reached < begin || (number == 0 && reached < end) {
                return Ok(false);
            }
            if reached < end {
                upload.file.set_len(begin)?;
                if self.append(&upload.file, begin, part)? != part.length {
                    return Ok(false);
                }
                reached = end;
            }
            // The first part has no file of its own any more.
            remove_if_there(&self.directory, &bytes_name(&part.id))?;
            self.places.free(&part.id);
            begin = end;
        }
        Ok(reached == begin)
    }

    /// Returns how many bytes the part had.
    fn append(&self, mut file: &File, begin: u64, part: &PartOfFile) -> Result<u64, Error> {
        let source = match self.lock_bytes(&bytes_name(&part.id)) {
            Err(Error::NotFound) => return Ok(0),
            locked => locked?.ok_or(TusError::Locked)?,
        };
        file.seek(SeekFrom::Start(begin))?;
        Ok(io::copy(&mut (&*source).take(part.length), &mut file)?)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs::{self, OpenOptions},
        time::Duration,
    };

    use tempfile::TempDir;

    use super::{
        super::{
            description_name,
            tests::{DAY, begin_as, uploads},
        },
        *,
    };
    use crate::{record::tests::upload, server::tus::description::FinalUpload};

    const PARTS: [&[u8]; 4] = [b"abc", b"", b"defgh", b"i"];

    struct Test {
        root: TempDir,
        uploads: UnfinishedUploads,
        parts: Vec<Id>,
        id: Id,
    }

    impl Test {
        fn new() -> Self {
            let root = tempfile::tempdir().unwrap();
            let uploads = uploads(root.path(), DAY);
            let parts = PARTS.map(|bytes| {
                let length = bytes.len() as u64;
                begin_as(Kind::Partial, &uploads, length, bytes).0
            });
            let id = Id::of_all(parts.iter());
            Self {
                root,
                uploads,
                parts: parts.to_vec(),
                id,
            }
        }

        fn open(&self) -> Result<Unfinished, Error> {
            let session = Session::alone(self.id.clone());
            let describe = |parts: Vec<Description>| {
                let lengths = parts.iter().map(|part| part.length.unwrap());
                let parts = self.parts.iter().cloned().zip(lengths.clone());
                Ok(Description {
                    length: Some(lengths.sum()),
                    metadata: String::new(),
                    unchecked_from: None,
                    kind: Kind::Final(FinalUpload {
                        concat: String::new(),
                        parts: parts
                            .map(|(id, length)| PartOfFile { id, length })
                            .collect(),
                    }),
                    upload: upload(1),
                })
            };
            match self.uploads.open_final(session, &self.parts, describe)? {
                OpenedUpload::Unfinished(upload) => Ok(*upload),
                OpenedUpload::Complete(_) => panic!("it is complete"),
            }
        }

        fn write(&self, id: &Id, bytes: &[u8]) {
            let path = self.root.path().join(bytes_name(id));
            let mut options = OpenOptions::new();
            let mut file = options.write(true).truncate(true).open(path).unwrap();
            io::Write::write_all(&mut file, bytes).unwrap();
        }

        fn remove(&self, name: &str) {
            fs::remove_file(self.root.path().join(name)).unwrap();
        }

        fn assert_assembled(&self, when: &str) {
            let upload = self.open().unwrap();
            assert!(self.uploads.assemble(&upload).unwrap(), "{when}");
            let path = self.root.path().join(bytes_name(&self.id));
            assert_eq!(fs::read(path).unwrap(), PARTS.concat(), "{when}");
            for id in &self.parts {
                let left = self.root.path().join(bytes_name(id));
                assert!(!left.exists(), "{when}: {}", left.display());
            }
        }
    }

    /// Every state in which a killed server may leave the files.
    #[test]
    fn goes_on_where_a_killed_server_left_off() {
        Test::new().assert_assembled("before it began");

        let test = Test::new();
        drop(test.open().unwrap());
        test.assert_assembled("before the first copy");

        let test = Test::new();
        drop(test.open().unwrap());
        test.remove(&description_name(&test.id));
        test.assert_assembled("between its bytes and its description");

        let test = Test::new();
        drop(test.open().unwrap());
        fs::write(test.root.path().join(description_name(&test.id)), "{").unwrap();
        test.assert_assembled("within its description");

        for (has, gone) in [
            ("abcde", 2),
            ("abcdefgh", 2),
            ("abcdefgh", 3),
            ("abcdefghi", 3),
        ] {
            let test = Test::new();
            drop(test.open().unwrap());
            test.write(&test.id, has.as_bytes());
            for id in &test.parts[1..gone] {
                test.remove(&bytes_name(id));
            }
            test.assert_assembled(&format!("at {has}, with {gone} parts gone"));
        }
    }

    #[test]
    fn a_lost_part_is_no_hole_in_the_file() {
        for (has, gone) in [("abc", 2), ("abcde", 2), ("ab", 1), ("", 1), ("abcdef", 3)] {
            let test = Test::new();
            let upload = test.open().unwrap();
            test.write(&test.id, has.as_bytes());
            test.remove(&bytes_name(&test.parts[gone]));
            assert!(!test.uploads.assemble(&upload).unwrap(), "{has}");
            upload.remove();
            let left = fs::read_dir(test.root.path()).unwrap().count();
            assert_eq!(left, 0, "{has}");
        }
    }

    #[test]
    fn takes_complete_partial_uploads_alone() {
        check("upload 2 of the list does not exist", |test| {
            test.remove(&description_name(&test.parts[1]));
        });
        check("upload 1 of the list is a part of another file", |test| {
            test.remove(&bytes_name(&test.parts[0]));
        });
        check("upload 3 of the list is not complete", |test| {
            test.write(&test.parts[2], b"def");
        });
        check("upload 3 of the list is not a partial upload", |test| {
            let (id, _) = begin_as(Kind::Whole, &test.uploads, 1, b"x");
            test.parts[2] = id;
        });
        check("upload 1 of the list does not exist", |test| {
            test.uploads.life = Duration::ZERO;
        });

        fn check(expected: &str, change: impl FnOnce(&mut Test)) {
            let mut test = Test::new();
            change(&mut test);
            let error = test.open().err().unwrap().to_string();
            assert!(error.contains(expected), "{error}");
            assert!(!test.root.path().join(bytes_name(&test.id)).exists());
        }
    }
}
