//! A file that the tracer writes. It belongs to the user who called `sudo`, and follows log rotation:
//! if the file is moved away, a new one is created; if it is emptied (logrotate's `copytruncate`), the
//! output starts again with its header, and the bytes written since are discarded.

use std::{
    env,
    ffi::OsString,
    fs::{File, Metadata, OpenOptions},
    io::{self, ErrorKind, Write},
    os::unix::fs::{MetadataExt as _, fchown},
    path::{Path, PathBuf},
};

use rustix::process::geteuid;
use tracing::warn;

#[derive(Debug)]
pub struct OutputFile {
    path: PathBuf,
    file: File,
    /// Device and inode; `None` if it is not a regular file, which is never rotated.
    identity: Option<(u64, u64)>,
    written: u64,
    warned: bool,
}

/// A destination of an output that starts with a header.
pub trait Destination: Write + Send {
    /// Follows a rotation. Returns whether the destination is empty again and needs the header.
    fn renew(&mut self) -> io::Result<bool>;
}

impl OutputFile {
    /// Creates the file, or empties it. A new file belongs to the user who called `sudo`.
    pub fn create(path: &Path) -> io::Result<Self> {
        let file = create(path)?;
        let identity = identity(&file.metadata()?);
        Ok(Self {
            path: path.to_owned(),
            file,
            identity,
            written: 0,
            warned: false,
        })
    }

    /// Whether the path now names another file, or none.
    fn was_moved(&self) -> io::Result<bool> {
        match std::fs::metadata(&self.path) {
            Ok(found) => Ok(identity(&found) != self.identity),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(true),
            Err(error) => Err(error),
        }
    }

    fn was_emptied(&self) -> io::Result<bool> {
        Ok(self.file.metadata()?.len() < self.written)
    }

    fn follow(&mut self) -> io::Result<bool> {
        if self.was_moved()? {
            *self = Self::create(&self.path)?;
            return Ok(true);
        }
        if self.was_emptied()? {
            self.file.set_len(0)?;
            self.written = 0;
            return Ok(true);
        }
        Ok(false)
    }
}

impl Write for OutputFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = self.file.write(bytes)?;
        self.written = self.written.saturating_add(length as u64);
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Destination for OutputFile {
    /// If the rotation cannot be followed, warns once and keeps writing to the old file.
    fn renew(&mut self) -> io::Result<bool> {
        if self.identity.is_none() {
            return Ok(false);
        }
        match self.follow() {
            Ok(renewed) => Ok(renewed),
            Err(error) => {
                if !std::mem::replace(&mut self.warned, true) {
                    warn!(
                        "{} was moved away and cannot be created again, so the old file is still written: {error}",
                        self.path.display()
                    );
                }
                Ok(false)
            }
        }
    }
}

impl Destination for io::Sink {
    fn renew(&mut self) -> io::Result<bool> {
        Ok(false)
    }
}

fn identity(metadata: &Metadata) -> Option<(u64, u64)> {
    metadata.is_file().then(|| (metadata.dev(), metadata.ino()))
}

/// Changes the owner of a new file only. Opens it for appending, so that emptying it leaves no hole at
/// its start.
fn create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true);
    match options.clone().create_new(true).open(path) {
        Ok(file) => {
            if let Some((uid, gid)) = caller_of_sudo(env::var_os) {
                fchown(&file, Some(uid), gid)?;
            }
            Ok(file)
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let file = options.create(true).open(path)?;
            if file.metadata()?.is_file() {
                file.set_len(0)?;
            }
            Ok(file)
        }
        Err(error) => Err(error),
    }
}

/// The ids in `SUDO_UID` and `SUDO_GID`; `None` if the tracer is not root and cannot chown.
fn caller_of_sudo(
    variable: impl Fn(&'static str) -> Option<OsString>,
) -> Option<(u32, Option<u32>)> {
    let id = |name| variable(name)?.to_str()?.parse::<u32>().ok();
    geteuid()
        .is_root()
        .then(|| Some((id("SUDO_UID")?, id("SUDO_GID"))))
        .flatten()
}

#[cfg(test)]
mod tests;
