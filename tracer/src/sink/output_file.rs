//! A file that the tracer writes. It is opened with the caller's rights, and so belongs to the caller; no
//! other user may read it, since captured payload can hold passwords. It follows log rotation: if the file
//! is moved away, a new one is created; if it is emptied (logrotate's `copytruncate`), the output starts
//! again with its header, and the bytes written since are discarded.

use std::{
    fs::{self, File, Metadata},
    io::{self, ErrorKind, Write},
    path::{Path, PathBuf},
};

use tracing::warn;

use crate::{
    caller::Caller,
    system::output::{Identity, WhenBusy, create, identity},
};

#[derive(Debug)]
pub struct OutputFile {
    path: PathBuf,
    caller: Caller,
    file: File,
    /// `None` if it is no regular file, or one that the shell opened: it is never rotated.
    identity: Option<Identity>,
    written: u64,
    warned: bool,
}

/// A destination of an output that starts with a header.
pub trait Destination: Write + Send {
    /// Follows a rotation. Returns whether the destination is empty again and needs the header.
    fn renew(&mut self) -> io::Result<bool>;
}

impl OutputFile {
    /// Creates the file, or empties it, with the caller's rights. Follows no symbolic link at the end of
    /// the path: another user may have made it.
    pub fn create(path: &Path, caller: &Caller) -> io::Result<Self> {
        let named = path.to_owned();
        let (file, identity) = caller.act(move || create(&named, WhenBusy::Wait))?;
        Ok(Self {
            path: path.to_owned(),
            caller: caller.clone(),
            file,
            identity,
            written: 0,
            warned: false,
        })
    }

    /// Whether the path now names another file, or none.
    fn was_moved(&self) -> io::Result<bool> {
        let path = self.path.clone();
        match self.caller.act(move || fs::symlink_metadata(path)) {
            Ok(found) => Ok(identity(&found) != self.identity),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(true),
            Err(error) => Err(error),
        }
    }

    fn was_emptied(&self) -> io::Result<bool> {
        Ok(self.file.metadata()?.len() < self.written)
    }

    /// Shortens the file to this length, unless somebody else emptied it.
    fn cut_back(&mut self, length: u64) {
        let is_whole = |found: Metadata| found.is_file() && found.len() == self.written;
        if self.file.metadata().is_ok_and(is_whole) && self.file.set_len(length).is_ok() {
            self.written = length;
        }
    }

    /// As [`create`](Self::create), but nothing that could take the file's place under way is waited for, such as
    /// a pipe that nobody reads.
    fn create_again(&mut self) -> io::Result<()> {
        let path = self.path.clone();
        let (file, identity) = self
            .caller
            .act(move || match create(&path, WhenBusy::Fail)? {
                (_, None) => Err(io::Error::other("what is there instead is no file")),
                created => Ok(created),
            })?;
        self.file = file;
        self.identity = identity;
        self.written = 0;
        Ok(())
    }

    fn follow(&mut self) -> io::Result<bool> {
        if self.was_moved()? {
            self.create_again()?;
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

    /// Writes all or nothing: what a full disk took of the bytes is cut off again, so that the file can
    /// be read to its end.
    fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        let before = self.written;
        while !bytes.is_empty() {
            match self.write(bytes) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(length) => bytes = &bytes[length..],
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    self.cut_back(before);
                    return Err(error);
                }
            }
        }
        Ok(())
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

#[cfg(test)]
#[cfg(unix)]
mod tests;
