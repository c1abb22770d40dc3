use std::{
    fs::{self, File, Permissions},
    io::{BufRead as _, BufReader, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
};

use rustix::{
    process::{Pid, Signal, getpid, kill_process},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
};

use super::*;
use crate::ending::Ending;

fn words(words: &[&str]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}

async fn run(argv: &[&str]) -> u8 {
    let prepared = prepare_as(None, &words(argv), Stdout::Inherit).unwrap();
    prepared
        .start(Ending::default())
        .unwrap()
        .wait()
        .await
        .unwrap()
}

#[tokio::test]
async fn gives_the_exit_status_of_a_shell() {
    for (script, status) in [
        ("exit 0", 0),
        ("exit 1", 1),
        ("exit 255", 255),
        ("kill -TERM $$", 143),
        ("kill -KILL $$", 137),
        // The Rust runtime ignores SIGPIPE, which a command must not inherit.
        ("kill -PIPE $$", 141),
    ] {
        assert_eq!(run(&["sh", "-c", script]).await, status, "{script}");
    }
}

#[tokio::test]
async fn passes_the_words_on_as_they_are() {
    let script = r#"test "$0" = " a" && test "$1" = "" && test "$2" = "b  c" && test $# = 2"#;
    assert_eq!(run(&["sh", "-c", script, " a", "", "b  c"]).await, 0);
    let called_as = r#"test "$(tr '\0' ' ' </proc/$$/cmdline | cut -c 1-3)" = "sh ""#;
    assert_eq!(run(&["sh", "-c", called_as]).await, 0, "argv[0]");
}

#[tokio::test]
async fn blocks_no_signal() {
    let unblocked = r"grep -Eq '^SigBlk:\s0+$' /proc/self/status";
    assert_eq!(run(&["sh", "-c", unblocked]).await, 0);
}

/// What is found here is what `Prepared::start` hands to the kernel.
fn check_look_up(name: &str, path: &str, expected: Result<&str, io::ErrorKind>) {
    let found = look_up::look_up(name.as_ref(), Some(path.as_ref()));
    match (found, expected) {
        (Ok(found), Ok(expected)) => assert_eq!(found, Path::new(expected)),
        (Err(error), Err(kind)) => assert_eq!(error.kind(), kind, "{name}: {error}"),
        (found, expected) => panic!("{name}: {found:?} instead of {expected:?}"),
    }
}

fn file(path: &Path, content: &str, mode: u32) {
    fs::write(path, content).unwrap();
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[test]
fn looks_a_program_up_as_a_shell_does() {
    use io::ErrorKind::{IsADirectory, NotFound, PermissionDenied};
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    for name in ["first", "second", "first/directory"] {
        fs::create_dir(at(name)).unwrap();
    }
    file(at("first/closed").as_ref(), "", 0o644);
    file(at("second/closed").as_ref(), "", 0o755);
    file(at("first/only-closed").as_ref(), "", 0o644);
    file(at("second/tool").as_ref(), "", 0o755);
    let path = format!("{}:{}:{}", at("nowhere"), at("first"), at("second"));
    check_look_up("tool", &path, Ok(&at("second/tool")));
    check_look_up("closed", &path, Ok(&at("second/closed")));
    check_look_up("only-closed", &path, Err(PermissionDenied));
    check_look_up("directory", &path, Err(NotFound));
    check_look_up("no-such", &path, Err(NotFound));
    check_look_up("", &path, Err(NotFound));
    check_look_up(&at("second/tool"), "", Ok(&at("second/tool")));
    check_look_up(&at("first/closed"), &path, Err(PermissionDenied));
    check_look_up(&at("first"), &path, Err(IsADirectory));
    check_look_up(&at("first/closed/tool"), &path, Err(NotFound));
    // An empty part of PATH is the current directory: this crate's.
    check_look_up("build.rs", "", Err(PermissionDenied));
}

#[tokio::test]
async fn what_cannot_start_has_a_sentence_and_the_status_of_a_shell() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    file(at("closed").as_ref(), "", 0o644);
    file(at("garbage").as_ref(), "\u{7f}ELF", 0o755);
    file(at("script").as_ref(), "#!/no/such/interpreter\n", 0o755);
    for (name, status, sentence) in [
        ("no-such-tool".to_owned(), 127, "was not found"),
        (String::new(), 127, "was not found"),
        (at("no-such"), 127, "was not found"),
        (at("closed"), 126, "cannot be executed: Permission denied"),
        (at("garbage"), 126, "cannot be executed: Exec format error"),
        // env(1) gives this status, too: the kernel says ENOENT.
        (at("script"), 127, "was not found"),
    ] {
        let error = prepare_as(None, &words(&[&name]), Stdout::Inherit)
            .and_then(|prepared| prepared.start(Ending::default()))
            .unwrap_err();
        assert_eq!(error.exit_code(), status, "{error}");
        assert!(error.to_string().contains(sentence), "{error}");
    }
    let nothing = prepare_as(None, &[], Stdout::Inherit).unwrap_err();
    assert_eq!(nothing.exit_code(), 127);
}

#[test]
fn the_user_comes_from_sudo_variables() {
    fn check(uid: Option<&'static str>, gid: Option<&'static str>, expected: Result<bool, &str>) {
        let user = User::behind_sudo(|name| match name {
            "SUDO_UID" => uid.map(OsString::from),
            "SUDO_GID" => gid.map(OsString::from),
            _ => None,
        });
        match (user, expected) {
            (Ok(user), Ok(one)) => assert_eq!(user.is_some(), one, "{uid:?} {gid:?}"),
            (Err(error), Err(sentence)) => {
                assert!(error.to_string().contains(sentence), "{error}");
            }
            (user, expected) => panic!("{uid:?}: {user:?} instead of {expected:?}"),
        }
    }
    let root = geteuid().is_root();
    check(None, None, Ok(false));
    check(None, Some("1000"), Ok(false));
    check(Some("0"), Some("0"), Ok(false));
    check(Some("1"), Some("1"), Ok(root));
    check(Some("1"), None, Ok(root));
    check(Some("me"), None, Err("SUDO_UID=me is not a valid id"));
    check(Some("-1"), None, Err("SUDO_UID=-1 is not a valid id"));
    check(Some("4294967295"), None, Err("is not a valid id"));
    check(Some(""), None, Err("is not a valid id"));
    if root {
        check(Some("1"), Some("x"), Err("SUDO_GID=x is not a valid id"));
        check(Some("4294967294"), None, Err("no user 4294967294"));
    }
}

/// What the tests below start as a process of its own, in the place of the tracer: its signals and
/// its stdout are those of a whole process.
#[tokio::test]
async fn a_command_from_the_environment() {
    let Ok(script) = env::var("COMMAND_TEST_SCRIPT") else {
        assert_eq!(run(&["true"]).await, 0);
        return;
    };
    let stdout = match env::var_os("COMMAND_TEST_TO_STDERR") {
        Some(_) => Stdout::ToStderr,
        None => Stdout::Inherit,
    };
    let argv = words(&["python3", "-c", &script]);
    let mut running = prepare(&argv, stdout)
        .unwrap()
        .start(Ending::default())
        .unwrap();
    std::process::exit(running.wait().await.unwrap().into());
}

fn in_a_process(mut command: Command, script: &str, sudo: Option<&str>) -> Child {
    command
        .env_remove("SUDO_UID")
        .args([
            "--exact",
            "session::command::tests::a_command_from_the_environment",
        ])
        .arg("--nocapture")
        .env("COMMAND_TEST_SCRIPT", script)
        .envs(sudo.map(|uid| ("SUDO_UID", uid)))
        .env_remove("SUDO_GID")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
fn its_stdout_stays_or_moves_to_stderr() {
    let script = "print('OUT'); import sys; print('ERR', file=sys.stderr)";
    let check = |to_stderr: bool, on_stdout: bool| {
        let mut command = Command::new(env::current_exe().unwrap());
        command.stderr(Stdio::piped());
        if to_stderr {
            command.env("COMMAND_TEST_TO_STDERR", "");
        }
        let output = in_a_process(command, script, None)
            .wait_with_output()
            .unwrap();
        let stdout = String::from_utf8(output.stdout).unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(stdout.contains("OUT"), on_stdout, "{stdout}");
        assert_eq!(stderr.contains("OUT"), !on_stdout, "{stderr}");
        assert!(stderr.contains("ERR"), "{stderr}");
    };
    check(false, true);
    check(true, false);
}

#[test]
fn the_command_does_not_see_sudo_variables() {
    let script =
        "import os; print('is', os.getuid(), 'SUDO_UID' in os.environ, os.environ['HOME'])";
    let mut command = Command::new(env::current_exe().unwrap());
    command.env("HOME", "/somewhere");
    let output = in_a_process(command, script, Some("1")).wait_with_output();
    let stdout = String::from_utf8(output.unwrap().stdout).unwrap();
    let me = getuid();
    let expected = if me.is_root() {
        let daemon = User::from_ids(1, None).unwrap();
        let [(_, home), ..] = daemon.environment().unwrap();
        format!("is 1 False {}", home.display())
    } else {
        format!("is {me} True /somewhere")
    };
    assert!(stdout.contains(&expected), "{stdout}");
}

/// Prints the signals it gets, SIGTERM being the last: number, `si_code`, sender.
const SIGNALS: &str = "
import signal as s
all = [s.SIGHUP, s.SIGINT, s.SIGTERM]
s.pthread_sigmask(s.SIG_BLOCK, all)
print('ready', flush=True)
signo = 0
while signo != s.SIGTERM:
    info = s.sigwaitinfo(all)
    signo = info.si_signo
    print('signal', signo, info.si_code, info.si_pid, flush=True)
exit(7)
";

struct Listener {
    process: Child,
    lines: io::Lines<BufReader<ChildStdout>>,
}

impl Listener {
    fn start(command: Command) -> Self {
        let mut process = in_a_process(command, SIGNALS, None);
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut listener = Self { process, lines };
        listener.line("ready");
        listener
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.process.id()).unwrap()).unwrap()
    }

    fn line(&mut self, start: &str) -> String {
        self.lines
            .by_ref()
            .map(Result::unwrap)
            .find_map(|line| Some(line[line.find(start)?..].to_owned()))
            .expect("it never said so")
    }

    fn ends_with(mut self, status: i32) {
        assert_eq!(self.process.wait().unwrap().code(), Some(status));
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Ok(None) = self.process.try_wait() {
            let _ = kill_process(self.pid(), Signal::TERM);
        }
    }
}

const SI_USER: i32 = 0;
const SI_KERNEL: i32 = 128;

#[test]
fn hands_on_what_another_process_sends() {
    let mut listener = Listener::start(Command::new(env::current_exe().unwrap()));
    let tracer = listener.pid();
    assert_ne!(tracer, getpid());
    for signal in [Signal::HUP, Signal::INT, Signal::INT, Signal::TERM] {
        kill_process(tracer, signal).unwrap();
        let expected = format!("signal {} {SI_USER} {tracer}", signal.as_raw());
        assert_eq!(listener.line("signal"), expected);
    }
    listener.ends_with(7);
}

#[test]
fn does_not_double_what_the_terminal_sends() {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap();
    let slave = File::options()
        .read(true)
        .write(true)
        .open(name.to_str().unwrap())
        .unwrap();
    let mut master = File::from(master);
    let mut command = Command::new("setsid");
    command
        .arg("--ctty")
        .arg(env::current_exe().unwrap())
        .stdin(slave);
    let mut listener = Listener::start(command);
    for _ in 0..2 {
        master.write_all(b"\x03").unwrap();
        let interrupted = format!("signal {} {SI_KERNEL} 0", Signal::INT.as_raw());
        assert_eq!(listener.line("signal"), interrupted);
    }
    // A SIGINT that was handed on would arrive before this one.
    let tracer = listener.pid();
    kill_process(tracer, Signal::TERM).unwrap();
    let terminated = format!("signal {} {SI_USER} {tracer}", Signal::TERM.as_raw());
    assert_eq!(listener.line("signal"), terminated);
    listener.ends_with(7);
}
