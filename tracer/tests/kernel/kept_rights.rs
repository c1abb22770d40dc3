//! What an attached tracer could still do that its caller could not: read from each of its threads, and tried
//! by a process that has the same rights.

use std::{
    collections::BTreeSet,
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::Command,
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{
    lab::{Lab, is_emulated, run, skip, wait_until},
    privileges::THREE,
};

/// No user of the machine needs this id.
const CALLER: u32 = 4_000_128;

/// Each line is an attempt that takes a right; prints those that succeed.
const ATTEMPTS: &str = r#"
import ctypes, errno, os, socket, struct, sys, tempfile
libc = ctypes.CDLL(None, use_errno=True)
root = int(sys.argv[1])
def call(number, *arguments):
    if libc.syscall(number, *arguments) < 0:
        error = ctypes.get_errno()
        # Anything else is found wrong only once the right is there.
        if error in (errno.EPERM, errno.EACCES): raise OSError(error, "refused")
def load_program():
    code = ctypes.create_string_buffer(struct.pack("<BBhiBBhi", 0xb7, 0, 0, 0, 0x95, 0, 0, 0))
    licence = ctypes.create_string_buffer(b"GPL")
    call(321, 5, ctypes.create_string_buffer(struct.pack("<IIQQ", 1, 2, ctypes.addressof(code), ctypes.addressof(licence)) + bytes(104)), 128)
def own_file():
    return tempfile.NamedTemporaryFile(dir="/tmp")
def device(path):
    try: os.mknod(path, 0o20600, os.makedev(1, 1))
    finally:
        if os.path.exists(path): os.unlink(path)
def low_port():
    with socket.socket() as s: s.bind(("127.0.0.1", 81))
def mark():
    with socket.socket() as s: s.setsockopt(socket.SOL_SOCKET, 36, 1)
def chown_away():
    with own_file() as f: os.fchown(f.fileno(), 1, 1)
def become_root():
    if os.getuid() == 0: return
    os.setuid(0)
    os._exit(3)
attempts = {
    "read /etc/shadow": lambda: open("/etc/shadow").read(),
    "write /etc/passwd": lambda: open("/etc/passwd", "a").close(),
    "write a root's directory": lambda: tempfile.NamedTemporaryFile(dir="/etc").close(),
    "read the memory of a root's process": lambda: os.close(os.open(f"/proc/{root}/mem", os.O_RDONLY)),
    "list the descriptors of a root's process": lambda: os.listdir(f"/proc/{root}/fd"),
    "send a root's process a signal": lambda: os.kill(root, 0),
    "load a program": load_program,
    "observe a processor": lambda: call(298, ctypes.create_string_buffer(struct.pack("<IIQ", 1, 112, 0) + bytes(96)), -1, 0, -1, 0),
    "open a raw socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1).close(),
    "open a packet socket": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0).close(),
    "mark packets": mark,
    "bind a low port": low_port,
    "give a file away": chown_away,
    "make a device": lambda: device("/tmp/attempt-%d" % os.getpid()),
    "enter the mounts of a root's process": lambda: os.close(os.open(f"/proc/{root}/ns/mnt", os.O_RDONLY)),
    "change the mounts": lambda: call(272, 0x20000),
    "change the root directory": lambda: os.chroot("/"),
    "set the clock": lambda: call(305, 0, ctypes.create_string_buffer(struct.pack("<I", 0x2) + bytes(204))),
    "name the machine": lambda: socket.sethostname(socket.gethostname()),
    "become root": become_root,
}
for name, attempt in attempts.items():
    try: attempt()
    except OSError: continue
    print(name)
"#;

/// The attempts that succeed in the rights of this command.
fn attempts(mut command: Command) -> BTreeSet<String> {
    // The test is a process of root's.
    let root = std::process::id().to_string();
    let stdout = run(command.args(["/usr/bin/python3", "-c", ATTEMPTS, &root]));
    stdout.lines().map(str::to_owned).collect()
}

fn setpriv(arguments: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(arguments.split(' '));
    command
}

/// The rights of a thread, as `/proc` shows them.
fn rights(status: &str) -> String {
    const FIELDS: [&str; 10] = [
        "Uid:",
        "Gid:",
        "Groups:",
        "NoNewPrivs:",
        "Seccomp:",
        "CapInh:",
        "CapPrm:",
        "CapEff:",
        "CapAmb:",
        "CapBnd:",
    ];
    let lines = status
        .lines()
        .filter(|line| FIELDS.iter().any(|name| line.starts_with(name)));
    lines.map(str::trim).collect::<Vec<_>>().join("\n")
}

/// Of every thread of a process; those that have the same, once.
fn rights_of(pid: u32) -> BTreeSet<String> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
    // A thread may end meanwhile.
    threads
        .filter_map(|thread| fs::read_to_string(thread.path().join("status")).ok())
        .map(|status| rights(&status))
        .collect()
}

/// What the process has open, by kind.
fn descriptors_of(pid: u32) -> BTreeSet<String> {
    let links = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
    links
        .filter_map(|link| fs::read_link(link.path()).ok())
        .map(|path| {
            let path = path.to_string_lossy().into_owned();
            let kind = path.split(":[").next().unwrap_or_default();
            kind.strip_prefix("anon_inode:").unwrap_or(kind).to_owned()
        })
        .collect()
}

/// Exactly the caller's rights, in every thread; and by trying, nothing that the caller could not do.
fn check(pid: u32) {
    let own = |all: &BTreeSet<String>| {
        all.len() == 1
            && all.iter().all(|one| {
                let ids = format!("{CALLER}\t{CALLER}\t{CALLER}\t{CALLER}");
                let none = ["CapInh", "CapPrm", "CapEff", "CapAmb"]
                    .map(|set| format!("{set}:\t0000000000000000"));
                one.contains(&format!("Uid:\t{ids}"))
                    && one.contains(&format!("Gid:\t{ids}"))
                    && one.contains(&format!("Groups:\t{CALLER}"))
                    && one.contains("NoNewPrivs:\t1")
                    && none.iter().all(|set| one.contains(set))
            })
    };
    // Threads that helped with attaching end by themselves.
    wait_until(|| own(&rights_of(pid)) || !Path::new(&format!("/proc/{pid}")).exists());
    let all = rights_of(pid);
    assert!(own(&all), "{all:?}");
    let ids = format!("--reuid={CALLER} --regid={CALLER} --groups={CALLER}");
    let same = format!("{ids} --no-new-privs --inh-caps=-all --ambient-caps=-all");
    let tried = attempts(setpriv(&same));
    let callers = attempts(setpriv(&ids));
    let more: Vec<_> = tried.difference(&callers).collect();
    assert!(more.is_empty(), "{more:?}");
    // What is left are descriptors: of the tracer's own programs, and of nothing else that others lack.
    let open = descriptors_of(pid);
    for of_kernel in open
        .iter()
        .filter(|kind| kind.contains("bpf") || kind.contains("perf"))
    {
        assert!(
            [
                "bpf-map",
                "bpf-prog",
                "bpf_link",
                "bpf-link",
                "[perf_event]"
            ]
            .contains(&of_kernel.as_str()),
            "{open:?}"
        );
    }
    let inherited = descriptors_of(std::process::id());
    for path in open.iter().filter(|kind| kind.starts_with('/')) {
        let allowed = ["/dev/null", "/sys/fs/cgroup", "/proc/", "/tmp/"];
        assert!(
            inherited.contains(path) || allowed.iter().any(|start| path.starts_with(start)),
            "{path}"
        );
    }
}

/// A process that is killed where a test fails.
struct Killed(i32);

impl Drop for Killed {
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Some(pid) = Pid::from_raw(self.0)
        {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

/// A folder that the caller may enter, with a tracer in it.
fn prepare(lab: &Lab) -> std::path::PathBuf {
    let tracer = lab.everybodys_tracer();
    fs::set_permissions(lab.dir.path(), Permissions::from_mode(0o755)).unwrap();
    tracer
}

/// Each attempt is one that root succeeds with, and that others do not.
#[test]
fn the_attempts_take_rights() {
    let of_root = attempts(Command::new("env"));
    let all = ATTEMPTS.matches("\": ").count();
    assert_eq!(of_root.len(), all, "{of_root:?}");
    let of_nobody = attempts(setpriv("--reuid=65534 --regid=65534 --clear-groups"));
    assert!(of_nobody.is_empty(), "{of_nobody:?}");
    // Root without capabilities owns the system's files still.
    let of_bare_root = attempts(setpriv(
        "--no-new-privs --inh-caps=-all --bounding-set=-all",
    ));
    assert!(
        of_bare_root.contains("write /etc/passwd"),
        "{of_bare_root:?}"
    );
}

#[test]
fn under_sudo_the_tracer_has_the_callers_rights_alone() {
    let lab = Lab::new();
    if is_emulated() {
        skip("these machines have no sudo");
        return;
    }
    let tracer = prepare(&lab);
    let file = |name: &str, text: String| {
        let path = lab.dir.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o440)).unwrap();
        path
    };
    let passwd = fs::read_to_string("/etc/passwd").unwrap();
    let user = format!("tracer-caller:*:{CALLER}:{CALLER}::/nonexistent:/bin/sh\n");
    let passwd = file("passwd", passwd + &user);
    fs::set_permissions(&passwd, Permissions::from_mode(0o644)).unwrap();
    let rule = format!(
        "Defaults env_keep += NOTIFY_SOCKET\nDefaults !use_pty\nroot ALL = ALL\n\
         tracer-caller ALL = (root) NOPASSWD: {}\n",
        tracer.display()
    );
    let sudoers = file("sudoers", rule);
    let script = format!(
        "mount --bind {} /etc/passwd && mount --bind {} /etc/sudoers && exec setpriv \
         --reuid={CALLER} --regid={CALLER} --groups={CALLER} sudo -n {} --port 5000",
        passwd.display(),
        sudoers.display(),
        tracer.display()
    );
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", &script]);
    let sudo = lab.process(command);
    let children = format!("/proc/{0}/task/{0}/children", sudo.pid());
    let children = fs::read_to_string(children).unwrap();
    let tracer = Killed(children.trim().parse().unwrap());
    check(u32::try_from(tracer.0).unwrap());
    sudo.signal(Signal::TERM);
    assert!(sudo.wait().success());
}

#[test]
fn with_file_capabilities_the_tracer_has_the_callers_rights_alone() {
    let lab = Lab::new();
    let tracer = prepare(&lab);
    run(Command::new("setcap")
        .arg(format!("{}=ep", THREE.join(",")))
        .arg(&tracer));
    let mut command = setpriv(&format!(
        "--reuid={CALLER} --regid={CALLER} --groups={CALLER}"
    ));
    let arguments = ["--port", "5000", "--metrics", "127.0.0.1:0"];
    command.arg(&tracer).args(arguments);
    let tracer = lab.process(command);
    check(tracer.pid());
    tracer.signal(Signal::TERM);
    assert!(tracer.wait().success());
}
