//! A network namespace with an upload server in it, and a tracer that watches.

use std::{
    fs::{self, Permissions},
    io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _},
    net::SocketAddr,
    os::unix::{fs::PermissionsExt as _, net::UnixDatagram},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Output, Stdio},
    sync::{
        LazyLock, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
        mpsc::{self, Receiver},
    },
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::trace::Trace;

/// Long enough for any machine; what takes longer has failed. On one that is emulated, longer by the
/// factor that `cargo xtask kernels` sets.
static PATIENCE: LazyLock<Duration> = LazyLock::new(|| Duration::from_secs(60) * *SLOWNESS);

static SLOWNESS: LazyLock<u32> = LazyLock::new(|| {
    std::env::var("KERNEL_TEST_SLOWNESS").map_or(1, |factor| factor.parse().unwrap())
});

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
static NAMESPACES: AtomicU32 = AtomicU32::new(0);

pub(crate) struct Lab {
    pub(crate) dir: tempfile::TempDir,
    namespace: String,
    _turn: MutexGuard<'static, ()>,
}

impl Lab {
    pub(crate) fn new() -> Self {
        assert!(
            rustix::process::geteuid().is_root(),
            "the tests on the running kernel need root: `cargo xtask test` starts them with sudo"
        );
        let turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let number = NAMESPACES.fetch_add(1, Ordering::Relaxed);
        let namespace = format!("tracer-test-{}-{number}", std::process::id());
        run(Command::new("ip").args(["netns", "add", &namespace]));
        let lab = Self {
            dir: tempfile::tempdir().unwrap(),
            namespace,
            _turn: turn,
        };
        run(lab.inside("ip").args(["link", "set", "lo", "up"]));
        lab
    }

    /// A program within the namespace. Only the network differs: `ip netns exec` would hide `/sys`.
    pub(crate) fn inside(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        inside(&self.namespace, program)
    }

    /// Another namespace, joined to this one by a pair of `veth` devices.
    pub(crate) fn neighbour(&self) -> Neighbour {
        let namespace = format!("{}-b", self.namespace);
        run(Command::new("ip").args(["netns", "add", &namespace]));
        let neighbour = Neighbour { namespace };
        let ip = |command: &mut Command, arguments: &str| {
            run(command.args(arguments.split(' ')));
        };
        let to = format!("/run/netns/{}", neighbour.namespace);
        let create = format!("link add wire type veth peer name wire netns {to}");
        ip(&mut self.inside("ip"), &create);
        for (mut own, address) in [
            (self.inside("ip"), Self::ADDRESS),
            (neighbour.inside("ip"), Neighbour::ADDRESS),
        ] {
            let script =
                format!("address add {address}/24 dev wire\nlink set wire up\nlink set lo up\n");
            let file = self.dir.path().join(format!("{address}.ip"));
            fs::write(&file, script).unwrap();
            run(own.arg("-batch").arg(file));
        }
        neighbour
    }

    /// Its address towards a neighbour.
    pub(crate) const ADDRESS: &str = "10.77.0.1";

    /// The file that stands for the namespace.
    pub(crate) fn namespace_path(&self) -> PathBuf {
        Path::new("/run/netns").join(&self.namespace)
    }

    pub(crate) fn control(&self) -> PathBuf {
        self.dir.path().join("control")
    }

    pub(crate) fn uploads(&self) -> PathBuf {
        self.dir.path().join("uploads")
    }

    /// What the upload server keeps.
    pub(crate) fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    /// An upload server on a port of its own within the namespace.
    pub(crate) fn server(&self, arguments: &[&str]) -> Server {
        self.server_with(arguments, Stdio::inherit())
    }

    /// The same, with its stderr in a file.
    pub(crate) fn server_logging_to(&self, stderr: &Path, arguments: &[&str]) -> Server {
        self.server_with(arguments, fs::File::create(stderr).unwrap())
    }

    fn server_with(&self, arguments: &[&str], stderr: impl Into<Stdio>) -> Server {
        let address: SocketAddr = "127.0.0.1:5000".parse().unwrap();
        let mut command = self.inside(server_binary());
        command
            .arg("--listen")
            .arg(address.to_string())
            .arg("--dir")
            .arg(self.uploads())
            .arg("--control")
            .arg(self.control())
            .arg("--state")
            .arg(self.state())
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(stderr);
        Server {
            process: Process::start(command, &self.dir.path().join("server.notify")),
            address,
        }
    }

    /// A tracer of that server, with NDJSON on its stdout, attached.
    pub(crate) fn tracer(&self, arguments: &[&str]) -> Tracer {
        let control = self.control();
        let server = ["-o", "ndjson", "--server", control.to_str().unwrap()];
        self.tracer_alone(&[arguments, &server].concat())
    }

    /// The same, with its stderr in a file.
    pub(crate) fn tracer_logging_to(&self, stderr: &Path, arguments: &[&str]) -> Tracer {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tracer"));
        command
            .args(["-o", "ndjson", "--server"])
            .arg(self.control())
            .args(arguments)
            .stderr(fs::File::create(stderr).unwrap());
        Tracer::start(command, &self.dir.path().join("tracer.notify"))
    }

    /// A tracer with these arguments alone, attached.
    pub(crate) fn tracer_alone(&self, arguments: &[&str]) -> Tracer {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tracer"));
        command.args(arguments);
        Tracer::start(command, &self.dir.path().join("tracer.notify"))
    }

    /// A tracer that this command starts, attached.
    pub(crate) fn tracer_by(&self, command: Command) -> Tracer {
        Tracer::start(command, &self.dir.path().join("tracer.notify"))
    }

    /// The same, for [`Process::interrupt`].
    pub(crate) fn started(&self, mut command: Command) -> Process {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        Process::start(command, &self.dir.path().join("tracer.notify"))
    }

    /// A tracer that this command starts, attached; what is piped is the caller's to read.
    pub(crate) fn process(&self, command: Command) -> Process {
        Process::start(command, &self.dir.path().join("tracer.notify"))
    }

    /// A tracer that every user may execute; cargo's folder may be closed to others.
    pub(crate) fn everybodys_tracer(&self) -> PathBuf {
        self.everybodys(Path::new(env!("CARGO_BIN_EXE_tracer")))
    }

    /// The same for the upload server.
    pub(crate) fn everybodys_server(&self) -> PathBuf {
        self.everybodys(&server_binary())
    }

    fn everybodys(&self, program: &Path) -> PathBuf {
        let path = self.dir.path().join(program.file_name().unwrap());
        fs::copy(program, &path).unwrap();
        fs::set_permissions(self.dir.path(), Permissions::from_mode(0o755)).unwrap();
        path
    }

    /// A tracer within the namespace, attached.
    pub(crate) fn tracer_inside(&self, arguments: &[&str], stdout: impl Into<Stdio>) -> Process {
        let mut command = self.inside(env!("CARGO_BIN_EXE_tracer"));
        command.args(arguments).stdout(stdout);
        Process::start(command, &self.dir.path().join("tracer.notify"))
    }

    /// A tracer that writes into a file, attached.
    pub(crate) fn tracer_into(&self, arguments: &[&str], stdout: impl Into<Stdio>) -> Process {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tracer"));
        command.args(arguments).stdout(stdout);
        Process::start(command, &self.dir.path().join("tracer.notify"))
    }

    /// `curl` within the namespace.
    pub(crate) fn curl(&self, arguments: &[&str]) -> Output {
        self.inside("curl")
            .args(["--silent", "--show-error"])
            .args(arguments)
            .output()
            .unwrap()
    }

    /// Uploads a file with `curl -T`, which must succeed.
    pub(crate) fn upload(&self, file: &Path, url: &str) {
        let uploaded = self.curl(&["--upload-file", file.to_str().unwrap(), url]);
        assert!(uploaded.status.success(), "{uploaded:?}");
    }

    /// A file of so many bytes that are not all alike.
    pub(crate) fn file(&self, name: &str, bytes: usize) -> PathBuf {
        let path = self.dir.path().join(name);
        let block: Vec<u8> = (0..=250).collect();
        let mut content = block.repeat(bytes / block.len() + 1);
        content.truncate(bytes);
        fs::write(&path, content).unwrap();
        path
    }
}

/// A namespace beside the lab's.
pub(crate) struct Neighbour {
    namespace: String,
}

impl Neighbour {
    /// Its address towards the lab.
    pub(crate) const ADDRESS: &str = "10.77.0.2";

    /// The file that stands for the namespace.
    pub(crate) fn namespace_path(&self) -> PathBuf {
        Path::new("/run/netns").join(&self.namespace)
    }

    /// A program within the namespace.
    pub(crate) fn inside(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        inside(&self.namespace, program)
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        let _ = Command::new("ip")
            .args(["netns", "delete", &self.namespace])
            .status();
    }
}

fn inside(namespace: &str, program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new("nsenter");
    command
        .arg(format!("--net=/run/netns/{namespace}"))
        .arg(program);
    command
}

/// A Python program that says `ready` when it listens, and ends when its stdin does.
pub(crate) struct Script {
    child: Child,
    lines: Receiver<String>,
    /// What must be there as long as it runs.
    _held: Option<(Neighbour, Lab)>,
}

impl Script {
    /// Starts `program` (`nsenter … python3`) on this text.
    pub(crate) fn start(program: Command, text: &str) -> Self {
        Self::start_with(program, text, &[])
    }

    /// The same with arguments.
    pub(crate) fn start_with(mut program: Command, text: &str, arguments: &[&str]) -> Self {
        let mut child = program
            .args(["-u", "-c", text])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = child.stdout.take().unwrap();
        let (to, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines() {
                if to.send(line.unwrap()).is_err() {
                    break;
                }
            }
        });
        let script = Self {
            child,
            lines,
            _held: None,
        };
        assert_eq!(script.line(), "ready");
        script
    }

    /// Keeps its namespace and another until it has ended.
    pub(crate) fn holding(self, neighbour: Neighbour, lab: Lab) -> Self {
        let mut script = self;
        script._held = Some((neighbour, lab));
        script
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its next line.
    pub(crate) fn line(&self) -> String {
        self.lines.recv_timeout(*PATIENCE).unwrap()
    }

    /// Tells it something.
    pub(crate) fn send_line(&mut self, line: &str) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    /// Closes its stdin.
    pub(crate) fn end_input(&mut self) {
        drop(self.child.stdin.take());
    }

    /// Closes its stdin and waits; gives what it said since.
    pub(crate) fn end(mut self) -> Vec<String> {
        self.end_input();
        assert!(self.child.wait().unwrap().success());
        self.lines.iter().collect()
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = Command::new("ip")
            .args(["netns", "delete", &self.namespace])
            .status();
    }
}

/// A running upload server.
pub(crate) struct Server {
    process: Process,
    pub(crate) address: SocketAddr,
}

impl Server {
    pub(crate) fn pid(&self) -> u32 {
        self.process.child.id()
    }

    pub(crate) fn url(&self, name: &str) -> String {
        format!("http://{}/{name}", self.address)
    }

    /// Ends the server as nobody can refuse.
    pub(crate) fn kill(mut self) {
        self.process.child.kill().unwrap();
        self.process.child.wait().unwrap();
    }

    pub(crate) fn stop(self) {
        let status = self.process.stop();
        assert!(status.success(), "the upload server ended with {status}");
    }
}

/// An attached tracer.
pub(crate) struct Tracer {
    process: Process,
    lines: Receiver<String>,
    seen: Vec<String>,
}

impl Tracer {
    fn start(mut command: Command, notify: &Path) -> Self {
        command.stdout(Stdio::piped());
        let mut process = Process::start(command, notify);
        let stdout = process.child.stdout.take().unwrap();
        let (to, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines() {
                if to.send(line.unwrap()).is_err() {
                    break;
                }
            }
        });
        Self {
            process,
            lines,
            seen: Vec::new(),
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.child.id()
    }

    /// Waits for so many timelines.
    pub(crate) fn wait_for_timelines(&mut self, count: usize) {
        self.wait_for("timeline", count);
    }

    /// Waits for so many lines of a type.
    pub(crate) fn wait_for(&mut self, kind: &str, count: usize) {
        let start = format!(r#"{{"type":"{kind}""#);
        let mut found = 0;
        while found < count {
            let line = self.lines.recv_timeout(*PATIENCE).unwrap_or_else(|error| {
                panic!("{found} of {count} lines of type {kind} came, then: {error}");
            });
            found += usize::from(line.starts_with(&start));
            self.seen.push(line);
        }
    }

    /// Ends the tracer as nobody can refuse.
    pub(crate) fn kill(mut self) {
        self.process.child.kill().unwrap();
        self.process.child.wait().unwrap();
    }

    /// Ends the tracer by a signal.
    pub(crate) fn end_by(self, signal: Signal) -> std::process::ExitStatus {
        let pid = Pid::from_raw(i32::try_from(self.pid()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
        self.wait()
    }

    /// Waits for its end.
    pub(crate) fn wait(mut self) -> std::process::ExitStatus {
        self.process.child.wait().unwrap()
    }

    /// Ends a tracer that writes text; gives all it said.
    pub(crate) fn stop_text(mut self) -> String {
        let status = self.process.signal_and_wait();
        assert!(status.success(), "the tracer ended with {status}");
        self.seen.extend(self.lines.iter());
        self.seen.join("\n")
    }

    /// Waits for a line of text that has this in it.
    pub(crate) fn wait_for_text(&mut self, part: &str) {
        loop {
            let line = self.lines.recv_timeout(*PATIENCE).unwrap();
            let found = line.contains(part);
            self.seen.push(line);
            if found {
                break;
            }
        }
    }

    /// What it wrote by now.
    pub(crate) fn lines_so_far(&mut self) -> Trace {
        self.seen.extend(self.lines.try_iter());
        Trace::new(self.seen.clone())
    }

    /// Ends the tracer; gives all it said.
    pub(crate) fn stop(mut self) -> Trace {
        let status = self.process.signal_and_wait();
        assert!(status.success(), "the tracer ended with {status}");
        self.seen.extend(self.lines.iter());
        Trace::new(self.seen)
    }
}

/// A child that says when it is ready (`sd_notify(3)`) and is ended with the test.
pub(crate) struct Process {
    child: Child,
}

impl Process {
    fn start(mut command: Command, notify: &Path) -> Self {
        let _ = fs::remove_file(notify);
        let socket = UnixDatagram::bind(notify).unwrap();
        fs::set_permissions(notify, Permissions::from_mode(0o777)).unwrap();
        let deadline = Instant::now() + *PATIENCE;
        // Who ends instead says nothing there.
        let turn = Duration::from_millis(200);
        socket.set_read_timeout(Some(turn)).unwrap();
        command.env("NOTIFY_SOCKET", notify).stdin(Stdio::null());
        let mut process = Self {
            child: command.spawn().unwrap(),
        };
        let mut message = [0; 4096];
        loop {
            let length = match socket.recv(&mut message) {
                Ok(length) => length,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::WouldBlock);
                    let ended = process.child.try_wait().unwrap();
                    assert_eq!(ended, None, "it ended instead of being ready");
                    assert!(Instant::now() < deadline, "it never was ready");
                    continue;
                }
            };
            if message[..length]
                .split(|byte| *byte == b'\n')
                .any(|line| line == b"READY=1")
            {
                return process;
            }
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Waits for its end.
    pub(crate) fn wait(mut self) -> std::process::ExitStatus {
        self.child.wait().unwrap()
    }

    /// What comes out of it, once.
    pub(crate) fn stdout(&mut self) -> ChildStdout {
        self.child.stdout.take().unwrap()
    }

    pub(crate) fn stop(mut self) -> std::process::ExitStatus {
        self.signal_and_wait()
    }

    /// Ends a process whose output is piped and short; gives all of it.
    pub(crate) fn interrupt(mut self) -> Output {
        let status = self.signal_and_wait();
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        self.stdout().read_to_end(&mut stdout).unwrap();
        let mut piped = self.child.stderr.take().unwrap();
        piped.read_to_end(&mut stderr).unwrap();
        Output {
            status,
            stdout,
            stderr,
        }
    }

    fn signal_and_wait(&mut self) -> std::process::ExitStatus {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        let _ = kill_process(pid, Signal::TERM);
        self.child.wait().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a command that must succeed.
pub(crate) fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// Waits for what the kernel does in its own time and tells nobody.
pub(crate) fn wait_until(done: impl Fn() -> bool) {
    let deadline = Instant::now() + *PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "it never came");
        thread::yield_now();
    }
}

/// Whether an accepted connection is known by itself from LISTEN→SYN_RECV on: before Linux 6.15
/// (commit a3a128f611a9) the kernel tells that of a socket without a peer, which bears the
/// listener's cookie.
pub(crate) fn has_states_from_listen_on() -> bool {
    is_linux((6, 15))
}

/// Whether the kernel tells of retransmissions that did not leave (commit ad892e912b84).
pub(crate) fn has_failed_retransmits() -> bool {
    is_linux((6, 17))
}

/// Whether the kernel says why it sends a RST (`tcp_send_reset`, Linux 6.10; the reasons of TCP, 6.12).
pub(crate) fn has_reset_reasons() -> bool {
    is_linux((6, 12))
}

/// Whether the kernel has the helpers that the tracer's programs call.
pub(crate) fn has_helpers() -> bool {
    is_linux((5, 12))
}

/// Whether programs can be attached to the kernel's functions: on ARM, the trampolines that this needs came later.
pub(crate) fn has_trampolines() -> bool {
    !cfg!(target_arch = "aarch64") || is_linux((6, 4))
}

fn is_linux(at_least: (u32, u32)) -> bool {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    let mut next = || -> u32 { numbers.next().unwrap().parse().unwrap() };
    (next(), next()) >= at_least
}

/// Whether this is one of the machines of `cargo xtask kernels`, which emulate their processor.
pub(crate) fn is_emulated() -> bool {
    *SLOWNESS > 1
}

/// Says why a test can show nothing here, past the capture of output: `cargo xtask kernels` reads
/// it.
pub(crate) fn skip(reason: &str) {
    past_capture("skipped", reason);
}

/// Says what a test measured, likewise.
pub(crate) fn report_figures(figures: &str) {
    past_capture("measured", figures);
}

fn past_capture(what: &str, text: &str) {
    let line = format!("{what}: {text}\n");
    std::io::stderr().write_all(line.as_bytes()).unwrap();
}

fn server_binary() -> PathBuf {
    let binary = Path::new(env!("CARGO_BIN_EXE_tracer")).with_file_name("upload-server");
    assert!(
        binary.exists(),
        "{} is not built: `cargo xtask test` builds the whole workspace",
        binary.display()
    );
    binary
}
