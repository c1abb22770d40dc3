//! The upload server that the tracer finds by itself: whose it must be, and whom nothing is sent to.

use std::{
    fs::{self, Permissions},
    io::{BufRead as _, BufReader, Write as _},
    os::unix::{
        fs::{MetadataExt as _, PermissionsExt as _, chown},
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::mpsc::{self, Receiver, Sender},
    thread,
};

use tracer::internals::caller::User;

use crate::{
    lab::{Lab, wait_until},
    privileges::{THREE, held_by},
    uploads::KeepAlive,
};

/// No user of the machine needs these ids.
const CALLER: u32 = 4_000_126;
const SERVICE: u32 = 4_000_127;

/// A program that answers at a control socket as the user `nobody` or as root, and is no server.
struct Impostor {
    path: PathBuf,
    /// The first line of each connection; empty where nothing was sent.
    requests: Receiver<String>,
    /// Further lines of its feed.
    feed: Sender<String>,
}

impl Impostor {
    fn listen(path: &Path, as_nobody: bool, listen: &'static str) -> Self {
        let bound = path.to_owned();
        let bind = move || {
            let listener = UnixListener::bind(&bound)?;
            fs::set_permissions(&bound, Permissions::from_mode(0o777))?;
            Ok(listener)
        };
        let listener = if as_nobody {
            User::from_ids(65534, None).unwrap().act(bind).unwrap()
        } else {
            bind().unwrap()
        };
        let (to, requests) = mpsc::channel();
        let (feed, lines) = mpsc::channel();
        thread::spawn(move || {
            let mut lines = Some(lines);
            for stream in listener.incoming() {
                let mut stream = BufReader::new(stream.unwrap());
                let mut line = String::new();
                let _ = stream.read_line(&mut line);
                let is_feed = line.starts_with("GET /uploads");
                let lines = lines.take_if(|_| is_feed);
                if to.send(line).is_err() {
                    break;
                }
                thread::spawn(move || answer(stream.into_inner(), listen, lines));
            }
        });
        Self {
            path: path.to_owned(),
            requests,
            feed,
        }
    }

    /// The requests so far.
    fn requests(self) -> Vec<String> {
        let mut last = UnixStream::connect(&self.path).unwrap();
        last.write_all(b"the last\n").unwrap();
        let requests = self.requests.iter();
        requests.take_while(|line| line != "the last\n").collect()
    }
}

/// Answers every request with a feed, whose later lines these are.
fn answer(mut stream: UnixStream, listen: &str, lines: Option<Receiver<String>>) {
    let introduction = format!(
        "{{\"type\":\"server\",\"pid\":1,\"comm\":\"upload-server\",\"netns\":1,\
         \"listen\":[{listen}],\"version\":\"0\"}}\n"
    );
    // Whoever sent nothing may be gone.
    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    for line in std::iter::once(introduction).chain(lines.into_iter().flatten()) {
        let _ = write!(stream, "{:x}\r\n{line}\r\n", line.len());
    }
    let _ = stream.write_all(b"0\r\n\r\n");
}

/// A folder of this user, with this mode.
fn folder(lab: &Lab, name: &str, owner: u32, mode: u32) -> PathBuf {
    fs::set_permissions(lab.dir.path(), Permissions::from_mode(0o755)).unwrap();
    let folder = lab.dir.path().join(name);
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, Permissions::from_mode(mode)).unwrap();
    chown(&folder, Some(owner), Some(owner)).unwrap();
    folder
}

/// The tracer without a filter, as the caller with the three capabilities.
fn by_caller(lab: &Lab, runtime: &Path) -> Output {
    let tracer = lab.everybodys_tracer();
    let ambient: Vec<String> = THREE.iter().map(|name| format!("^{name}")).collect();
    Command::new("capsh")
        .args(["--groups=", &format!("--gid={CALLER}"), "--keep=1"])
        .args([
            format!("--uid={CALLER}"),
            format!("--iab={}", ambient.join(",")),
        ])
        .args(["--", "-c"])
        .arg(format!("exec {} --duration 0", tracer.display()))
        .env("XDG_RUNTIME_DIR", runtime)
        .env_remove("HOME")
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

#[test]
fn a_stranger_gets_nothing() {
    let lab = Lab::new();
    let shared = folder(&lab, "shared", 0, 0o1777);
    let own = folder(&lab, "own", CALLER, 0o700);
    // However it came to be there.
    let impostor = Impostor::listen(
        &shared.join("upload-server.sock"),
        true,
        "\"127.0.0.1:443\"",
    );
    let path = own.join("upload-server.sock");
    fs::rename(&impostor.path, &path).unwrap();
    let output = by_caller(&lab, &own);
    let stderr = String::from_utf8(output.stderr).unwrap();
    let sentence = format!(
        "the control socket {} is not used, because the user nobody (65534) listens there",
        path.display()
    );
    assert_eq!(stderr.matches(&sentence).count(), 1, "{stderr}");
    assert!(stderr.contains("tracing every TCP connection"), "{stderr}");
    let impostor = Impostor { path, ..impostor };
    assert_eq!(impostor.requests(), [""]);
}

#[test]
fn nobody_is_looked_for_where_everybody_may_write() {
    let lab = Lab::new();
    let shared = folder(&lab, "shared", CALLER, 0o1777);
    let path = shared.join("upload-server.sock");
    let impostor = Impostor::listen(&path, true, "\"127.0.0.1:443\"");
    let output = by_caller(&lab, &shared);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("tracing every TCP connection"), "{stderr}");
    assert_eq!(impostor.requests(), [""; 0]);
}

/// A feed narrows what is traced: one without an address would choose every connection.
#[test]
fn a_feed_without_an_address_is_refused() {
    let lab = Lab::new();
    let path = lab.dir.path().join("control");
    let impostor = Impostor::listen(&path, false, "");
    let output = Command::new(env!("CARGO_BIN_EXE_tracer"))
        .arg("--server")
        .arg(&path)
        .args(["--duration", "0"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("names no address"), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(!impostor.requests().is_empty());
}

/// A feed is believed no further than the kernel: who claims the connection of another user's server does
/// not get its timeline, even if the user named the socket.
#[test]
fn another_users_connection_is_not_handed_over() {
    let lab = Lab::new();
    let path = lab.dir.path().join("claiming");
    fs::set_permissions(lab.dir.path(), Permissions::from_mode(0o777)).unwrap();
    let impostor = Impostor::listen(&path, true, "\"127.0.0.1:5000\"");
    let roots = lab.server(&[]);
    let tracer = ["-o", "ndjson", "--server", path.to_str().unwrap()];
    let mut tracer = lab.tracer_alone(&tracer);
    let mut client = KeepAlive::connect(&lab, &roots);
    client.put("secret", b"content");
    let mut feed = BufReader::new(UnixStream::connect(lab.control()).unwrap());
    write!(
        feed.get_mut(),
        "GET /uploads HTTP/1.1\r\nHost: control\r\n\r\n"
    )
    .unwrap();
    let mut claimed = String::new();
    while !claimed.starts_with("{\"type\":\"upload\"") {
        claimed.clear();
        assert!(feed.read_line(&mut claimed).unwrap() > 0);
    }
    impostor.feed.send(claimed).unwrap();
    tracer.wait_for("upload", 1);
    drop(client);
    tracer.wait_for_timelines(1);
    let trace = tracer.stop();
    roots.stop();
    let uploads = &trace.timelines()[0]["uploads"];
    assert_eq!(uploads[0]["certainty"], "observed", "{uploads:#}");
    let requests = impostor.requests();
    assert!(requests.iter().any(|line| line.starts_with("GET /uploads")));
    let handed_in = requests
        .iter()
        .find(|line| line.starts_with("POST /uploads/"));
    assert_eq!(handed_in, None);
}

/// An upload server that the caller starts, with files in this folder and no control socket named.
fn server_of_caller(lab: &Lab, own: &Path) -> Command {
    let ids = format!("--reuid={CALLER} --regid={CALLER} --clear-groups");
    let mut server = lab.inside("setpriv");
    server
        .args(ids.split(' '))
        .arg(lab.everybodys_server())
        .args(["--listen", "127.0.0.1:5000", "--dir"])
        .arg(own.join("uploads"))
        .arg("--state")
        .arg(own.join("state"))
        .env_remove("HOME")
        .env_remove("XDG_RUNTIME_DIR")
        .env_remove("XDG_STATE_HOME");
    server
}

/// Without a runtime directory, the socket is in the user's state directory, or else in one that is made
/// for it and printed. Nobody else may enter either.
#[test]
fn without_a_runtime_directory_the_socket_is_still_the_users_alone() {
    let lab = Lab::new();
    let own = folder(&lab, "own", CALLER, 0o755);
    let mut server = server_of_caller(&lab, &own);
    server.env("HOME", &own);
    let server = lab.started(server);
    let state = own.join(".local/state/upload-server");
    assert!(state.join("control.sock").exists());
    assert_eq!(fs::metadata(&state).unwrap().mode() & 0o777, 0o700);
    assert!(server.interrupt().status.success());

    let shared = folder(&lab, "shared", 0, 0o1777);
    let mut server = server_of_caller(&lab, &own);
    server.env("TMPDIR", &shared);
    let server = lab.started(server);
    let made = fs::read_dir(&shared)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let found = fs::metadata(&made).unwrap();
    assert_eq!((found.uid(), found.mode() & 0o777), (CALLER, 0o700));
    let socket = made.join("control.sock");
    let is_there = socket.exists();
    let output = server.interrupt();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(is_there && output.status.success(), "{stderr}");
    assert!(
        stderr.contains(&format!("control socket is {}", socket.display())),
        "{stderr}"
    );
    assert_eq!(fs::read_dir(&shared).unwrap().count(), 0);
}

/// Both agree on the place: the server where it binds, and the tracer of `sudo` where it looks.
#[test]
fn the_server_of_the_caller_of_sudo_is_found() {
    let lab = Lab::new();
    let own = folder(&lab, "own", CALLER, 0o700);
    let mut server = server_of_caller(&lab, &own);
    server.env("XDG_RUNTIME_DIR", &own);
    let server = lab.started(server);
    let mut tracer = Command::new(env!("CARGO_BIN_EXE_tracer"));
    tracer
        .args(["-o", "ndjson"])
        .env("SUDO_UID", CALLER.to_string())
        .env("SUDO_GID", CALLER.to_string())
        .env("XDG_RUNTIME_DIR", &own);
    let mut tracer = lab.tracer_by(tracer);
    lab.upload(&lab.file("cat.png", 1000), "http://127.0.0.1:5000/cat.png");
    tracer.wait_for_timelines(1);
    let trace = tracer.stop();
    let uploads = &trace.timelines()[0]["uploads"];
    assert_eq!(uploads[0]["certainty"], "observed", "{uploads:#}");
    server.interrupt();
}

/// Root names the socket of a service, which has mode 0600: no capability is kept for that.
#[test]
fn the_named_socket_of_a_service_stays_within_reach() {
    let lab = Lab::new();
    let server = lab.server(&["--on-duplicate", "overwrite"]);
    chown(lab.control(), Some(SERVICE), Some(SERVICE)).unwrap();
    fs::set_permissions(lab.dir.path(), Permissions::from_mode(0o755)).unwrap();
    let file = lab.file("small", 100);
    for caller in [None, Some(CALLER.to_string())] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tracer"));
        command
            .args(["-o", "ndjson", "--server"])
            .arg(lab.control())
            .envs(caller.iter().map(|caller| ("SUDO_UID", caller)))
            .envs(caller.iter().map(|caller| ("SUDO_GID", caller)));
        let mut tracer = lab.tracer_by(command);
        lab.upload(&file, &server.url("small"));
        tracer.wait_for_timelines(1);
        let trace = tracer.lines_so_far();
        let id = trace.timelines()[0]["uploads"][0]["id"]
            .as_str()
            .unwrap()
            .to_owned();
        let control = lab.control();
        let url = format!("http://control/uploads/{id}/timeline");
        let arguments = ["--fail", "--unix-socket", control.to_str().unwrap(), &url];
        wait_until(|| lab.curl(&arguments).status.success());
        let held = held_by(&tracer);
        assert!(
            held.difference(tracer::internals::privileges::for_reading())
                .is_empty(),
            "{held:?}"
        );
        tracer.stop();
    }
    server.stop();
}
