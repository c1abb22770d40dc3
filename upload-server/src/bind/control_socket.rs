//! The control socket's file: taken over from a server that died, never from one that runs; open to
//! its owner alone, and removed at the end.

use std::{
    env,
    fs::{self, DirBuilder, Permissions},
    io,
    os::unix::{
        fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt as _},
        net::UnixStream,
    },
    path::{Path, PathBuf},
};

use anyhow::{Result, anyhow, bail};
use rustix::{
    fs::{Mode, fchmod},
    net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with},
    process::geteuid,
};
use tempfile::TempDir;
use tokio::net::UnixListener;
use upload_server::{
    control_path::{control_paths, is_private},
    stderr,
};

const BACKLOG: i32 = 128;

/// The file of a bound Unix socket; removed when dropped.
pub(crate) struct ControlSocketFile {
    path: PathBuf,
    inode: u64,
    /// Made for the socket alone, and removed after it.
    directory: Option<TempDir>,
}

impl ControlSocketFile {
    /// Listens at this path or, without one, where the tracer looks by itself. Needs a runtime.
    pub(crate) fn open(named: Option<&Path>) -> Result<(UnixListener, Self)> {
        if let Some(path) = named {
            return Self::bind(path);
        }
        if let Some(path) = default_path() {
            return Self::bind(&path);
        }
        let directory = tempfile::Builder::new()
            .prefix("upload-server-")
            .permissions(Permissions::from_mode(0o700))
            .tempdir()
            .map_err(|error| {
                anyhow!("nowhere to make a control socket: name one with --control ({error})")
            })?;
        let path = directory.path().join("control.sock");
        let (listener, mut file) = Self::bind(&path)?;
        file.directory = Some(directory);
        stderr::message(&format!(
            "upload-server: no directory is the user's alone, so the control socket is {}: the \
             tracer finds it with --server",
            path.display()
        ));
        Ok((listener, file))
    }

    fn bind(path: &Path) -> Result<(UnixListener, Self)> {
        let name = path.display();
        remove_stale(path)?;
        let listener = listen_privately(path).map_err(|error| {
            anyhow!(
                "cannot make the control socket {name}: choose another path with --control \
                 ({error})"
            )
        })?;
        let inode = fs::symlink_metadata(path)?.ino();
        Ok((
            listener,
            Self {
                path: path.to_owned(),
                inode,
                directory: None,
            },
        ))
    }
}

impl Drop for ControlSocketFile {
    fn drop(&mut self) {
        let is_ours = |found: fs::Metadata| found.ino() == self.inode;
        if fs::symlink_metadata(&self.path).is_ok_and(is_ours) {
            // The next server takes over a file that cannot be removed now.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// The default path, in a directory that is this user's alone.
fn default_path() -> Option<PathBuf> {
    let user = geteuid().as_raw();
    let paths = control_paths(user, env::var_os);
    let is_usable = |path: &&PathBuf| path.parent().is_some_and(|found| is_private(found, user));
    if let Some(path) = paths.iter().find(is_usable) {
        return Some(path.clone());
    }
    let last = paths.last()?;
    let mut directory = DirBuilder::new();
    directory.recursive(true).mode(0o700);
    directory.create(last.parent()?).ok()?;
    is_usable(&last).then(|| last.clone())
}

/// Removes the socket of a dead server.
fn remove_stale(path: &Path) -> Result<()> {
    let name = path.display();
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => bail!("cannot read {name}: choose another path with --control ({error})"),
    };
    if !found.file_type().is_socket() {
        bail!("{name} exists and is not a socket: choose another path with --control");
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path)
            .map_err(|error| anyhow!("cannot remove the old socket {name}: remove it ({error})")),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => bail!(
            "the control socket {name} belongs to somebody else: choose another with --control"
        ),
        _ => bail!(
            "another server answers at {name}: stop it, or choose another socket with --control"
        ),
    }
}

/// Sets the mode before the file exists, so that others can never connect: Linux gives the file the
/// socket's own mode (`unix_bind_bsd` in net/unix/af_unix.c).
fn listen_privately(path: &Path) -> io::Result<UnixListener> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
    bind(&socket, &SocketAddrUnix::new(path)?)?;
    listen(&socket, BACKLOG)?;
    UnixListener::from_std(socket.into())
}
