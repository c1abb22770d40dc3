//! Files that are moved, emptied or made for somebody else while they are written.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::{MetadataExt as _, symlink},
};

use super::{Destination as _, OutputFile, caller_of_sudo};

fn write(file: &mut OutputFile, text: &str) {
    file.write_all(text.as_bytes()).unwrap();
}

#[test]
fn a_file_that_is_moved_away() {
    let dir = tempfile::tempdir().unwrap();
    let (path, old) = (dir.path().join("trace"), dir.path().join("trace.1"));
    let mut file = OutputFile::create(&path).unwrap();
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
    let mut file = OutputFile::create(&path).unwrap();
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
    let mut file = OutputFile::create(&path).unwrap();
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
    let mut file = OutputFile::create("/dev/null".as_ref()).unwrap();
    write(&mut file, "one");
    assert!(!file.renew().unwrap());
}

/// Where the folder is gone, too, the old file is written on.
#[test]
fn a_place_that_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let inner = dir.path().join("inner");
    fs::create_dir(&inner).unwrap();
    let mut file = OutputFile::create(&inner.join("trace")).unwrap();
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
    let (there, link) = (dir.path().join("there"), dir.path().join("link"));
    fs::write(&there, "long").unwrap();
    symlink(&there, &link).unwrap();
    let before = fs::metadata(&there).unwrap();
    let mut file = OutputFile::create(&link).unwrap();
    write(&mut file, "one");
    let after = fs::metadata(&there).unwrap();
    assert_eq!((after.uid(), after.ino()), (before.uid(), before.ino()));
    assert_eq!(fs::read_to_string(there).unwrap(), "one");
}

#[test]
fn the_caller_of_sudo() {
    let check = |uid: Option<&str>, gid: Option<&str>, expected: Option<(u32, Option<u32>)>| {
        let found = caller_of_sudo(|name| {
            let value = if name == "SUDO_UID" { uid } else { gid };
            value.map(Into::into)
        });
        let expected = expected.filter(|_| rustix::process::geteuid().is_root());
        assert_eq!(found, expected, "{uid:?} {gid:?}");
    };
    check(None, None, None);
    check(None, Some("7"), None);
    check(Some("7"), Some("8"), Some((7, Some(8))));
    check(Some("7"), None, Some((7, None)));
    check(Some("nobody"), Some("8"), None);
}
