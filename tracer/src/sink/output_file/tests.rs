//! Files that are moved, emptied or made for somebody else while they are written.

use std::{
    fs::{self, Permissions},
    io::{self, Read as _, Write as _},
    os::{
        fd::AsRawFd as _,
        unix::fs::{MetadataExt as _, PermissionsExt as _, symlink},
    },
    path::Path,
};

use super::{Destination as _, OutputFile};
use crate::caller::Caller;

fn create(path: impl AsRef<Path>) -> OutputFile {
    OutputFile::create(path.as_ref(), &Caller::default()).unwrap()
}

fn write(file: &mut OutputFile, text: &str) {
    file.write_all(text.as_bytes()).unwrap();
}

#[test]
fn a_file_that_is_moved_away() {
    let dir = tempfile::tempdir().unwrap();
    let (path, old) = (dir.path().join("trace"), dir.path().join("trace.1"));
    let mut file = create(&path);
    write(&mut file, "one");
    assert!(!file.renew().unwrap());
    fs::rename(&path, &old).unwrap();
    write(&mut file, " more");
    assert!(file.renew().unwrap());
    assert!(!file.renew().unwrap());
    write(&mut file, "two");
    assert_eq!(fs::read_to_string(old).unwrap(), "one more");
    assert_eq!(fs::read_to_string(path).unwrap(), "two");
}

/// What logrotate calls `create`: an empty file stands there already.
#[test]
fn a_file_that_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("trace");
    let mut file = create(&path);
    write(&mut file, "one");
    fs::rename(&path, dir.path().join("trace.1")).unwrap();
    fs::write(&path, "").unwrap();
    assert!(file.renew().unwrap());
    write(&mut file, "two");
    assert_eq!(fs::read_to_string(path).unwrap(), "two");
}

/// What logrotate calls `copytruncate`.
#[test]
fn a_file_that_is_emptied() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("trace");
    let mut file = create(&path);
    write(&mut file, "one");
    fs::File::options()
        .write(true)
        .truncate(true)
        .open(&path)
        .unwrap();
    write(&mut file, "?");
    assert!(file.renew().unwrap());
    write(&mut file, "2");
    assert!(!file.renew().unwrap());
    assert_eq!(fs::read_to_string(path).unwrap(), "2");
}

#[test]
fn what_is_no_file_is_never_renewed() {
    let mut file = create("/dev/null");
    write(&mut file, "one");
    assert!(!file.renew().unwrap());
}

/// Where the folder is gone, too, the old file is written on.
#[test]
fn a_place_that_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let inner = dir.path().join("inner");
    fs::create_dir(&inner).unwrap();
    let mut file = create(inner.join("trace"));
    let kept = dir.path().join("kept");
    fs::rename(inner.join("trace"), &kept).unwrap();
    fs::remove_dir(&inner).unwrap();
    assert!(!file.renew().unwrap());
    write(&mut file, "one");
    assert_eq!(fs::read_to_string(kept).unwrap(), "one");
}

#[test]
fn what_was_there_keeps_its_owner() {
    let dir = tempfile::tempdir().unwrap();
    let there = dir.path().join("there");
    fs::write(&there, "long").unwrap();
    fs::set_permissions(&there, Permissions::from_mode(0o640)).unwrap();
    let before = fs::metadata(&there).unwrap();
    let mut file = create(&there);
    write(&mut file, "one");
    let after = fs::metadata(&there).unwrap();
    assert_eq!((after.uid(), after.ino()), (before.uid(), before.ino()));
    assert_eq!(after.mode() & 0o777, 0o640);
    assert_eq!(fs::read_to_string(there).unwrap(), "one");
}

#[test]
fn a_new_file_is_its_owners_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("trace");
    let mut file = create(&path);
    write(&mut file, "one");
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    fs::remove_file(&path).unwrap();
    assert!(file.renew().unwrap());
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
}

#[test]
fn a_symbolic_link_is_not_followed() {
    let dir = tempfile::tempdir().unwrap();
    let (there, link) = (dir.path().join("there"), dir.path().join("link"));
    fs::write(&there, "kept").unwrap();
    symlink(&there, &link).unwrap();
    let error = OutputFile::create(&link, &Caller::default()).unwrap_err();
    assert!(error.to_string().contains("symbolic link"), "{error}");
    assert_eq!(fs::read_to_string(&there).unwrap(), "kept");
    // Nor is one that takes the file's place under way.
    let path = dir.path().join("trace");
    let mut file = create(&path);
    fs::remove_file(&path).unwrap();
    symlink(&there, &path).unwrap();
    assert!(!file.renew().unwrap());
    assert_eq!(fs::read_to_string(&there).unwrap(), "kept");
}

/// As a shell names a pipe: `--pcapng >(wireshark -k -i -)`.
#[test]
fn a_descriptor_that_was_passed() {
    let (mut reader, writer) = io::pipe().unwrap();
    for folder in ["/dev/fd", "/proc/self/fd"] {
        let mut file = create(format!("{folder}/{}", writer.as_raw_fd()));
        write(&mut file, "one");
        assert!(!file.renew().unwrap());
        let mut read = [0; 3];
        reader.read_exact(&mut read).unwrap();
        assert_eq!(&read, b"one");
    }
}
