//! The caller: the user for whom the tracer runs, be it through `sudo` or by a program's file that adds
//! rights (setuid, file capabilities). Whatever the caller names, a file or a socket, is opened with the
//! caller's rights and no more.
//!
//! On Linux a user belongs to a thread (credentials(7), setuid(2) "C library/kernel differences"). So one
//! thread becomes the caller before the tracer drops its rights, and opens files as long as it runs.

mod user;

use std::{
    env, io,
    sync::mpsc::{self, Sender},
    thread,
};

use anyhow::{Context as _, Result};
use rustix::{
    process::{geteuid, getuid},
    thread::set_no_new_privs,
};

use tracing::debug;

pub use self::user::{NoUser, User, name_of};
use crate::privileges;

type Job = Box<dyn FnOnce() + Send>;

/// The user for whom the tracer runs. Clones share the thread, which ends with the last of them.
#[derive(Clone, Debug, Default)]
pub struct Caller(Option<OtherUser>);

#[derive(Clone, Debug)]
struct OtherUser {
    user: User,
    jobs: Sender<Job>,
}

impl Caller {
    /// Finds the caller, and starts the thread that is the caller; root itself needs none. Every thread becomes
    /// the caller with [`privileges::keep`].
    ///
    /// # Errors
    /// When `sudo` names no valid user, or the thread cannot become that user.
    pub fn find() -> Result<Self> {
        let user = if getuid().is_root() {
            User::behind_sudo(env::var_os)?
        } else {
            Some(User::real()?)
        };
        let Some(user) = user else {
            return Ok(Self::default());
        };
        privileges::leave_to(user.clone());
        Self::other(user)
    }

    /// Root, for as long as this is kept. If the caller is another user, a thread stays root, without its
    /// capabilities.
    #[must_use]
    pub fn root(&self) -> Self {
        if self.0.is_none() {
            return Self::default();
        }
        let root = User::from_ids(0, None).map_err(Into::into);
        root.and_then(Self::other).unwrap_or_else(|error| {
            debug!("no thread stays root: {error:#}");
            self.clone()
        })
    }

    /// Starts a thread that is this user.
    ///
    /// # Errors
    /// When this process may not become that user.
    pub fn other(user: User) -> Result<Self> {
        let (jobs, to_do) = mpsc::channel::<Job>();
        let (to, became) = mpsc::channel();
        let own = user.clone();
        thread::Builder::new()
            .name("caller".to_owned())
            .spawn(move || {
                let become_it = || {
                    set_no_new_privs(true)?;
                    own.become_it()
                };
                let result = become_it();
                let is_caller = result.is_ok();
                let _ = to.send(result);
                if is_caller {
                    for job in to_do {
                        job();
                    }
                }
            })
            .context("starting the thread that opens files")?;
        became
            .recv()
            .map_err(io::Error::other)
            .flatten()
            .with_context(|| format!("cannot act as the user {}", user.uid()))?;
        Ok(Self(Some(OtherUser { user, jobs })))
    }

    /// The caller, if that is another than root.
    #[must_use]
    pub fn user(&self) -> Option<&User> {
        self.0.as_ref().map(|other| &other.user)
    }

    /// The caller's user id.
    #[must_use]
    pub fn uid(&self) -> u32 {
        self.user().map_or(0, User::uid)
    }

    /// Why a file cannot be used, as the start of a sentence; with the user who may not, where that is not
    /// the one whose rights the tracer has.
    #[must_use]
    pub fn cannot(&self, file: &str, what: &str) -> String {
        match self.user() {
            Some(user) if user.uid() != geteuid().as_raw() => {
                format!("{file} cannot be {what} by {}", name_of(user.uid()))
            }
            _ => format!("{file} cannot be {what}"),
        }
    }

    /// Does this with the caller's rights, and waits for it.
    pub fn act<T: Send + 'static>(
        &self,
        act: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let Some(other) = &self.0 else {
            return act();
        };
        let (to, done) = mpsc::channel();
        // Where the thread is gone, nothing is received either.
        let _ = other.jobs.send(Box::new(move || {
            let _ = to.send(act());
        }));
        done.recv().map_err(io::Error::other)?
    }
}
