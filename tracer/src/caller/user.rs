//! A user, and acting with exactly the rights of that user.

use std::{
    ffi::{CString, OsString},
    io,
    path::{Path, PathBuf},
    thread,
};

use nix::unistd::{self, getgrouplist};
use rustix::{
    process::{getgid, getgroups, getuid},
    thread::{
        CapabilitySet, CapabilitySets, Gid, Uid, clear_ambient_capability_set, set_capabilities,
        set_thread_groups, set_thread_res_gid, set_thread_res_uid,
    },
};

/// Why the user who called `sudo` is unknown.
#[derive(Debug, thiserror::Error)]
pub enum NoUser {
    #[error("{name}={value} is not a valid id; unset SUDO_UID to act as root")]
    NotAnId { name: &'static str, value: String },
    #[error("there is no user {uid} (SUDO_UID); unset SUDO_UID to act as root")]
    Unknown { uid: u32 },
    #[error("cannot look up user {uid} and their groups: {reason}")]
    Database { uid: u32, reason: io::Error },
}

/// A user's ids and groups, from the user database (passwd and group, or any other NSS source) or from
/// this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    uid: Uid,
    gid: Gid,
    groups: Vec<Gid>,
    /// What the database has beside; `None` if the ids are all that is known.
    login: Option<Login>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Login {
    name: String,
    home: PathBuf,
    shell: PathBuf,
}

impl User {
    /// The user who called `sudo`, from `SUDO_UID` and `SUDO_GID`. `None` if that user is root, or if
    /// the tracer was started by another user than root, who may set these variables at will.
    pub fn behind_sudo(
        variable: impl Fn(&'static str) -> Option<OsString>,
    ) -> Result<Option<Self>, NoUser> {
        let id = |name| {
            variable(name)
                .map(|value| parse_id(name, &value))
                .transpose()
        };
        match id("SUDO_UID")? {
            None | Some(0) => Ok(None),
            Some(_) if !getuid().is_root() => Ok(None),
            Some(uid) => {
                let gid = id("SUDO_GID")?;
                match (Self::from_ids(uid, gid), gid) {
                    (Err(NoUser::Unknown { .. }), Some(gid)) => Ok(Some(Self::stranger(uid, gid))),
                    (found, _) => found.map(Some),
                }
            }
        }
    }

    /// The user who started this process: its real ids, whatever rights the program's file adds
    /// (setuid, setgid, file capabilities).
    pub fn real() -> Result<Self, NoUser> {
        let uid = getuid();
        let groups = getgroups().map_err(|error| NoUser::Database {
            uid: uid.as_raw(),
            reason: error.into(),
        })?;
        Ok(Self {
            uid,
            gid: getgid(),
            groups,
            login: None,
        })
    }

    /// The user with this id, in this primary group or, without one, in that of the database.
    pub fn from_ids(uid: u32, gid: Option<u32>) -> Result<Self, NoUser> {
        let database = |error: nix::errno::Errno| NoUser::Database {
            uid,
            reason: error.into(),
        };
        let user = unistd::User::from_uid(uid.into())
            .map_err(database)?
            .ok_or(NoUser::Unknown { uid })?;
        let name = CString::new(user.name.as_str()).map_err(|error| NoUser::Database {
            uid,
            reason: error.into(),
        })?;
        let gid = gid.map_or(user.gid, unistd::Gid::from_raw);
        let groups = getgrouplist(&name, gid).map_err(database)?;
        Ok(Self {
            uid: Uid::from_raw(uid),
            gid: Gid::from_raw(gid.as_raw()),
            groups: groups
                .into_iter()
                .map(|group| Gid::from_raw(group.as_raw()))
                .collect(),
            login: Some(Login {
                name: user.name,
                home: user.dir,
                shell: user.shell,
            }),
        })
    }

    /// A user that the database does not know.
    pub(crate) fn stranger(uid: u32, gid: u32) -> Self {
        let gid = Gid::from_raw(gid);
        Self {
            uid: Uid::from_raw(uid),
            gid,
            groups: vec![gid],
            login: None,
        }
    }

    /// The user's id.
    #[must_use]
    pub const fn uid(&self) -> u32 {
        self.uid.as_raw()
    }

    /// Whether the database knows the user.
    #[must_use]
    pub const fn has_login(&self) -> bool {
        self.login.is_some()
    }

    /// The home directory, if the database has one.
    #[must_use]
    pub fn home(&self) -> Option<&Path> {
        Some(&self.login.as_ref()?.home)
    }

    /// The variables that `login` sets for this user, except `PATH` and `MAIL`; `None` if the database
    /// does not know the user.
    pub(crate) fn environment(&self) -> Option<[(&'static str, OsString); 4]> {
        let Login { name, home, shell } = self.login.clone()?;
        Some([
            ("HOME", home.into()),
            ("USER", name.clone().into()),
            ("LOGNAME", name.into()),
            ("SHELL", shell.into()),
        ])
    }

    /// Runs `act` on a thread that becomes this user for good. A process that it starts runs as this
    /// user.
    ///
    /// `Command::uid` and a closure before the exec would do without the thread, but the first
    /// cannot set the groups, and the second is `unsafe`. On Linux a user belongs to a thread
    /// (credentials(7), setuid(2) "C library/kernel differences").
    pub fn act<T: Send>(&self, act: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        thread::scope(|scope| {
            scope
                .spawn(|| {
                    self.become_it()?;
                    act()
                })
                .join()
                .unwrap_or_else(|_| Err(io::Error::other("a thread panicked")))
        })
    }

    /// Gives the calling thread this user's ids and groups. Sets the groups first: afterwards this thread
    /// lacks the right to.
    pub(crate) fn take_ids(&self) -> io::Result<()> {
        let Self { uid, gid, .. } = *self;
        // Who has the groups already needs no right to set them.
        if getgroups()? != self.groups {
            set_thread_groups(&self.groups)?;
        }
        set_thread_res_gid(gid, gid, gid)?;
        set_thread_res_uid(uid, uid, uid)?;
        Ok(())
    }

    /// Makes the calling thread this user for good: its ids and groups, and no capability.
    pub(super) fn become_it(&self) -> io::Result<()> {
        self.take_ids()?;
        // The kernel does this too, unless a securebit such as SECBIT_KEEP_CAPS forbids it.
        clear_ambient_capability_set()?;
        set_capabilities(
            None,
            CapabilitySets {
                effective: CapabilitySet::empty(),
                permitted: CapabilitySet::empty(),
                inheritable: CapabilitySet::empty(),
            },
        )?;
        Ok(())
    }
}

/// A user for a sentence: name and id.
#[must_use]
pub fn name_of(uid: u32) -> String {
    match unistd::User::from_uid(uid.into()) {
        Ok(Some(user)) => format!("the user {} ({uid})", user.name),
        _ => format!("the user {uid}"),
    }
}

/// `u32::MAX` is no id: setresuid(2) takes it as "unchanged".
fn parse_id(name: &'static str, value: &std::ffi::OsStr) -> Result<u32, NoUser> {
    value
        .to_str()
        .and_then(|text| text.parse().ok())
        .filter(|id| *id != u32::MAX)
        .ok_or_else(|| NoUser::NotAnId {
            name,
            value: value.display().to_string(),
        })
}
