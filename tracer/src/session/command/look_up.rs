//! Finds the file that a shell would execute for a name.

use std::{
    env,
    ffi::OsStr,
    fs, io,
    path::{Path, PathBuf},
};

use rustix::fs::{Access, access};

/// Where `execvp(3)` looks when there is no `PATH`.
const WITHOUT_PATH: &str = "/bin:/usr/bin";

/// The program of this name that the calling thread's user may execute.
pub(super) fn look_up(name: &OsStr, path: Option<&OsStr>) -> io::Result<PathBuf> {
    if name.as_encoded_bytes().contains(&b'/') {
        return executable(PathBuf::from(name));
    }
    let mut refused = io::Error::from(io::ErrorKind::NotFound);
    if name.is_empty() {
        return Err(refused);
    }
    for directory in env::split_paths(path.unwrap_or(OsStr::new(WITHOUT_PATH))) {
        let directory = match directory.as_os_str().is_empty() {
            true => Path::new("."),
            false => &directory,
        };
        let candidate = directory.join(name);
        // Skip a directory that this user may not search, as a shell does.
        if !candidate.is_file() {
            continue;
        }
        match executable(candidate) {
            Ok(found) => return Ok(found),
            Err(error) => refused = error,
        }
    }
    Err(refused)
}

fn executable(program: PathBuf) -> io::Result<PathBuf> {
    match fs::metadata(&program) {
        Ok(metadata) if metadata.is_dir() => return Err(io::ErrorKind::IsADirectory.into()),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            return Err(io::ErrorKind::NotFound.into());
        }
        Err(error) => return Err(error),
    }
    access(&program, Access::EXEC_OK)?;
    Ok(program)
}
