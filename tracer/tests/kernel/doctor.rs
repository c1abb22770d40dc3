//! `tracer doctor` on this machine, whole and with parts taken away.

use std::{
    collections::BTreeMap,
    process::{Command, Stdio},
};

use tracer::internals::kernel::cgroups::cgroup2_root;

use crate::{
    lab::{Lab, run},
    privileges::{THREE, restricted},
};

const TRACER: &str = env!("CARGO_BIN_EXE_tracer");

/// What the doctor says of each thing: the verdicts, and all the text.
struct Report {
    verdicts: BTreeMap<String, Vec<String>>,
    text: String,
    status: Option<i32>,
}

impl Report {
    fn by(mut doctor: Command) -> Self {
        let output = doctor.stdin(Stdio::null()).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(stderr, "", "{text}");
        let mut verdicts: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for line in text.lines() {
            let (what, rest) = line.split_at(17);
            let (verdict, _) = rest.split_once(' ').unwrap();
            let of_it = verdicts.entry(what.trim_end().to_owned()).or_default();
            of_it.push(verdict.to_owned());
        }
        Self {
            verdicts,
            text,
            status: output.status.code(),
        }
    }

    fn check(&self, what: &str, verdict: &str) {
        assert_eq!(self.verdicts[what], [verdict], "{}", self.text);
    }
}

/// Begins a command that may not mount anything.
const WITHOUT_MOUNTING: &str = "exec setpriv --bounding-set=-sys_admin --inh-caps=-sys_admin";

fn hidden(script: &str) -> Report {
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c"]);
    let exec = if script.ends_with(WITHOUT_MOUNTING) {
        ""
    } else {
        "&& exec "
    };
    command.arg(format!("{script} {exec}{TRACER} doctor"));
    Report::by(command)
}

#[test]
fn root_can_trace_and_sees_what_the_kernel_prints() {
    let lab = Lab::new();
    let mut doctor = Command::new(TRACER);
    doctor.arg("doctor");
    let report = Report::by(doctor);
    assert_eq!(report.status, Some(0), "{}", report.text);
    let always = [
        "kernel",
        "capabilities",
        "others' sockets",
        "PID namespace",
        "BTF",
        "cgroup v2",
        "ring buffer",
        "lockdown",
        "locked memory",
        "programs",
        "printed trace",
        "sock_diag",
        "process ids",
    ];
    for what in always {
        report.check(what, "ok");
    }
    // What older kernels have not is lost, and the rest is not.
    assert_eq!(report.verdicts["tracepoint"].len(), 11, "{}", report.text);
    assert_eq!(report.verdicts["tracepoint"][0], "ok");
    // A hook is no loss where others take its place. On ARM, they do from Linux 6.4 on.
    if cfg!(target_arch = "x86_64") {
        let lost = "which process sends on a connection";
        assert!(!report.text.contains(lost), "{}", report.text);
    }
    let instances = run(Command::new("unshare").args([
        "--mount",
        "sh",
        "-c",
        "mount -t tracefs none \"$0\" && ls \"$0/instances\"",
        lab.dir.path().to_str().unwrap(),
    ]));
    assert!(!instances.contains("tracer-doctor"), "{instances}");
}

#[test]
fn without_a_capability_nothing_can_be_traced() {
    let lab = Lab::new();
    let tracer = lab.everybodys_tracer();
    for missing in THREE {
        let others: Vec<&str> = THREE.into_iter().filter(|name| *name != missing).collect();
        let report = Report::by(restricted(&tracer, &others, "doctor"));
        assert_eq!(report.status, Some(1), "{}", report.text);
        report.check("capabilities", "missing");
        report.check("programs", "missing");
        let sentence = format!("{}: run the tracer as root", missing.to_uppercase());
        assert!(report.text.contains(&sentence), "{}", report.text);
    }
}

#[test]
fn three_capabilities_trace_and_the_rest_is_listed() {
    let lab = Lab::new();
    let tracer = lab.everybodys_tracer();
    let report = Report::by(restricted(&tracer, &THREE, "doctor"));
    assert_eq!(report.status, Some(0), "{}", report.text);
    report.check("capabilities", "ok");
    report.check("programs", "ok");
    report.check("sock_diag", "ok");
    report.check("others' sockets", "degraded");
    report.check("printed trace", "degraded");
}

/// Where it is not mounted the tracer mounts it for itself, which takes a capability.
#[test]
fn without_cgroup_v2_the_segments_are_lost() {
    let _lab = Lab::new();
    let root = cgroup2_root().unwrap().unwrap();
    let unmount = format!("umount --lazy {}", root.display());
    let report = hidden(&unmount);
    assert_eq!(report.status, Some(0), "{}", report.text);
    report.check("cgroup v2", "ok");
    report.check("printed trace", "ok");
    let report = hidden(&format!("{unmount} && {WITHOUT_MOUNTING}"));
    assert_eq!(report.status, Some(0), "{}", report.text);
    report.check("cgroup v2", "degraded");
    report.check("sock_diag", "ok");
}

#[test]
fn without_type_information_nothing_can_be_traced() {
    let _lab = Lab::new();
    let report = hidden("mount -t tmpfs none /sys/kernel/btf");
    assert_eq!(report.status, Some(1), "{}", report.text);
    report.check("BTF", "missing");
    assert!(report.text.contains("CONFIG_DEBUG_INFO_BTF=y"));
}
