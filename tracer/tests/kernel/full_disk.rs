//! Outputs that cannot be written any more: a full disk, and a limit on the size of files. Each is reported
//! at once and once, and the others go on.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use rustix::process::Signal;

use crate::lab::{Lab, Tracer, run, wait_until};

const TRACER: &str = env!("CARGO_BIN_EXE_tracer");
/// Less than an upload makes of segments, more than the tracer's messages.
const LIMIT: &str = "131072";

/// A file system with so little room; unmounted when dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(lab: &Lab) -> Self {
        let path = lab.dir.path().join("disk");
        fs::create_dir(&path).unwrap();
        let size = format!("size={LIMIT}");
        run(Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "none"])
            .arg(&path));
        Self(path)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

fn limited() -> Command {
    let mut command = Command::new("prlimit");
    command.arg(format!("--fsize={LIMIT}")).arg(TRACER);
    command
}

/// Records and captures uploads until neither can be written, and some more.
fn check_goes_on(lab: &Lab, mut tracer: Command, directory: &Path) {
    let [recording, capture] = ["trace", "pcapng"].map(|name| directory.join(name));
    let log = lab.dir.path().join("log");
    tracer
        .args(["-o", "ndjson", "--port", "5000", "--pcapng"])
        .arg(&capture)
        .stderr(File::create(&log).unwrap());
    let server = lab.server(&["--on-duplicate", "overwrite"]);
    let mut tracer: Tracer = lab.tracer_by(tracer);
    let log = || fs::read_to_string(&log).unwrap();
    let names = [
        format!("the recording {}", recording.display()),
        capture.display().to_string(),
    ];
    let sentences = names.map(|name| format!("tracer: {name} cannot be written any more"));
    let file = lab.file("cat.png", 1_000_000);
    let mut uploads = 0;
    while !sentences.iter().all(|sentence| log().contains(sentence)) {
        lab.upload(&file, &server.url("cat.png"));
        uploads += 1;
        tracer.wait_for_timelines(1);
        assert!(uploads < 1000, "{}", log());
    }
    lab.upload(&file, &server.url("cat.png"));
    tracer.wait_for_timelines(1);
    let status = tracer.end_by(Signal::TERM);
    server.stop();
    let log = log();
    assert_eq!(status.code(), Some(1), "{log}");
    for sentence in &sentences {
        assert_eq!(log.matches(sentence).count(), 1, "{log}");
    }
    assert!(
        log.contains(" records were left out of the recording"),
        "{log}"
    );
    let lines = format!(" lines were left out of {}", capture.display());
    assert_eq!(log.matches(&lines).count(), 1, "{log}");
    // What was written is whole.
    let frames = run(Command::new("tshark").args(["-n", "-r"]).arg(&capture));
    assert!(frames.lines().count() > 0, "{frames}");
    run(Command::new(TRACER).arg("replay").arg(&recording));
}

#[test]
fn a_full_disk_ends_no_other_output() {
    let lab = Lab::new();
    let disk = SmallDisk::mount(&lab);
    let mut tracer = Command::new(TRACER);
    tracer.arg("record").arg(disk.0.join("trace"));
    check_goes_on(&lab, tracer, &disk.0);
}

/// SIGXFSZ would end the tracer without a word.
#[test]
fn a_limit_on_the_size_of_files_ends_no_other_output() {
    let lab = Lab::new();
    let directory = lab.dir.path().to_owned();
    let mut tracer = limited();
    tracer.arg("record").arg(directory.join("trace"));
    check_goes_on(&lab, tracer, &directory);
}

/// With no output left, the run is over.
#[test]
fn a_full_stdout_alone_ends_the_run() {
    let lab = Lab::new();
    let server = lab.server(&["--on-duplicate", "overwrite"]);
    let [lines, log] = ["lines", "log"].map(|name| lab.dir.path().join(name));
    let file = lab.file("cat.png", 1_000_000);
    let mut tracer = limited()
        .args(["-o", "ndjson", "--port", "5000", "--segments"])
        .stdin(Stdio::null())
        .stdout(File::create(&lines).unwrap())
        .stderr(File::create(&log).unwrap())
        .spawn()
        .unwrap();
    let log = || fs::read_to_string(&log).unwrap();
    wait_until(|| log().contains("attached"));
    let status = loop {
        if let Some(status) = tracer.try_wait().unwrap() {
            break status;
        }
        lab.upload(&file, &server.url("cat.png"));
    };
    server.stop();
    let log = log();
    assert_eq!(status.code(), Some(1), "{log}");
    let sentence =
        "tracer: stdout cannot be written any more, and the rest is left out: File too large";
    assert_eq!(log.matches(sentence).count(), 1, "{log}");
    assert_eq!(
        log.matches(" lines were left out of stdout").count(),
        1,
        "{log}"
    );
}
