//! The control socket's file: taken over from a server that died, never from one that runs; open to
//! its owner alone, and removed at the end.

use std::{
    fs, io,
    os::unix::{
        fs::{FileTypeExt, MetadataExt},
        net::UnixStream,
    },
    path::{Path, PathBuf},
};

use anyhow::{Result, anyhow, bail};
use rustix::{
    fs::{Mode, fchmod},
    net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with},
};
use tokio::net::UnixListener;

const BACKLOG: i32 = 128;

/// The file of a bound Unix socket; removed when dropped.
pub(crate) struct ControlSocketFile {
    path: PathBuf,
    inode: u64,
}

impl ControlSocketFile {
    /// Listens at this path. Needs a runtime.
    pub(crate) fn bind(path: &Path) -> Result<(UnixListener, Self)> {
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
