//! The upload server's control socket: where it is, with whose rights it is opened, and who is believed
//! there. A socket that the user named (`--server`) is believed. One that is found by convention is
//! believed only if root, the tracer's own user or the caller listens there: whoever does gets timelines,
//! and the secrets in their requests.

use std::{
    collections::BTreeSet,
    env, fs,
    io::{self, ErrorKind},
    os::unix::{
        fs::{FileTypeExt as _, MetadataExt as _},
        net::UnixStream as StdUnixStream,
    },
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Result;
use rustix::{
    net::{
        AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with,
        sockopt::socket_peercred,
    },
    process::{geteuid, getuid},
};
use tokio::time::timeout;
use tracing::debug;
use upload_protocol::{
    client::{ClientError, ControlClient, UploadFeed},
    control_path::{OF_SERVICE, control_paths, is_private},
};

use crate::{
    caller::{Caller, User, name_of},
    message,
};

/// How long the first line of a feed may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// Why a control socket is of no use.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    #[error("nobody answers at the control socket {}", path.display())]
    Unreachable { path: PathBuf, source: io::Error },
    #[error(
        "the control socket {} is not used, because {who}: only root and the user who runs the \
         tracer are believed there (if you trust it, name it with --server)", path.display()
    )]
    Stranger { path: PathBuf, who: String },
    #[error(
        "the server at {} names no address where it takes uploads, so there is nothing to trace",
        .0.display()
    )]
    ListensNowhere(PathBuf),
    #[error("the program at the control socket {} does not answer", .0.display())]
    Silent(PathBuf),
    #[error("the control socket {}", path.display())]
    Client { path: PathBuf, source: ClientError },
}

/// A control socket, to be connected to again and again.
#[derive(Clone, Debug)]
pub struct ControlSocket {
    path: PathBuf,
    /// Whoever connects.
    rights: Caller,
    /// Who is believed there; `None` is everybody.
    believed: Option<BTreeSet<u32>>,
}

/// The server that was found, and its feed.
pub struct FoundServer {
    pub socket: ControlSocket,
    pub feed: UploadFeed,
}

/// The server at the control socket that the user named, or else the first one that is believed at a
/// default path.
pub async fn find(
    named: Option<&Path>,
    caller: &Caller,
) -> Result<Option<FoundServer>, ControlError> {
    if let Some(path) = named {
        return ControlSocket::named(path, caller).answer().await.map(Some);
    }
    for socket in ControlSocket::by_convention(caller) {
        match socket.answer().await {
            Ok(mut found) => {
                // Root connects again, too.
                if found.socket.rights.user().is_none() {
                    found.socket.rights = caller.root();
                }
                return Ok(Some(found));
            }
            Err(
                error @ (ControlError::Stranger { .. }
                | ControlError::ListensNowhere(_)
                | ControlError::Silent(_)),
            ) => message(&error.to_string()),
            Err(error) => debug!(%error, "no upload server"),
        }
    }
    Ok(None)
}

impl ControlSocket {
    /// The socket at this path. It is opened with the caller's rights; where they do not suffice, and the
    /// tracer is root, with those of the user to whom the socket belongs.
    pub fn named(path: &Path, caller: &Caller) -> Self {
        let socket = |rights| Self {
            path: path.to_owned(),
            rights,
            believed: None,
        };
        if !geteuid().is_root() {
            return socket(caller.clone());
        }
        let named = path.to_owned();
        let found = caller.act(move || {
            let is_open_to_caller = connect_to(&named).map_or_else(
                |error| error.kind() != ErrorKind::PermissionDenied,
                |_| true,
            );
            let owner = fs::metadata(&named)?;
            Ok((is_open_to_caller, owner.uid(), owner.gid()))
        });
        match found {
            // Root itself passes every mode, but only until it drops its capabilities.
            Ok((true, owner, _)) if caller.user().is_some() || owner == 0 => socket(caller.clone()),
            Ok((_, 0, _)) => socket(caller.root()),
            Ok((_, uid, gid)) => {
                let owner = User::from_ids(uid, None).unwrap_or_else(|_| User::stranger(uid, gid));
                socket(Caller::other(owner).unwrap_or_else(|error| {
                    debug!(%error, uid, "cannot act as the owner of the control socket");
                    caller.clone()
                }))
            }
            Err(_) => socket(caller.clone()),
        }
    }

    /// The sockets where a server of root, of the tracer's own user or of the caller is by default.
    fn by_convention(caller: &Caller) -> Vec<Self> {
        let (own, real) = (geteuid().as_raw(), getuid().as_raw());
        let believed = BTreeSet::from([0, own, real, caller.uid()]);
        let of_others = caller.user().filter(|user| user.uid() != own);
        let mut sockets = Vec::new();
        let mut add = |path: PathBuf, rights: &Caller| {
            let socket = Self {
                path,
                rights: rights.clone(),
                believed: Some(believed.clone()),
            };
            sockets.push(socket);
        };
        if let Some(user) = of_others {
            let home = user.home();
            let variable = |name| match name {
                "HOME" => home.map(|home| home.as_os_str().to_owned()),
                "XDG_RUNTIME_DIR" => env::var_os(name),
                _ => None,
            };
            for path in private_paths(user.uid(), variable, caller) {
                add(path, caller);
            }
        }
        let rights = if of_others.is_some() {
            Caller::default()
        } else {
            caller.clone()
        };
        for path in private_paths(own, env::var_os, &rights) {
            add(path, &rights);
        }
        add(OF_SERVICE.into(), &rights);
        sockets
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the feed.
    pub async fn feed(&self) -> Result<UploadFeed, ControlError> {
        let feed = timeout(PATIENCE, UploadFeed::over(self.connect()?))
            .await
            .map_err(|_| ControlError::Silent(self.path.clone()))?
            .map_err(|error| self.failed(error))?;
        // Without a port, the filter would choose every connection.
        if feed.server.listen.iter().all(|listen| listen.port() == 0) {
            return Err(ControlError::ListensNowhere(self.path.clone()));
        }
        Ok(feed)
    }

    /// Connects to send requests.
    pub async fn client(&self) -> Result<ControlClient, ControlError> {
        ControlClient::over(self.connect()?)
            .await
            .map_err(|error| self.failed(error))
    }

    /// The error of a request, with the socket's path.
    pub fn failed(&self, source: ClientError) -> ControlError {
        ControlError::Client {
            path: self.path.clone(),
            source,
        }
    }

    async fn answer(self) -> Result<FoundServer, ControlError> {
        let feed = self.feed().await?;
        Ok(FoundServer { socket: self, feed })
    }

    /// Connects, and checks who listens there before a byte is sent.
    fn connect(&self) -> Result<tokio::net::UnixStream, ControlError> {
        let unreachable = |source| ControlError::Unreachable {
            path: self.path.clone(),
            source,
        };
        let path = self.path.clone();
        let is_checked = self.believed.is_some();
        let (found, stream) = self
            .rights
            .act(move || {
                let found = is_checked
                    .then(|| fs::symlink_metadata(&path))
                    .transpose()?;
                Ok((found, connect_to(&path)?))
            })
            .map_err(unreachable)?;
        if let (Some(believed), Some(found)) = (&self.believed, found) {
            let stranger = |who| ControlError::Stranger {
                path: self.path.clone(),
                who,
            };
            let listener = socket_peercred(&stream)
                .map_err(|error| unreachable(error.into()))?
                .uid
                .as_raw();
            if !found.file_type().is_socket() {
                return Err(stranger("it is a link and no socket".to_owned()));
            }
            if !believed.contains(&listener) {
                return Err(stranger(format!("{} listens there", name_of(listener))));
            }
            if !believed.contains(&found.uid()) {
                return Err(stranger(format!("it belongs to {}", name_of(found.uid()))));
            }
        }
        tokio::net::UnixStream::from_std(stream).map_err(unreachable)
    }
}

/// The default paths of this user's server whose directory is that user's alone.
fn private_paths(
    user: u32,
    variable: impl Fn(&'static str) -> Option<std::ffi::OsString>,
    rights: &Caller,
) -> Vec<PathBuf> {
    let mut paths = control_paths(user, variable);
    let is_private =
        move |path: &PathBuf| path.parent().is_some_and(|found| is_private(found, user));
    let checked = rights.act(move || {
        paths.retain(is_private);
        Ok(paths)
    });
    checked.unwrap_or_default()
}

/// Without waiting: a listener whose queue is full answers nobody.
fn connect_to(path: &Path) -> io::Result<StdUnixStream> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(socket.into())
}
