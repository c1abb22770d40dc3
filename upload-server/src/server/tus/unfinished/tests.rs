use std::{fs, io::Write, path::Path};

use axum::{http::StatusCode, response::IntoResponse};

use super::*;
use crate::record::tests::upload;

pub(super) const DAY: Duration = Duration::from_secs(24 * 3_600);

pub(super) fn uploads(root: &Path, life: Duration) -> UnfinishedUploads {
    let directory = Arc::new(Directory::open(root).unwrap());
    UnfinishedUploads::new(directory, life, &Limits::default())
}

fn begin(uploads: &UnfinishedUploads, bytes: &[u8]) -> (Id, Unfinished) {
    begin_as(Kind::Whole, uploads, 10, bytes)
}

pub(super) fn begin_as(
    kind: Kind,
    uploads: &UnfinishedUploads,
    length: u64,
    bytes: &[u8],
) -> (Id, Unfinished) {
    let id = Id::new().unwrap();
    let session = Session::alone(id.clone());
    let description = Description {
        length: Some(length),
        metadata: String::new(),
        unchecked_from: None,
        kind,
        upload: upload(1),
    };
    let unfinished = uploads.create(session, description).unwrap();
    unfinished.file().unwrap().file().write_all(bytes).unwrap();
    (id, unfinished)
}

fn status(opened: Result<OpenedUpload, Error>) -> StatusCode {
    opened.err().unwrap().into_response().status()
}

#[test]
fn belongs_to_one_request_at_a_time() {
    let root = tempfile::tempdir().unwrap();
    let uploads = uploads(root.path(), DAY);
    let (id, upload) = begin(&uploads, b"abc");
    let locked = uploads.open(Session::alone(id.clone()));
    assert_eq!(status(locked), StatusCode::LOCKED);
    drop(upload);
    let Ok(OpenedUpload::Unfinished(upload)) = uploads.open(Session::alone(id.clone())) else {
        panic!("it cannot be continued");
    };
    assert_eq!(upload.offset().unwrap(), 3);
    upload.remove();
    assert!(matches!(
        uploads.open(Session::alone(id.clone())),
        Err(Error::NotFound)
    ));
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
}

#[test]
fn unchecked_bytes_are_discarded() {
    let root = tempfile::tempdir().unwrap();
    let uploads = uploads(root.path(), DAY);
    let (id, mut upload) = begin(&uploads, b"abcdef");
    upload.description.unchecked_from = Some(4);
    upload.save().unwrap();
    drop(upload);
    let Ok(OpenedUpload::Unfinished(upload)) = uploads.open(Session::alone(id.clone())) else {
        panic!("it cannot be continued");
    };
    assert_eq!(upload.offset().unwrap(), 4);
    upload.file().unwrap().file().write_all(b"E").unwrap();
    assert_eq!(upload.offset().unwrap(), 5);
}

#[test]
fn a_complete_one_is_known() {
    let root = tempfile::tempdir().unwrap();
    let uploads = uploads(root.path(), DAY);
    let (id, upload) = begin(&uploads, b"abcdef");
    upload.file().unwrap().name_if_free("file").unwrap();
    assert!(matches!(
        uploads.open(Session::alone(id.clone())),
        Ok(OpenedUpload::Complete(_))
    ));
}

#[test]
fn an_interrupted_upload_expires() {
    let root = tempfile::tempdir().unwrap();
    let young = uploads(root.path(), DAY);
    let old = uploads(root.path(), Duration::ZERO);
    let (held_id, held) = begin(&young, b"held");
    let (id, left) = begin(&young, b"left");
    drop(left);
    let (_, complete) = begin(&young, b"complete");
    complete.file().unwrap().name_if_free("file").unwrap();
    drop(complete);
    fs::write(root.path().join(".tus-x.new"), "x").unwrap();
    fs::write(root.path().join(bytes_name(&Id::new().unwrap())), "x").unwrap();

    assert!(young.sweep().unwrap().is_empty());
    assert_eq!(status(old.open(Session::alone(id))), StatusCode::GONE);
    let expired = old.sweep().unwrap().into_iter();
    assert!(expired.map(|expired| expired.upload).eq([upload(1)]));
    let mut names = old.directory.names().unwrap();
    names.retain(|name| !matches!(name.as_str(), "." | ".."));
    names.sort();
    let mut expected = [
        bytes_name(&held_id),
        description_name(&held_id),
        age::FILE.into(),
        "file".into(),
    ];
    expected.sort();
    assert_eq!(names, expected);
    drop(held);
}
