//! Files that the tracer writes: whose they are, and that they may be rotated.

use std::{
    fs::{self, Permissions},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use crate::{
    lab::{Lab, Server, run, wait_until},
    privileges::THREE,
};

/// No user of the machine needs this id.
const CALLER: u32 = 4_000_123;

fn upload_until(lab: &Lab, server: &Server, done: impl Fn() -> bool) {
    let file = lab.file("small", 100);
    wait_until(|| {
        lab.upload(&file, &server.url("small"));
        done()
    });
}

/// Frames of a capture file, as tshark reads it; `None` where it cannot.
fn frames(path: &Path) -> Option<usize> {
    let read = Command::new("tshark")
        .args(["-n", "-T", "fields", "-e", "frame.number", "-r"])
        .arg(path)
        .output()
        .unwrap();
    read.status
        .success()
        .then(|| String::from_utf8(read.stdout).unwrap().lines().count())
}

/// A folder of the caller, within one that everybody may pass through.
fn callers_folder(lab: &Lab) -> PathBuf {
    let everybodys = Permissions::from_mode(0o755);
    fs::set_permissions(lab.dir.path(), everybodys).unwrap();
    let folder = lab.dir.path().join("callers");
    fs::create_dir(&folder).unwrap();
    chown(&folder, Some(CALLER), Some(CALLER)).unwrap();
    folder
}

/// The tracer as `sudo` starts it for the caller, until it has written what it opens.
fn by_sudo(recording: &Path, capture: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tracer"))
        .arg("record")
        .arg(recording)
        .args(["--port", "5000", "--duration", "0", "--pcapng"])
        .arg(capture)
        .env("SUDO_UID", CALLER.to_string())
        .env("SUDO_GID", CALLER.to_string())
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

#[test]
fn files_belong_to_the_caller_of_sudo_alone() {
    let lab = Lab::new();
    let folder = callers_folder(&lab);
    let paths = ["trace", "pcapng"].map(|name| folder.join(name));
    let output = by_sudo(&paths[0], &paths[1]);
    assert!(output.status.success(), "{output:?}");
    for path in paths {
        let found = fs::metadata(&path).unwrap();
        assert_eq!((found.uid(), found.gid()), (CALLER, CALLER), "{path:?}");
        assert_eq!(found.mode() & 0o777, 0o600, "{path:?}");
    }
}

/// A rule of `sudo` for the tracer alone makes nobody root: what the caller may not write stays as it
/// is, whether it is named or linked to.
#[test]
fn what_the_caller_may_not_write_stays_as_it_is() {
    let lab = Lab::new();
    let folder = callers_folder(&lab);
    let roots = lab.file("roots", 100);
    fs::set_permissions(&roots, Permissions::from_mode(0o644)).unwrap();
    let before = fs::read(&roots).unwrap();
    let roots_folder = lab.dir.path().join("roots_folder");
    fs::create_dir(&roots_folder).unwrap();
    let link = |name: &str, to: &Path| {
        let link = folder.join(name);
        symlink(to, &link).unwrap();
        link
    };
    let own = folder.join("own");
    let victims = [
        roots.clone(),
        link("to_roots", &roots),
        link("to_new", &roots_folder.join("new")),
        link("to_folder", &roots_folder).join("new"),
        roots_folder.join("new"),
    ];
    for victim in &victims {
        for (recording, capture) in [(victim, &own), (&own, victim)] {
            let output = by_sudo(recording, capture);
            let stderr = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(1), "{victim:?}: {stderr}");
            let sentence = format!(
                "{} cannot be written by the user {CALLER}: ",
                victim.display()
            );
            assert!(stderr.contains(&sentence), "{stderr}");
            assert_eq!(stderr.lines().count(), 1, "{stderr}");
            assert_eq!(fs::read(&roots).unwrap(), before, "{victim:?}");
            let made = fs::read_dir(&roots_folder).unwrap().count();
            assert_eq!(made, 0, "{victim:?}");
        }
    }
}

/// A recording holds payload: who may not read it does not replay it with the help of `sudo`.
#[test]
fn a_recording_is_read_as_the_caller() {
    let lab = Lab::new();
    let folder = callers_folder(&lab);
    let recording = folder.join("trace");
    assert!(by_sudo(&recording, &folder.join("pcapng")).status.success());
    let replay = || {
        Command::new(env!("CARGO_BIN_EXE_tracer"))
            .arg("replay")
            .arg(&recording)
            .env("SUDO_UID", CALLER.to_string())
            .env("SUDO_GID", CALLER.to_string())
            .output()
            .unwrap()
    };
    assert!(replay().status.success());
    chown(&recording, Some(0), Some(0)).unwrap();
    let refused = replay();
    let stderr = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(1), "{stderr}");
    let sentence = format!("cannot be opened by the user {CALLER}: Permission denied");
    assert!(stderr.contains(&sentence), "{stderr}");
}

/// A pipe of root's, as `sudo` makes one for a command whose output it logs.
#[test]
fn a_capture_goes_to_the_stdout_that_sudo_made() {
    let lab = Lab::new();
    let output = Command::new(env!("CARGO_BIN_EXE_tracer"))
        .args([
            "--port",
            "5000",
            "--duration",
            "0",
            "--pcapng",
            "/dev/stdout",
        ])
        .env("SUDO_UID", CALLER.to_string())
        .env("SUDO_GID", CALLER.to_string())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    drop(lab);
    assert!(output.status.success(), "{output:?}");
    assert!(output.stdout.starts_with(b"\x0a\x0d\x0d\x0a"), "{output:?}");
}

/// The caller's groups count, and root's do not. The caller is in the user database of the tracer's own
/// mount namespace alone.
#[test]
fn the_callers_groups_count_and_no_others() {
    const GROUP: u32 = CALLER + 1;
    let lab = Lab::new();
    let everybodys = Permissions::from_mode(0o755);
    fs::set_permissions(lab.dir.path(), everybodys).unwrap();
    let database = |name: &str, line: String| {
        let own = lab.dir.path().join(name);
        let text = fs::read_to_string(format!("/etc/{name}")).unwrap();
        fs::write(&own, format!("{}\n{line}\n", text.trim_end())).unwrap();
        format!("mount --bind {} /etc/{name} && ", own.display())
    };
    let user = format!("tracer-caller:x:{CALLER}:{CALLER}::/nonexistent:/bin/sh");
    let mounts = database("passwd", user)
        + &database("group", format!("tracer-group:x:{GROUP}:tracer-caller"));
    let record = |group: u32| {
        let folder = lab.dir.path().join(group.to_string());
        fs::create_dir(&folder).unwrap();
        fs::set_permissions(&folder, Permissions::from_mode(0o770)).unwrap();
        chown(&folder, Some(0), Some(group)).unwrap();
        let recording = folder.join("trace");
        let output = Command::new("unshare")
            .args(["--mount", "sh", "-c"])
            .arg(format!("{mounts} exec \"$0\" \"$@\""))
            .args([env!("CARGO_BIN_EXE_tracer"), "record"])
            .arg(&recording)
            .args(["--port", "5000", "--duration", "0"])
            .env("SUDO_UID", CALLER.to_string())
            .env("SUDO_GID", CALLER.to_string())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        (output.status.code(), recording, stderr)
    };
    let (status, recorded, stderr) = record(GROUP);
    assert_eq!(status, Some(0), "{stderr}");
    let found = fs::metadata(recorded).unwrap();
    assert_eq!((found.uid(), found.gid()), (CALLER, CALLER));
    let (status, refused, stderr) = record(0);
    assert_eq!(status, Some(1), "{stderr}");
    let sentence = format!("by the user tracer-caller ({CALLER}): Permission denied");
    assert!(stderr.contains(&sentence), "{stderr}");
    assert!(!refused.exists());
}

/// A link that takes a file's place under way leads nowhere, for root as for the caller.
#[test]
fn a_rotation_follows_no_link() {
    let lab = Lab::new();
    let folder = callers_folder(&lab);
    let server = lab.server(&["--on-duplicate", "overwrite"]);
    let roots = lab.file("roots", 100);
    let before = fs::read(&roots).unwrap();
    let capture = folder.join("pcapng");
    let log = lab.dir.path().join("log");
    let mut command = Command::new(env!("CARGO_BIN_EXE_tracer"));
    command
        .args(["--port", "5000", "-o", "ndjson", "--pcapng"])
        .arg(&capture)
        .env("SUDO_UID", CALLER.to_string())
        .env("SUDO_GID", CALLER.to_string())
        .stderr(fs::File::create(&log).unwrap());
    let tracer = lab.tracer_by(command);
    fs::rename(&capture, folder.join("pcapng.1")).unwrap();
    symlink(&roots, &capture).unwrap();
    upload_until(&lab, &server, || {
        fs::read_to_string(&log).is_ok_and(|text| text.contains("symbolic link"))
    });
    tracer.stop();
    server.stop();
    assert_eq!(fs::read(&roots).unwrap(), before);
    let text = fs::read_to_string(&log).unwrap();
    assert_eq!(text.matches("symbolic link").count(), 1, "{text}");
}

/// With a file's capabilities, the caller is the real user.
#[test]
fn capabilities_of_the_file_open_no_files() {
    let lab = Lab::new();
    let folder = callers_folder(&lab);
    let tracer = lab.everybodys_tracer();
    let capabilities = [&THREE[..], &["cap_dac_override", "cap_chown"]].concat();
    let capabilities = format!("{}=ep", capabilities.join(","));
    run(Command::new("setcap").arg(capabilities).arg(&tracer));
    let roots = lab.file("roots", 100);
    fs::set_permissions(&roots, Permissions::from_mode(0o600)).unwrap();
    let before = fs::read(&roots).unwrap();
    let ids = format!("--reuid={CALLER} --regid={CALLER} --clear-groups");
    let record = |path: &Path| {
        Command::new("setpriv")
            .args(ids.split(' '))
            .arg(&tracer)
            .arg("record")
            .arg(path)
            .args(["--port", "5000", "--duration", "0"])
            // Whoever may set these must gain nothing by it.
            .env("SUDO_UID", "0")
            .stdin(Stdio::null())
            .output()
            .unwrap()
    };
    let refused = record(&roots);
    let stderr = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("Permission denied"), "{stderr}");
    assert_eq!(fs::read(&roots).unwrap(), before);
    let own = folder.join("own");
    let recorded = record(&own);
    assert!(recorded.status.success(), "{recorded:?}");
    let found = fs::metadata(&own).unwrap();
    assert_eq!((found.uid(), found.mode() & 0o777), (CALLER, 0o600));
}

/// Moved away and emptied: each piece is whole, and the tracer goes on.
#[test]
fn files_are_rotated_under_way() {
    let lab = Lab::new();
    let server = lab.server(&["--on-duplicate", "overwrite"]);
    let path = |name: &str| lab.dir.path().join(name);
    let (recording, capture) = (path("trace"), path("pcapng"));
    let tracer = lab.tracer_alone(&[
        "record",
        recording.to_str().unwrap(),
        "--pcapng",
        capture.to_str().unwrap(),
        "--port",
        "5000",
        "-o",
        "ndjson",
    ]);
    let length = |path: &Path| fs::metadata(path).map_or(0, |found| found.len());
    let empty = length(&capture);
    upload_until(&lab, &server, || length(&capture) > empty);
    let (old_recording, old_capture) = (path("trace.1"), path("pcapng.1"));
    fs::rename(&recording, &old_recording).unwrap();
    fs::rename(&capture, &old_capture).unwrap();
    upload_until(&lab, &server, || {
        length(&recording) > 4096 && length(&capture) > empty
    });
    for path in [&recording, &capture] {
        let file = fs::File::options().write(true).open(path).unwrap();
        file.set_len(0).unwrap();
    }
    upload_until(&lab, &server, || {
        let begins =
            |path: &Path, magic: &[u8]| fs::read(path).is_ok_and(|bytes| bytes.starts_with(magic));
        begins(&recording, b"tcptrace") && begins(&capture, b"\x0a\x0d\x0d\x0a")
    });
    tracer.stop();
    for path in [&old_capture, &capture] {
        assert!(frames(path) > Some(0), "{path:?}");
    }
    for path in [&old_recording, &recording] {
        let stdout = run(Command::new(env!("CARGO_BIN_EXE_tracer"))
            .args(["replay", "-o", "ndjson"])
            .arg(path));
        assert!(
            stdout.contains(r#""type":"timeline""#),
            "{path:?}: {stdout}"
        );
    }
    server.stop();
}

/// `copytruncate` of what stdout goes to.
#[test]
fn stdout_in_a_file_that_is_emptied() {
    let lab = Lab::new();
    let server = lab.server(&["--on-duplicate", "overwrite"]);
    let path = lab.dir.path().join("lines");
    let arguments = ["-o", "ndjson", "--port", "5000"];
    let tracer = lab.tracer_into(&arguments, fs::File::create(&path).unwrap());
    let has_line = || fs::read_to_string(&path).is_ok_and(|text| text.starts_with("{\"type\""));
    upload_until(&lab, &server, has_line);
    fs::File::options()
        .write(true)
        .truncate(true)
        .open(&path)
        .unwrap();
    upload_until(&lab, &server, has_line);
    drop(tracer);
    server.stop();
}
