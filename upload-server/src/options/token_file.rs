//! The file that holds the token: its owner's alone, and made where it is missing.

use std::{
    fs::{self, Permissions},
    io::{self, Write as _},
    os::unix::fs::PermissionsExt,
    path::Path,
};

use anyhow::{Result, anyhow, bail};

use crate::{server::Token, stderr};

/// The token in this file. Where the file is missing, it appears with a token, and stderr has a
/// sentence about it.
pub(super) fn read_or_make(path: &Path) -> Result<Token> {
    let is_missing =
        fs::symlink_metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
    if is_missing && make(path)? {
        let name = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        stderr::message(&format!(
            "upload-server made a token, short enough to type on a phone: {} holds it",
            name.display()
        ));
    }
    read(path)
}

fn read(path: &Path) -> Result<Token> {
    let name = path.display();
    let failed = |error| anyhow!("cannot read the token from {name}: {error}");
    let mode = fs::metadata(path).map_err(failed)?.permissions().mode();
    if mode & 0o007 != 0 {
        bail!("everybody on this machine may open {name}, which holds the token: chmod 600 {name}");
    }
    let text = fs::read_to_string(path).map_err(failed)?;
    Token::new(text.trim_end_matches(['\r', '\n'])).map_err(|error| {
        anyhow!("{name} holds no token: {error}; remove it, and the server makes one")
    })
}

/// Whether the file is new. It appears with its whole content, or not at all; one that another process
/// makes at the same time stays.
fn make(path: &Path) -> Result<bool> {
    let directory = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let write = || {
        let mut file = tempfile::Builder::new()
            .permissions(Permissions::from_mode(0o600))
            .tempfile_in(directory)?;
        writeln!(file, "{}", Token::make()?)?;
        file.as_file().sync_all()?;
        match file.persist_noclobber(path) {
            Ok(_) => Ok(true),
            Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error.error),
        }
    };
    write().map_err(|error: io::Error| {
        // The path of the temporary file would only confuse.
        let (name, error) = (path.display(), error.kind());
        anyhow!("cannot make the token file {name}: choose another with --token-file ({error})")
    })
}
