//! The tracer with no more rights than it needs, before it is attached and after.

use std::{
    fs::{self, File, Permissions},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown},
    path::Path,
    process::{Command, Stdio},
};

use rustix::{process::Signal, thread::CapabilitySet};
use tracer::internals::privileges;

use crate::{
    lab::{Lab, Tracer, run, wait_until},
    trace::steps,
};

pub(crate) const THREE: [&str; 3] = ["cap_bpf", "cap_perfmon", "cap_net_admin"];

/// No user of the machine needs this id.
const SOMEBODY: u32 = 4_000_124;

/// The tracer as somebody who has these capabilities and no others.
pub(crate) fn restricted(tracer: &Path, capabilities: &[&str], arguments: &str) -> Command {
    let ambient: Vec<String> = capabilities.iter().map(|name| format!("^{name}")).collect();
    let iab = format!("--iab={}", ambient.join(","));
    let ids = [format!("--gid={SOMEBODY}"), format!("--uid={SOMEBODY}")];
    let mut command = Command::new("capsh");
    command
        .args(["--groups=", &ids[0], "--keep=1", &ids[1]])
        .args([&iab, "--", "-c"])
        .arg(format!("exec {} {arguments}", tracer.display()));
    command
}

/// An upload is traced whole, and its owners are known; gives what the tracer said beside.
fn check_traces(lab: &Lab, mut tracer: Command) -> String {
    let stderr_file = lab.dir.path().join("said");
    tracer.stderr(File::create(&stderr_file).unwrap());
    let server = lab.server(&["--on-duplicate", "overwrite"]);
    let mut tracer = lab.tracer_by(tracer);
    lab.upload(&lab.file("cat.png", 100_000), &server.url("cat.png"));
    tracer.wait_for_timelines(1);
    let trace = tracer.stop();
    // Others on this machine may use the same port.
    let timelines = trace.timelines();
    let pid = server.pid();
    let timeline = timelines.iter().find(|one| one["server"]["pid"] == pid);
    let timeline = timeline.unwrap_or_else(|| panic!("{timelines:#?}"));
    assert_eq!(timeline["complete"], true, "{timeline:#}");
    assert_eq!(
        steps(timeline, 0),
        ["client SYN", "server SYN-ACK", "client ACK"]
    );
    assert_eq!(timeline["client"]["comm"], "curl");
    assert_eq!(timeline["server"]["comm"], "upload-server");
    server.stop();
    fs::read_to_string(stderr_file).unwrap()
}

#[test]
fn three_capabilities_suffice() {
    let lab = Lab::new();
    let tracer = lab.everybodys_tracer();
    let arguments = "-o ndjson --port 5000";
    let stderr_file = check_traces(&lab, restricted(&tracer, &THREE, arguments));
    let processes = "have no owner: processes that may not be looked into: ";
    assert!(stderr_file.contains(processes), "{stderr_file}");
    // With a file's capabilities, /proc/self is not the process's own.
    run(Command::new("setcap")
        .arg(format!("{}=ep", THREE.join(",")))
        .arg(&tracer));
    let stderr_file = check_traces(&lab, restricted(&tracer, &[], arguments));
    assert!(stderr_file.contains(processes), "{stderr_file}");
}

#[test]
fn unknown_sockets_are_reported() {
    let lab = Lab::new();
    let server = lab.server(&[]);
    let tracer = lab.everybodys_tracer();
    let pid = server.pid().to_string();
    let check = |capabilities: &[&str], sentences: &[&str]| {
        let capabilities = [&THREE[..], capabilities].concat();
        let arguments = format!("--pid {pid} --duration 0");
        let output = restricted(&tracer, &capabilities, &arguments)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{stderr}");
        let accepted = "connections accepted by the chosen processes may be missing: ";
        let left_out = stderr
            .lines()
            .find_map(|line| line.split_once(accepted))
            .map_or("", |(_, left_out)| left_out);
        assert_eq!(left_out.is_empty(), sentences.is_empty(), "{stderr}");
        assert!(
            sentences.iter().all(|one| left_out.contains(one)),
            "{stderr}"
        );
    };
    let processes = "(it takes CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH)";
    let namespaces = "(it takes CAP_SYS_ADMIN)";
    let looking = ["cap_sys_ptrace", "cap_dac_read_search"];
    check(&[], &[processes]);
    check(&looking, &[namespaces]);
    check(&["cap_sys_ptrace"], &[processes, namespaces]);
    check(&[&looking[..], &["cap_sys_admin"]].concat(), &[]);
    server.stop();
}

#[test]
fn each_missing_capability_is_named() {
    let lab = Lab::new();
    let tracer = lab.everybodys_tracer();
    for missing in THREE {
        let others: Vec<&str> = THREE.into_iter().filter(|name| *name != missing).collect();
        let output = restricted(&tracer, &others, "--all").output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        let sentence = format!("without {}: run", missing.to_uppercase());
        assert!(stderr.contains(&sentence), "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
    }
}

/// A thread of the tracer.
#[derive(Debug)]
struct Held {
    thread: String,
    /// Its capabilities, permitted or effective.
    capabilities: CapabilitySet,
    /// Those that a program which it executes would have.
    inherited: CapabilitySet,
    no_new_privileges: bool,
}

impl Held {
    /// Of each thread there is.
    fn by(tracer: &Tracer) -> Vec<Self> {
        let threads = fs::read_dir(format!("/proc/{}/task", tracer.pid())).unwrap();
        threads
            .filter_map(|thread| {
                // It may end meanwhile, with what it held.
                let status = fs::read_to_string(thread.unwrap().path().join("status")).ok()?;
                let field = |name: &str| {
                    let line = status.lines().find_map(|line| line.strip_prefix(name));
                    line.unwrap().trim().to_owned()
                };
                let set = |name| {
                    let bits = u64::from_str_radix(&field(name), 16).unwrap();
                    CapabilitySet::from_bits_retain(bits)
                };
                Some(Self {
                    thread: field("Name:"),
                    capabilities: set("CapPrm:") | set("CapEff:"),
                    inherited: set("CapInh:") | set("CapAmb:"),
                    no_new_privileges: field("NoNewPrivs:") == "1",
                })
            })
            .collect()
    }

    fn is_first(&self) -> bool {
        self.thread == "tracer"
    }
}

/// What the tracer keeps once it is attached, and once the threads that helped it with that have
/// ended: on its first thread, beside what every thread there reads maps with, and on all its sinks.
fn check_keeps(lab: &Lab, arguments: &[&str], first: CapabilitySet, sinks: CapabilitySet) {
    let tracer = lab.tracer_alone(arguments);
    let of = |held: &[Held], first: bool| {
        let chosen = held.iter().filter(|held| held.is_first() == first);
        chosen.map(|held| held.capabilities).collect()
    };
    let first = first | privileges::for_reading();
    wait_until(|| {
        let held = Held::by(&tracer);
        let rest: CapabilitySet = of(&held, false);
        held.iter().all(|held| held.no_new_privileges) && rest == sinks
    });
    let held = Held::by(&tracer);
    tracer.end_by(Signal::TERM);
    let found: CapabilitySet = of(&held, true);
    assert_eq!(found, first, "{arguments:?}: {held:?}");
    for held in &held {
        assert_eq!(held.inherited, CapabilitySet::empty(), "{held:?}");
    }
}

/// All capabilities that the tracer's threads hold.
pub(crate) fn held_by(tracer: &Tracer) -> CapabilitySet {
    Held::by(tracer)
        .iter()
        .map(|held| held.capabilities)
        .collect()
}

/// What a thread of the tracer may hold without a command to signal.
fn privileges_while_reading(held: &Held) -> CapabilitySet {
    if held.is_first() {
        privileges::for_reading()
    } else {
        CapabilitySet::empty()
    }
}

#[test]
fn unneeded_capabilities_are_dropped() {
    let lab = Lab::new();
    let server = lab.server(&[]);
    let path = |name: &str| lab.dir.path().join(name).to_str().unwrap().to_owned();
    let (control, trace, pcapng) = (path("control"), path("trace"), path("pcapng"));
    let nothing = CapabilitySet::empty();
    check_keeps(&lab, &["--port", "5000"], nothing, nothing);
    let with_server = ["--server", &control];
    check_keeps(&lab, &with_server, nothing, nothing);
    let with_capture = ["--port", "5000", "--pcapng", &pcapng];
    check_keeps(&lab, &with_capture, nothing, nothing);
    let with_metrics = ["--port", "5000", "--metrics", "127.0.0.1:0"];
    check_keeps(&lab, &with_metrics, nothing, nothing);
    let recorded = ["record", &trace, "--port", "5000"];
    check_keeps(&lab, &recorded, nothing, nothing);
    let command = ["--", "sleep", "60"];
    check_keeps(&lab, &command, CapabilitySet::KILL, nothing);
    server.stop();
}

/// No capability is left for it: all these belong to the caller, and are opened by a thread that is the
/// caller.
#[test]
fn others_files_sockets_and_processes_stay_within_reach() {
    let lab = Lab::new();
    let server = lab.server(&["--on-duplicate", "overwrite"]);
    chown(lab.control(), Some(SOMEBODY), Some(SOMEBODY)).unwrap();
    let directory = lab.dir.path().join("somebodys");
    fs::create_dir(&directory).unwrap();
    fs::set_permissions(&directory, Permissions::from_mode(0o700)).unwrap();
    chown(&directory, Some(SOMEBODY), Some(SOMEBODY)).unwrap();
    let [trace, pcapng] = ["trace", "pcapng"].map(|name| directory.join(name));
    let mut command = Command::new(env!("CARGO_BIN_EXE_tracer"));
    command
        .arg("record")
        .arg(&trace)
        .args(["-o", "ndjson", "--pcapng"])
        .arg(&pcapng)
        .arg("--server")
        .arg(lab.control())
        .env("SUDO_UID", SOMEBODY.to_string())
        .env("SUDO_GID", SOMEBODY.to_string());
    let mut tracer = lab.tracer_by(command);
    for path in [&trace, &pcapng] {
        fs::rename(path, path.with_extension("1")).unwrap();
    }
    let file = lab.file("small", 100);
    let is_somebodys = |path: &Path| fs::metadata(path).is_ok_and(|found| found.uid() == SOMEBODY);
    wait_until(|| {
        lab.upload(&file, &server.url("small"));
        is_somebodys(&trace) && is_somebodys(&pcapng)
    });
    for held in Held::by(&tracer) {
        assert_eq!(
            held.capabilities,
            privileges_while_reading(&held),
            "{held:?}"
        );
    }
    tracer.wait_for_timelines(1);
    let control = lab.control();
    wait_until(|| {
        let url = "http://control/uploads/1/timeline";
        let arguments = ["--fail", "--unix-socket", control.to_str().unwrap(), url];
        lab.curl(&arguments).status.success()
    });
    tracer.stop();
    server.stop();
}

#[test]
fn a_command_of_another_user_gets_its_signals() {
    let lab = Lab::new();
    let uid = run(Command::new("id").args(["-u", "nobody"]));
    let mut command = Command::new(env!("CARGO_BIN_EXE_tracer"));
    command
        .args(["--", "sh", "-c", "echo started; exec sleep 60"])
        .env("SUDO_UID", uid.trim());
    let mut tracer = lab.tracer_by(command);
    tracer.wait_for_text("started");
    assert_eq!(tracer.end_by(Signal::TERM).code(), Some(143));
}

/// The file's owner lends its rights to the tracer, and not to the command.
#[test]
fn the_command_of_a_setuid_tracer_is_the_callers() {
    let lab = Lab::new();
    let tracer = lab.everybodys_tracer();
    fs::set_permissions(&tracer, Permissions::from_mode(0o4755)).unwrap();
    let stdout = run(Command::new("setpriv")
        .args([format!("--reuid={SOMEBODY}"), format!("--regid={SOMEBODY}")])
        .arg("--clear-groups")
        .arg(&tracer)
        .args([
            "--",
            "sh",
            "-c",
            "grep -E '^(Uid|CapEff)' /proc/self/status",
        ])
        // Whoever may set these must gain nothing by it.
        .env("SUDO_UID", "0")
        .stdin(Stdio::null()));
    let uids = format!("Uid:\t{SOMEBODY}\t{SOMEBODY}\t{SOMEBODY}\t{SOMEBODY}");
    assert!(stdout.contains(&uids), "{stdout}");
    assert!(stdout.contains("CapEff:\t0000000000000000"), "{stdout}");
}
