//! The command of `tracer -- COMMAND ARG…`: found in PATH, started as the user who called `sudo`, and
//! awaited. Its terminal, environment and signals are the same as without the tracer.

mod look_up;
#[cfg(test)]
mod tests;

use std::{
    env,
    ffi::{OsStr, OsString},
    io,
    os::{fd::AsFd as _, unix::process::ExitStatusExt as _},
    path::PathBuf,
    process::{ExitStatus, Stdio},
    time::Duration,
};

pub use rustix::process::Signal;
use rustix::process::{Pid, geteuid, getuid, kill_process};
use tokio::{
    process::{Child, Command},
    runtime::Handle,
    time::{Instant, sleep_until},
};

pub use crate::caller::{NoUser, User};
use crate::{
    ending::Ending,
    session::signals::{FOR_COMMAND, Signals},
};

/// Where the command's stdout goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stdout {
    /// To the tracer's stdout.
    Inherit,
    /// To the tracer's stderr, so that only the tracer writes to its stdout.
    ToStderr,
}

/// Why the command was not started.
#[derive(Debug, thiserror::Error)]
pub enum CannotStart {
    #[error("the command {0} was not found: check its name, or give its path")]
    NotFound(String),
    #[error("the command {program} cannot be executed: {reason}")]
    NotExecutable {
        /// As given on the command line.
        program: String,
        reason: io::Error,
    },
    /// The user who called `sudo` is unknown.
    #[error(transparent)]
    User(#[from] NoUser),
    /// The tracer could not forward signals.
    #[error("cannot listen for signals: {0}")]
    Signals(io::Error),
}

impl CannotStart {
    /// 127 and 126, as shells and `env` do; 1 if the tracer failed.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::NotFound(_) => 127,
            Self::NotExecutable { .. } => 126,
            Self::User(_) | Self::Signals(_) => 1,
        }
    }
}

/// A command whose program and user were found.
#[derive(Debug)]
pub struct Prepared {
    name: OsString,
    program: PathBuf,
    arguments: Vec<OsString>,
    stdout: Stdout,
    user: Option<User>,
}

/// Finds the program `argv[0]`, to run it as the user who called `sudo` or a setuid tracer, or else as
/// the current user.
pub fn prepare(argv: &[OsString], stdout: Stdout) -> Result<Prepared, CannotStart> {
    if getuid() != geteuid() {
        return prepare_as(Some(User::real()?), argv, stdout);
    }
    let user = User::behind_sudo(env::var_os)?;
    if let Some(user) = &user
        && !user.has_login()
    {
        return Err(NoUser::Unknown { uid: user.uid() }.into());
    }
    prepare_as(user, argv, stdout)
}

/// As [`prepare`], for this user; `None` is the current user.
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
    /// The program as given on the command line.
    #[must_use]
    pub fn name(&self) -> std::borrow::Cow<'_, str> {
        self.name.to_string_lossy()
    }

    /// Starts the command. From then on the tracer forwards its signals to it.
    pub fn start(self, ending: Ending) -> Result<Running, CannotStart> {
        let signals = Signals::listen(ending, true).map_err(CannotStart::Signals)?;
        let child = self
            .spawn()
            .map_err(|error| cannot_start(&self.name, error))?;
        Ok(Running {
            child,
            signals,
            awaited_until: None,
        })
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
            command.envs(user.environment().into_iter().flatten());
        }
        let runtime = Handle::try_current().map_err(io::Error::other)?;
        as_user(self.user.as_ref(), || {
            let _within = runtime.enter();
            command.spawn()
        })
    }
}

/// A running command. It keeps running if this is dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    signals: Signals,
    /// Until when the command is awaited, after SIGTERM.
    awaited_until: Option<Instant>,
}

impl Running {
    /// The process id; `None` after the command was reaped.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Sends the command a signal, unless it was reaped.
    pub fn forward(&self, signal: Signal) -> io::Result<()> {
        let pid = self.pid().and_then(|pid| i32::try_from(pid).ok());
        match pid.and_then(Pid::from_raw) {
            Some(pid) => Ok(kill_process(pid, signal)?),
            None => Ok(()),
        }
    }

    /// Waits for the command to end, and returns its exit status as a shell does: 128 + N for
    /// signal N. Cancel-safe. If the command still runs [`FOR_COMMAND`] after it was sent SIGTERM, or when it
    /// is sent another one, gives 143; it then has a [pid](Self::pid) still.
    ///
    /// Meanwhile forwards SIGINT, SIGTERM and SIGHUP that another process sent to the tracer. The
    /// terminal sends Ctrl-C to the command itself, so that is not forwarded: the tracer keeps
    /// tracing until the command ends.
    pub async fn wait(&mut self) -> io::Result<u8> {
        loop {
            let until = self.awaited_until;
            let is_late = async {
                match until {
                    Some(until) => sleep_until(until).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                status = self.child.wait() => {
                    self.signals.command_ended();
                    return Ok(exit_code(status?));
                }
                signal = self.signals.next() => self.pass_on(signal),
                () = is_late => {
                    self.signals.command_ended();
                    return Ok(exit_code(ExitStatus::from_raw(Signal::TERM.as_raw())));
                }
            }
        }
    }

    /// The signals, whose time runs until this is dropped.
    #[must_use]
    pub fn into_signals(self) -> Signals {
        self.signals
    }

    fn pass_on(&mut self, signal: Signal) {
        if let Err(error) = self.forward(signal) {
            tracing::warn!(?signal, %error, "cannot forward the signal to the command");
        }
        if signal == Signal::TERM {
            let patience = match self.awaited_until {
                None => FOR_COMMAND,
                Some(_) => Duration::ZERO,
            };
            self.awaited_until = Some(Instant::now() + patience);
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
