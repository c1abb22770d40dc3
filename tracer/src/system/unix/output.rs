//! Files that the tracer writes: no other user may read them, and no symbolic link leads to them.

use std::{
    fs::{File, Metadata},
    io,
    os::{fd::AsFd as _, unix::fs::MetadataExt as _},
    path::Path,
};

use rustix::{
    fs::{Mode, OFlags, open},
    io::Errno,
};

/// Device and inode of a regular file.
pub type Identity = (u64, u64);

/// What to do where opening has to wait, such as for the reader of a pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenBusy {
    Wait,
    Fail,
}

/// Creates the file, or empties it. It has no identity if it is no regular file, or one that the shell opened.
///
/// It is opened for appending, so that emptying the file leaves no hole at its start.
pub fn create(path: &Path, when_busy: WhenBusy) -> io::Result<(File, Option<Identity>)> {
    let mut flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE;
    flags |= OFlags::NOCTTY | OFlags::CLOEXEC;
    flags.set(OFlags::NONBLOCK, when_busy == WhenBusy::Fail);
    let number = passed_descriptor(path);
    flags.set(OFlags::NOFOLLOW, number.is_none());
    let file = match number {
        // `sudo` may have made the pipe, as root: it is used as it is.
        Some(1) => io::stdout().as_fd().try_clone_to_owned()?,
        Some(2) => io::stderr().as_fd().try_clone_to_owned()?,
        _ => open(path, flags, Mode::RUSR | Mode::WUSR).map_err(|error| match error {
            Errno::LOOP => io::Error::other(
                "it is a symbolic link, which the tracer does not follow: name the file itself",
            ),
            error => error.into(),
        })?,
    };
    let file = File::from(file);
    let found = file.metadata()?;
    if found.is_file() {
        file.set_len(0)?;
    }
    Ok((file, identity(&found).filter(|_| number.is_none())))
}

/// What a path leads to as long as the file is not moved.
pub fn identity(metadata: &Metadata) -> Option<Identity> {
    metadata.is_file().then(|| (metadata.dev(), metadata.ino()))
}

/// The number of a descriptor that a shell passes, by one of the names that it has for it, as in
/// `--pcapng >(wireshark -k -i -)`. These are links that the kernel makes, and nobody can change.
fn passed_descriptor(path: &Path) -> Option<u32> {
    match path.to_str()? {
        "/dev/stdout" => Some(1),
        "/dev/stderr" => Some(2),
        path => ["/dev/fd/", "/proc/self/fd/"]
            .iter()
            .find_map(|folder| path.strip_prefix(folder)?.parse().ok()),
    }
}
