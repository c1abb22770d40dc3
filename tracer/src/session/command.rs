//! The command of `tracer -- COMMAND ARG…`: found, started as the user who called `sudo`, and
//! waited for. It has the terminal, the environment and the signals that it would have without the
//! tracer.

mod look_up;
mod signals;
#[cfg(test)]
mod tests;
mod user;

use std::{
    env,
    ffi::{OsStr, OsString},
    io,
    os::{fd::AsFd as _, unix::process::ExitStatusExt as _},
    path::PathBuf,
    process::{ExitStatus, Stdio},
};

pub use rustix::process::Signal;
use rustix::process::{Pid, kill_process};
use signals::Signals;
use tokio::{
    process::{Child, Command},
    runtime::Handle,
};
pub use user::{NoUser, User};

/// Where the command's stdout goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stdout {
    /// Where the tracer's goes.
    Inherit,
    /// To the tracer's stderr, so that only the tracer writes to its stdout.
    ToStderr,
}

/// Why there is no command to wait for.
#[derive(Debug, thiserror::Error)]
pub enum CannotStart {
    /// There is no such program.
    #[error("the command {0} was not found: check its name, or give its path")]
    NotFound(String),
    /// There is, but it cannot be executed.
    #[error("the command {program} cannot be executed: {reason}")]
    NotExecutable {
        /// As it was asked for.
        program: String,
        /// The kernel's answer.
        reason: io::Error,
    },
    /// The user who called `sudo` cannot be told.
    #[error(transparent)]
    User(#[from] NoUser),
    /// The tracer cannot hear the signals to hand on.
    #[error("the tracer cannot listen to signals: {0}")]
    Signals(io::Error),
}

impl CannotStart {
    /// The exit status of a shell or of `env` for this: 127 or 126; 1 for what is the tracer's
    /// own fault.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::NotFound(_) => 127,
            Self::NotExecutable { .. } => 126,
            Self::User(_) | Self::Signals(_) => 1,
        }
    }
}

/// A command that can be started, as far as that can be known before.
#[derive(Debug)]
pub struct Prepared {
    name: OsString,
    program: PathBuf,
    arguments: Vec<OsString>,
    stdout: Stdout,
    user: Option<User>,
}

/// Finds the program `argv[0]`, to be run as the user who called `sudo`, or else as who we are.
pub fn prepare(argv: &[OsString], stdout: Stdout) -> Result<Prepared, CannotStart> {
    let user = User::behind_sudo(env::var_os)?;
    prepare_as(user, argv, stdout)
}

/// As [`prepare`], to be run as this user; as who we are where there is none.
pub fn prepare_as(
    user: Option<User>,
    argv: &[OsString],
    stdout: Stdout,
) -> Result<Prepared, CannotStart> {
    let (name, arguments) = match argv {
        [name, arguments @ ..] => (name.as_os_str(), arguments),
        [] => (OsStr::new(""), argv),
    };
    let path = env::var_os("PATH");
    let program = as_user(user.as_ref(), || look_up::look_up(name, path.as_deref()))
        .map_err(|error| cannot_start(name, error))?;
    Ok(Prepared {
        name: name.to_owned(),
        program,
        arguments: arguments.to_vec(),
        stdout,
        user,
    })
}

impl Prepared {
    /// The program, as it was asked for.
    #[must_use]
    pub fn name(&self) -> std::borrow::Cow<'_, str> {
        self.name.to_string_lossy()
    }

    /// Starts the command, and from then on hears the signals to hand on to it.
    pub fn start(self) -> Result<Running, CannotStart> {
        let signals = Signals::listen().map_err(CannotStart::Signals)?;
        let child = self
            .spawn()
            .map_err(|error| cannot_start(&self.name, error))?;
        Ok(Running { child, signals })
    }

    fn spawn(&self) -> io::Result<Child> {
        let mut command = Command::new(&self.program);
        command.arg0(&self.name).args(&self.arguments);
        if self.stdout == Stdout::ToStderr {
            let stderr = io::stderr().as_fd().try_clone_to_owned()?;
            command.stdout(Stdio::from(stderr));
        }
        if let Some(user) = &self.user {
            for (name, _) in env::vars_os() {
                if name.as_encoded_bytes().starts_with(b"SUDO_") {
                    command.env_remove(name);
                }
            }
            command.envs(user.environment());
        }
        let runtime = Handle::try_current().map_err(io::Error::other)?;
        as_user(self.user.as_ref(), || {
            let _within = runtime.enter();
            command.spawn()
        })
    }
}

/// A command under way. When this is dropped it goes on alone.
#[derive(Debug)]
pub struct Running {
    child: Child,
    signals: Signals,
}

impl Running {
    /// Its process id; `None` once it was waited for.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Sends it a signal, unless it was waited for already.
    pub fn forward(&self, signal: Signal) -> io::Result<()> {
        let pid = self.pid().and_then(|pid| i32::try_from(pid).ok());
        match pid.and_then(Pid::from_raw) {
            Some(pid) => Ok(kill_process(pid, signal)?),
            None => Ok(()),
        }
    }

    /// Waits for its end; meanwhile hands on SIGINT, SIGTERM and SIGHUP where they were sent to
    /// the tracer. What the terminal sends (Ctrl-C), the command has had from there: the tracer
    /// goes on until the command has made up its mind, however often that comes. May be dropped
    /// and called again.
    ///
    /// Gives the exit status as a shell does: 128 + N for the end by signal N.
    pub async fn wait(&mut self) -> io::Result<u8> {
        loop {
            tokio::select! {
                status = self.child.wait() => return Ok(exit_code(status?)),
                signal = self.signals.next() => {
                    if let Err(error) = self.forward(signal) {
                        tracing::warn!(?signal, %error, "the command does not get a signal");
                    }
                }
            }
        }
    }
}

fn as_user<T: Send>(
    user: Option<&User>,
    act: impl FnOnce() -> io::Result<T> + Send,
) -> io::Result<T> {
    match user {
        Some(user) => user.act(act),
        None => act(),
    }
}

fn cannot_start(name: &OsStr, reason: io::Error) -> CannotStart {
    let program = name.display().to_string();
    if reason.kind() == io::ErrorKind::NotFound {
        CannotStart::NotFound(program)
    } else {
        CannotStart::NotExecutable { program, reason }
    }
}

fn exit_code(status: ExitStatus) -> u8 {
    let code = match (status.code(), status.signal()) {
        (Some(code), _) => code,
        (None, Some(signal)) => 128 + signal,
        (None, None) => 1,
    };
    u8::try_from(code).unwrap_or(u8::MAX)
}
