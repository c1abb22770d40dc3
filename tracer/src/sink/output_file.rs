//! A file that the tracer writes. It belongs to whoever called `sudo`, and follows log rotation:
//! where the file is moved away, a new one takes its place; where it is emptied (logrotate's
//! `copytruncate`), it begins anew, without what was written since.

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
    /// Device and inode; `None` for what is no regular file and is never renewed.
    identity: Option<(u64, u64)>,
    written: u64,
    warned: bool,
}

/// Where outputs go that have a header.
pub trait Destination: Write + Send {
    /// Whether what was written is gone from here since, so that the header is due again.
    fn renew(&mut self) -> io::Result<bool>;
}

impl OutputFile {
    /// Creates the file, or empties it. One that was not there belongs to the user who called `sudo`.
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

    /// Whether the file at the path is another one, or none.
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
    /// What may not be followed is said once, and the old file is written on.
    fn renew(&mut self) -> io::Result<bool> {
        if self.identity.is_none() {
            return Ok(false);
        }
        match self.follow() {
            Ok(renewed) => Ok(renewed),
            Err(error) => {
                if !std::mem::replace(&mut self.warned, true) {
                    warn!(
                        "{} was moved away and cannot be created anew, so that the old file is written on: {error}",
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

/// Only a file that this made is given away: what was there keeps its owner. Appending, so that
/// whoever empties the file leaves no hole at its begin.
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

/// The ids in `SUDO_UID` and `SUDO_GID`, where we are root and may give files away.
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
