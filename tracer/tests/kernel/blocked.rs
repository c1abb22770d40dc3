//! Outputs, servers and commands that never move again: the tracer traces on, and ends in time.

use std::{
    fs::{self, File, Permissions},
    io::{self, PipeWriter, Read as _, Write as _},
    os::unix::{fs::PermissionsExt as _, net::UnixListener, process::ExitStatusExt as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{CWD, FileType, Mode, OFlags, fcntl_getfl, fcntl_setfl, mknodat},
    io::ioctl_fionread,
    pipe::fcntl_setpipe_size,
    process::{Pid, Signal, kill_process},
};
use tracer::internals::ending::{FOR_ALL, FOR_OUTPUTS};

use crate::lab::{Lab, Process, run, wait_until};

const TRACER: &str = env!("CARGO_BIN_EXE_tracer");
const PIPE: usize = 4096;

/// A pipe without room, and its reader, which reads nothing.
fn full_pipe() -> (PipeWriter, io::PipeReader) {
    let (reader, mut writer) = io::pipe().unwrap();
    let flags = fcntl_getfl(&writer).unwrap();
    fcntl_setfl(&writer, flags | OFlags::NONBLOCK).unwrap();
    while writer.write(&[b'.'; PIPE]).is_ok() {}
    fcntl_setfl(&writer, flags).unwrap();
    (writer, reader)
}

/// A pipe with a name and little room, and its reader, which reads nothing.
fn fifo(lab: &Lab, name: &str) -> (PathBuf, File) {
    let path = lab.dir.path().join(name);
    mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let reader = File::options().read(true).write(true).open(&path).unwrap();
    fcntl_setpipe_size(&reader, PIPE).unwrap();
    (path, reader)
}

fn is_full(reader: &File) -> bool {
    let mut writable = [PollFd::new(reader, PollFlags::OUT)];
    poll(&mut writable, Some(&Timespec::default())).unwrap() == 0
}

/// A tracer of the server's port, attached, with its stderr in this file.
fn tracer(lab: &Lab, log: &Path, arguments: &[&str], stdout: impl Into<Stdio>) -> Process {
    let mut command = Command::new(TRACER);
    command
        .args(arguments)
        .args(["--port", "5000"])
        .stdout(stdout)
        .stderr(File::create(log).unwrap());
    lab.process(command)
}

#[test]
fn the_end_has_a_deadline_whatever_is_blocked() {
    let lab = Lab::new();
    let server = lab.server(&["--on-duplicate", "overwrite"]);
    let log = |name: &str| lab.dir.path().join(name);
    let null = || Stdio::null();
    let [(stdout, _unread), (again, _unread_again)] = [full_pipe(), full_pipe()];
    let (recording, _unread_recording) = fifo(&lab, "recording");
    let (capture, _unread_capture) = fifo(&lab, "capture");
    let [recording, capture] = [&recording, &capture].map(|path| path.to_str().unwrap());
    let ndjson = ["-o", "ndjson"];
    let tracers = [
        ("stdout", tracer(&lab, &log("1"), &ndjson, stdout)),
        (
            "the recording",
            tracer(&lab, &log("2"), &["record", recording], null()),
        ),
        (
            capture,
            tracer(&lab, &log("3"), &["--pcapng", capture], null()),
        ),
    ];
    let impatient = tracer(&lab, &log("4"), &ndjson, again);
    let file = lab.file("cat.png", 1_000_000);
    for _ in 0..5 {
        lab.upload(&file, &server.url("cat.png"));
    }
    server.stop();
    let began = Instant::now();
    for (_, tracer) in &tracers {
        tracer.signal(Signal::TERM);
    }
    // A second signal ends the tracer at once.
    impatient.signal(Signal::INT);
    wait_until(|| is_ignored(&impatient, Signal::INT));
    impatient.signal(Signal::INT);
    assert_eq!(impatient.wait().signal(), Some(Signal::INT.as_raw()));
    assert!(began.elapsed() < FOR_OUTPUTS, "{:?}", began.elapsed());
    for (number, (name, tracer)) in (1..).zip(tracers) {
        let status = tracer.wait();
        let log = fs::read_to_string(log(&number.to_string())).unwrap();
        assert!(
            began.elapsed() < FOR_ALL,
            "{name}: {:?} {log}",
            began.elapsed()
        );
        assert_eq!(status.code(), Some(1), "{name}: {log}");
        let last = log.lines().last().unwrap();
        assert!(last.contains(&format!(" were left out of {name}")), "{log}");
        assert!(last.ends_with("could not be written within 5 s"), "{log}");
        assert!(!last.contains("tracer: 0 "), "{log}");
    }
}

/// Whether the signal was taken: its handler has run, and none is pending.
fn is_ignored(process: &Process, signal: Signal) -> bool {
    let status = fs::read_to_string(format!("/proc/{}/status", process.pid())).unwrap();
    let pending = status
        .lines()
        .find_map(|line| line.strip_prefix("ShdPnd:"))
        .unwrap();
    u64::from_str_radix(pending.trim(), 16).unwrap() & (1 << (signal.as_raw() - 1)) == 0
}

/// Where nobody reads a recording, timelines go on.
#[test]
fn a_recording_that_nobody_reads_holds_nothing_up() {
    let lab = Lab::new();
    let server = lab.server(&["--on-duplicate", "overwrite"]);
    let (recording, mut reader) = fifo(&lab, "recording");
    let arguments = ["record", recording.to_str().unwrap(), "-o", "ndjson"];
    let mut tracer = lab.tracer_alone(&[&arguments[..], &["--port", "5000"]].concat());
    let file = lab.file("small", 100);
    let mut uploads = 0;
    wait_until(|| {
        lab.upload(&file, &server.url("small"));
        is_full(&reader)
    });
    tracer.wait_for_timelines(1);
    for _ in 0..20 {
        lab.upload(&file, &server.url("small"));
        uploads += 1;
    }
    tracer.wait_for_timelines(uploads);
    server.stop();
    let pid = tracer.pid();
    kill_process(
        Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(),
        Signal::TERM,
    )
    .unwrap();
    // Who reads after all gets the rest, whole.
    let path = lab.dir.path().join("read");
    let mut read = File::create(&path).unwrap();
    let ended = std::thread::spawn(move || tracer.wait());
    let mut bytes = [0; PIPE];
    while !ended.is_finished() || ioctl_fionread(&reader).unwrap() > 0 {
        if ioctl_fionread(&reader).unwrap() > 0 {
            let length = reader.read(&mut bytes).unwrap();
            read.write_all(&bytes[..length]).unwrap();
        }
    }
    assert!(ended.join().unwrap().success());
    let replayed = run(Command::new(TRACER)
        .args(["replay", "-o", "ndjson"])
        .arg(path));
    let timelines = replayed.matches(r#"{"type":"timeline""#).count();
    assert!(timelines > uploads, "{timelines}");
    assert!(!replayed.contains(r#""type":"lost""#), "{replayed}");
}

/// What the tracer has to say is left out, and nothing else.
#[test]
fn a_stderr_that_nobody_reads_holds_nothing_up() {
    let lab = Lab::new();
    let server = lab.server(&[]);
    let (stderr, mut unread) = full_pipe();
    let mut command = Command::new(TRACER);
    command
        .args(["-o", "ndjson", "--port", "5000"])
        .stderr(stderr);
    let mut tracer = lab.tracer_by(command);
    lab.upload(&lab.file("small", 100), &server.url("small"));
    tracer.wait_for_timelines(1);
    server.stop();
    tracer.stop();
    let mut text = String::new();
    unread.read_to_string(&mut text).unwrap();
    assert!(text.bytes().all(|byte| byte == b'.'), "{text}");
}

/// At the start, too: one sentence, and the tracer goes on where it found the socket by itself.
#[test]
fn a_server_that_never_answers_is_not_waited_for() {
    let lab = Lab::new();
    fs::set_permissions(lab.dir.path(), Permissions::from_mode(0o700)).unwrap();
    let path = lab.dir.path().join("upload-server.sock");
    let _silent = UnixListener::bind(&path).unwrap();
    let start = |arguments: &[&str]| {
        Command::new(TRACER)
            .args(arguments)
            .args(["--duration", "0"])
            .env("XDG_RUNTIME_DIR", lab.dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let began = Instant::now();
    let both = [
        (start(&["--server", path.to_str().unwrap()]), Some(1), 1),
        (start(&[]), Some(0), 2),
    ];
    for (tracer, status, lines) in both {
        let output = tracer.wait_with_output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), status, "{stderr}");
        let sentence = format!(
            "the program at the control socket {} does not answer",
            path.display()
        );
        assert_eq!(stderr.matches(&sentence).count(), 1, "{stderr}");
        assert_eq!(stderr.lines().take(lines).count(), lines, "{stderr}");
    }
    assert!(began.elapsed() < Duration::from_secs(30));
}

/// It is not killed: whoever started it may want it to finish.
#[test]
fn a_command_that_ignores_signals_is_not_awaited_for_ever() {
    let lab = Lab::new();
    let log = lab.dir.path().join("log");
    let mut command = Command::new(TRACER);
    command
        .args([
            "--",
            "sh",
            "-c",
            "trap '' TERM; echo started; exec sleep 60",
        ])
        .stderr(File::create(&log).unwrap());
    let mut tracer = lab.tracer_by(command);
    tracer.wait_for_text("started");
    let pid = Pid::from_raw(i32::try_from(tracer.pid()).unwrap()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    let status = fs::read_to_string(format!("/proc/{}/status", tracer.pid())).unwrap();
    assert!(status.contains("Name:\ttracer"), "{status}");
    assert_eq!(tracer.end_by(Signal::TERM).code(), Some(143));
    let log = fs::read_to_string(log).unwrap();
    let (_, number) = log
        .split_once("the command still runs (process ")
        .expect(&log);
    let (number, _) = number.split_once(')').unwrap();
    let command = Pid::from_raw(number.parse().unwrap()).unwrap();
    kill_process(command, Signal::KILL).unwrap();
}
