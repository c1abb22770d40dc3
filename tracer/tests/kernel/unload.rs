//! However the tracer ends, the kernel keeps nothing of it.

use std::{
    env,
    io::{self, BufRead as _, BufReader, Write as _},
    process::{Command, Stdio},
};

use rustix::{
    process::Signal,
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
};
use tracer::internals::kernel::{Filter, Probe, Records};

use crate::{lab::Lab, loaded::Loaded};

const TRACER: &str = env!("CARGO_BIN_EXE_tracer");

#[test]
fn a_signal_unloads_the_programs() {
    let lab = Lab::new();
    for (signal, code) in [
        (Signal::INT, Some(0)),
        (Signal::TERM, Some(0)),
        (Signal::HUP, Some(0)),
        // As the kernel ends it when memory is out.
        (Signal::KILL, None),
    ] {
        let tracer = lab.tracer_alone(&["--port", "5000"]);
        let loaded = Loaded::by(tracer.pid());
        let status = tracer.end_by(signal);
        assert_eq!(status.code(), code, "{signal:?}: {status}");
        loaded.assert_gone();
    }
}

#[test]
fn a_closed_terminal_unloads_the_programs() {
    let lab = Lab::new();
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let path = ptsname(&terminal, Vec::new()).unwrap();
    let path = path.to_str().unwrap();
    let mut command = Command::new("sh");
    command.arg("-c").arg(format!(
        "exec setsid --ctty {TRACER} --port 5000 <{path} >{path} 2>{path}"
    ));
    let tracer = lab.tracer_by(command);
    let loaded = Loaded::by(tracer.pid());
    drop(terminal);
    tracer.wait();
    loaded.assert_gone();
}

/// Set in the process that is to panic.
const PANIC: &str = "TRACER_TEST_PANIC_ATTACHED";

#[test]
fn a_panic_unloads_the_programs() {
    if env::var_os(PANIC).is_some() {
        panic_attached();
    }
    let _lab = Lab::new();
    let mut child = Command::new(env::current_exe().unwrap())
        .args([
            "--exact",
            "unload::a_panic_unloads_the_programs",
            "--nocapture",
        ])
        .env(PANIC, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let attached = lines.find(|line| line.as_ref().unwrap().ends_with("attached"));
    attached.expect("it never attached").unwrap();
    let loaded = Loaded::by(child.id());
    child.stdin.take().unwrap().write_all(b"panic\n").unwrap();
    let rest: Vec<String> = lines.map(Result::unwrap).collect();
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(101), "{rest:?}");
    loaded.assert_gone();
}

fn panic_attached() -> ! {
    let filter = Filter {
        ports: vec![5000],
        ..Filter::default()
    };
    let _probe = Probe::attach(&filter, 1 << 16, Records::default()).unwrap();
    println!("attached");
    io::stdin().read_line(&mut String::new()).unwrap();
    panic!("as it was told");
}

/// Who looks at stderr may go before the tracer does.
#[test]
fn a_closed_stderr_is_no_error() {
    let _lab = Lab::new();
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    let mut tracer = Command::new(TRACER)
        .args(["--port", "5000", "--duration", "0"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(writer)
        .spawn()
        .unwrap();
    assert!(tracer.wait().unwrap().success());
}
