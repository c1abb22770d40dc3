//! Makes system calls of a running server fail, with ptrace(2). Unlike strace's, its count of calls is that of
//! all threads together, and one server lasts for many faults.

use std::{
    collections::HashSet,
    fs::{self, File},
    mem,
    os::unix::{ffi::OsStrExt, fs::FileExt},
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
};

use nix::{
    errno::Errno,
    libc,
    sys::{
        ptrace::{self, Options},
        signal::{Signal, kill},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::Pid,
};
use parking_lot::Mutex;

/// The longest path that is read of a server's memory.
const LONGEST_PATH: usize = 4096;

/// The command of fcntl(2) that makes a descriptor.
const DUPLICATE: u64 = libc::F_DUPFD_CLOEXEC as u64;

/// Where a call has what it works on.
#[derive(Clone, Copy)]
enum Subject {
    /// A descriptor in this argument, counted from 0.
    Descriptor(usize),
    /// A path in the first argument.
    Path,
    /// A path in the second argument, beneath a directory in the first.
    PathAt,
}

/// A call that works on files.
struct Call {
    number: i64,
    name: &'static str,
    subject: Subject,
    /// It takes space on the disk.
    takes_space: bool,
    /// It makes a descriptor.
    opens: bool,
}

const fn call(number: i64, name: &'static str, subject: Subject) -> Call {
    Call {
        number,
        name,
        subject,
        takes_space: false,
        opens: false,
    }
}

const fn taking_space(number: i64, name: &'static str, subject: Subject) -> Call {
    Call {
        takes_space: true,
        ..call(number, name, subject)
    }
}

const fn opening(number: i64, name: &'static str, subject: Subject) -> Call {
    Call {
        opens: true,
        ..taking_space(number, name, subject)
    }
}

const CALLS: [Call; 36] = {
    use Subject::{Descriptor, Path, PathAt};
    [
        opening(libc::SYS_open, "open", Path),
        opening(libc::SYS_openat, "openat", PathAt),
        opening(libc::SYS_openat2, "openat2", PathAt),
        call(libc::SYS_read, "read", Descriptor(0)),
        call(libc::SYS_readv, "readv", Descriptor(0)),
        call(libc::SYS_pread64, "pread64", Descriptor(0)),
        taking_space(libc::SYS_write, "write", Descriptor(0)),
        taking_space(libc::SYS_writev, "writev", Descriptor(0)),
        taking_space(libc::SYS_pwrite64, "pwrite64", Descriptor(0)),
        taking_space(libc::SYS_pwritev, "pwritev", Descriptor(0)),
        taking_space(libc::SYS_fallocate, "fallocate", Descriptor(0)),
        taking_space(libc::SYS_ftruncate, "ftruncate", Descriptor(0)),
        taking_space(libc::SYS_fsync, "fsync", Descriptor(0)),
        taking_space(libc::SYS_fdatasync, "fdatasync", Descriptor(0)),
        taking_space(libc::SYS_copy_file_range, "copy_file_range", Descriptor(0)),
        taking_space(libc::SYS_sendfile, "sendfile", Descriptor(0)),
        call(libc::SYS_lseek, "lseek", Descriptor(0)),
        call(libc::SYS_flock, "flock", Descriptor(0)),
        // Only where it makes a descriptor: locks are not on the disk, and none fails to be released.
        opening(libc::SYS_fcntl, "fcntl", Descriptor(0)),
        call(libc::SYS_fstat, "fstat", Descriptor(0)),
        call(libc::SYS_fstatfs, "fstatfs", Descriptor(0)),
        call(libc::SYS_getdents64, "getdents64", Descriptor(0)),
        call(libc::SYS_mmap, "mmap", Descriptor(4)),
        call(libc::SYS_stat, "stat", Path),
        call(libc::SYS_lstat, "lstat", Path),
        call(libc::SYS_statfs, "statfs", Path),
        call(libc::SYS_access, "access", Path),
        call(libc::SYS_statx, "statx", PathAt),
        call(libc::SYS_newfstatat, "newfstatat", PathAt),
        call(libc::SYS_unlink, "unlink", Path),
        call(libc::SYS_unlinkat, "unlinkat", PathAt),
        taking_space(libc::SYS_mkdir, "mkdir", Path),
        taking_space(libc::SYS_rename, "rename", Path),
        taking_space(libc::SYS_renameat, "renameat", PathAt),
        taking_space(libc::SYS_renameat2, "renameat2", PathAt),
        taking_space(libc::SYS_linkat, "linkat", PathAt),
    ]
};

/// Which calls fail, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    pub(crate) error: Errno,
    /// The first call that fails, counted from 1 among those that can have this error.
    pub(crate) first: usize,
    /// Whether all later ones fail, too.
    pub(crate) lasts: bool,
}

impl Fault {
    fn may_strike(&self, call: &Call) -> bool {
        match self.error {
            Errno::ENOSPC | Errno::EROFS | Errno::EDQUOT => call.takes_space,
            Errno::EMFILE | Errno::ENFILE => call.opens,
            _ => true,
        }
    }
}

#[derive(Default)]
struct State {
    fault: Option<Fault>,
    calls: usize,
    failed: Vec<String>,
    over: bool,
}

/// The injector of one server. Dropping it leaves the server as it was.
pub(crate) struct Injector {
    pid: Pid,
    state: Arc<Mutex<State>>,
    thread: Option<JoinHandle<()>>,
}

impl Injector {
    /// For the calls of this process on files beneath these directories.
    pub(crate) fn attach(pid: u32, directories: &[PathBuf]) -> Self {
        let pid = Pid::from_raw(pid.cast_signed());
        let state = Arc::new(Mutex::new(State::default()));
        let (attached, is_attached) = mpsc::channel();
        let mut tracing = Tracing {
            pid,
            directories: directories
                .iter()
                .map(|directory| directory.canonicalize().unwrap())
                .collect(),
            threads: HashSet::new(),
            state: Arc::clone(&state),
        };
        // All requests of ptrace come from the thread that attached.
        let thread = thread::spawn(move || {
            tracing.attach();
            attached.send(()).unwrap();
            tracing.run();
        });
        is_attached.recv().unwrap();
        Self {
            pid,
            state,
            thread: Some(thread),
        }
    }

    pub(crate) fn begin(&self, fault: Fault) {
        let mut state = self.state.lock();
        state.fault = Some(fault);
        state.calls = 0;
    }

    /// Lets all calls succeed again. Returns those that failed.
    pub(crate) fn end(&self) -> Vec<String> {
        let mut state = self.state.lock();
        state.fault = None;
        mem::take(&mut state.failed)
    }
}

impl Drop for Injector {
    fn drop(&mut self) {
        self.state.lock().over = true;
        // Stops the server once more. By itself it ignores this signal.
        let _ = kill(self.pid, Signal::SIGWINCH);
        let ended = self.thread.take().map(JoinHandle::join);
        if !thread::panicking() {
            ended.unwrap().unwrap();
        }
    }
}

struct Tracing {
    pid: Pid,
    directories: Vec<PathBuf>,
    threads: HashSet<Pid>,
    state: Arc<Mutex<State>>,
}

impl Tracing {
    fn attach(&mut self) {
        let tasks = format!("/proc/{}/task", self.pid);
        // A thread may start meanwhile.
        loop {
            let mut new = 0;
            for task in fs::read_dir(&tasks).unwrap() {
                let id = task.unwrap().file_name().into_string().unwrap();
                let id = Pid::from_raw(id.parse().unwrap());
                if self.threads.contains(&id) {
                    continue;
                }
                let options = Options::PTRACE_O_TRACESYSGOOD | Options::PTRACE_O_TRACECLONE;
                // Unless it has ended, or its parent is attached to and it is with that.
                if ptrace::seize(id, options).is_ok() {
                    ptrace::interrupt(id).unwrap();
                    self.threads.insert(id);
                    new += 1;
                }
            }
            if new == 0 {
                return;
            }
        }
    }

    /// Serves the stops of the server's threads, until the injector is dropped and all are detached.
    fn run(&mut self) {
        let mut detaching = false;
        while !self.threads.is_empty() {
            // Of this thread alone: other tests have children, too.
            let which = WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD;
            let stopped = match waitpid(None, Some(which)) {
                Ok(stopped) => stopped,
                Err(Errno::EINTR) => continue,
                Err(Errno::ECHILD) => return,
                Err(error) => panic!("{error}"),
            };
            let Some(thread) = stopped.pid() else {
                continue;
            };
            let signal = match stopped {
                WaitStatus::Exited(..) | WaitStatus::Signaled(..) => {
                    self.threads.remove(&thread);
                    continue;
                }
                WaitStatus::PtraceSyscall(_) => {
                    self.at_call(thread);
                    None
                }
                WaitStatus::Stopped(_, signal) => Some(signal),
                _ => None,
            };
            self.threads.insert(thread);
            if !detaching && self.state.lock().over {
                detaching = true;
                for thread in &self.threads {
                    // Unless it has just ended.
                    let _ = ptrace::interrupt(*thread);
                }
            }
            // A thread may be killed meanwhile.
            if detaching {
                let _ = ptrace::detach(thread, signal);
                self.threads.remove(&thread);
            } else {
                let _ = ptrace::syscall(thread, signal);
            }
        }
    }

    fn at_call(&self, thread: Pid) {
        let Ok(mut registers) = ptrace::getregs(thread) else {
            return;
        };
        // Otherwise, the thread returns from the call.
        let enters = registers.rax.cast_signed() == -i64::from(libc::ENOSYS);
        let number = registers.orig_rax.cast_signed();
        let call = CALLS.iter().find(|call| call.number == number);
        let Some(call) = call.filter(|_| enters) else {
            return;
        };
        if number == libc::SYS_fcntl && registers.rsi != DUPLICATE {
            return;
        }
        let mut state = self.state.lock();
        let Some(fault) = state.fault.filter(|fault| fault.may_strike(call)) else {
            return;
        };
        let Some(path) = self.subject(call.subject, &registers) else {
            return;
        };
        state.calls += 1;
        if state.calls == fault.first || (fault.lasts && state.calls > fault.first) {
            state
                .failed
                .push(format!("{} of {}", call.name, path.display()));
            // No call has this number: the kernel returns what is there.
            registers.orig_rax = u64::MAX;
            registers.rax = (-i64::from(fault.error as i32)).cast_unsigned();
            ptrace::setregs(thread, registers).unwrap();
        }
    }

    /// What a call works on, where that is beneath one of the directories.
    fn subject(&self, subject: Subject, registers: &libc::user_regs_struct) -> Option<PathBuf> {
        let descriptor = |value: u64| {
            let descriptor = u32::try_from(value & u64::from(u32::MAX)).ok()?;
            fs::read_link(format!("/proc/{}/fd/{descriptor}", self.pid)).ok()
        };
        let path = match subject {
            Subject::Descriptor(0) => descriptor(registers.rdi)?,
            Subject::Descriptor(_) => descriptor(registers.r8)?,
            Subject::Path => self.path(registers.rdi)?,
            Subject::PathAt => {
                let path = self.path(registers.rsi)?;
                match descriptor(registers.rdi) {
                    Some(directory) => directory.join(path),
                    None => path,
                }
            }
        };
        let is_beneath = |directory: &PathBuf| path.starts_with(directory);
        self.directories.iter().any(is_beneath).then_some(path)
    }

    /// The path at this address of the server's memory.
    fn path(&self, address: u64) -> Option<PathBuf> {
        let memory = File::open(format!("/proc/{}/mem", self.pid)).ok()?;
        let mut bytes = Vec::new();
        while bytes.len() < LONGEST_PATH {
            // No read crosses the end of a page, behind which there may be none.
            let mut piece = [0; 64];
            let begin = address + bytes.len() as u64;
            let length = 64 - usize::try_from(begin % 64).ok()?;
            memory.read_exact_at(&mut piece[..length], begin).ok()?;
            match piece[..length].iter().position(|byte| *byte == 0) {
                Some(end) => {
                    bytes.extend(&piece[..end]);
                    return Some(Path::new(std::ffi::OsStr::from_bytes(&bytes)).to_owned());
                }
                None => bytes.extend(&piece[..length]),
            }
        }
        None
    }
}
