//! Clients that copy files: scp, sftp, rsync, FTP.

use std::{fs, path::Path, process::Command};

use super::scene::{Running, SIZES, Scene, files, sizes_of_slow_clients};
use crate::lab::run;

const SSH_PORT: u16 = 2222;

/// sshd with a key of its own, and the options for its clients.
struct Ssh {
    _server: Running,
    options: Vec<String>,
}

impl Ssh {
    fn start(scene: &Scene) -> Self {
        let dir = scene.lab.dir.path();
        let path = |name: &str| dir.join(name).to_str().unwrap().to_owned();
        for name in ["host", "user"] {
            let mut keygen = Command::new("ssh-keygen");
            run(keygen.args(["-q", "-t", "ed25519", "-N", "", "-f", &path(name)]));
        }
        // Where sshd locks itself in until a client is known.
        fs::create_dir_all("/run/sshd").unwrap();
        let config = format!(
            "ListenAddress 127.0.0.1:{SSH_PORT}\nHostKey {}\nAuthorizedKeysFile {}\nStrictModes no\nUsePAM no\nPidFile none\nPermitRootLogin yes\nMaxStartups 100\nSubsystem sftp internal-sftp\n",
            path("host"),
            path("user.pub")
        );
        fs::write(dir.join("sshd.conf"), config).unwrap();
        let mut sshd = scene.server("/usr/sbin/sshd");
        sshd.args(["-D", "-q", "-f", &path("sshd.conf")]);
        let options = [
            "-i",
            &path("user"),
            "-oStrictHostKeyChecking=no",
            "-oUserKnownHostsFile=/dev/null",
            "-oLogLevel=ERROR",
            "-F",
            "none",
        ];
        Self {
            _server: scene.listening(sshd, SSH_PORT),
            options: options.map(str::to_owned).to_vec(),
        }
    }
}

/// One connection for each file, to a folder.
fn check_ssh(client: &str, program: &str, act: impl Fn(&Scene, &Ssh, &str, &Path)) {
    let programs = ["sshd", "ssh-keygen", "ssh", program];
    let Some(scene) = Scene::new(client, &programs) else {
        return;
    };
    let folder = scene.lab.dir.path().join("stored");
    fs::create_dir(&folder).unwrap();
    let ssh = Ssh::start(&scene);
    let watch = scene.watch();
    for file in files(sizes_of_slow_clients()) {
        act(&scene, &ssh, &file, &folder);
    }
    let story = watch.stop(&scene);
    assert_stored(&folder, sizes_of_slow_clients());
    story.assert_inferred(client, sizes_of_slow_clients());
}

fn assert_stored(folder: &Path, sizes: &[usize]) {
    for size in sizes {
        let stored = fs::metadata(folder.join(format!("f-{size}"))).unwrap();
        assert_eq!(stored.len(), *size as u64);
    }
}

#[test]
fn scp() {
    check_ssh("scp", "scp", |scene, ssh, file, folder| {
        let mut scp = scene.client("scp");
        scp.args(["-q", "-P", "2222"]).args(&ssh.options).arg(file);
        run(scp.arg(format!("root@127.0.0.1:{}", folder.display())));
    });
}

#[test]
fn scp_of_old() {
    check_ssh("scp -O", "scp", |scene, ssh, file, folder| {
        let mut scp = scene.client("scp");
        scp.args(["-O", "-q", "-P", "2222"])
            .args(&ssh.options)
            .arg(file);
        run(scp.arg(format!("root@127.0.0.1:{}", folder.display())));
    });
}

#[test]
fn sftp() {
    check_ssh("sftp", "sftp", |scene, ssh, file, folder| {
        let batch = scene.lab.dir.path().join("batch");
        fs::write(&batch, format!("put {file} {}\n", folder.display())).unwrap();
        let mut sftp = scene.client("sftp");
        sftp.args(["-q", "-P", "2222"]).args(&ssh.options);
        run(sftp.arg("-b").arg(&batch).arg("root@127.0.0.1"));
    });
}

#[test]
fn rsync_over_ssh() {
    check_ssh("rsync over ssh", "rsync", |scene, ssh, file, folder| {
        let shell = format!("ssh -p 2222 {}", ssh.options.join(" "));
        let mut rsync = scene.client("rsync");
        rsync.args(["--whole-file", "-e", &shell, file]);
        run(rsync.arg(format!("root@127.0.0.1:{}/", folder.display())));
    });
}

#[test]
fn rsync_daemon() {
    let client = "rsync to a daemon";
    let Some(scene) = Scene::new(client, &["rsync"]) else {
        return;
    };
    let folder = scene.lab.dir.path().join("stored");
    fs::create_dir(&folder).unwrap();
    let config = scene.lab.dir.path().join("rsyncd.conf");
    let text = format!(
        "use chroot = no\nuid = root\ngid = root\n[in]\npath = {}\nread only = no\n",
        folder.display()
    );
    fs::write(&config, text).unwrap();
    let mut daemon = scene.server("rsync");
    daemon.args([
        "--daemon",
        "--no-detach",
        "--address=127.0.0.1",
        "--port=8730",
    ]);
    daemon.arg("--config").arg(&config);
    let _server = scene.listening(daemon, 8730);
    let watch = scene.watch();
    for file in files(&SIZES) {
        let mut rsync = scene.client("rsync");
        run(rsync.args(["--whole-file", &file, "rsync://127.0.0.1:8730/in/"]));
    }
    let story = watch.stop(&scene);
    assert_stored(&folder, &SIZES);
    story.assert_inferred(client, &SIZES);
}

fn check_ftp(client: &str, arguments: &[&str]) {
    let Some(scene) = Scene::new(client, &["python", "curl"]) else {
        return;
    };
    let folder = scene.lab.dir.path().join("stored");
    fs::create_dir(&folder).unwrap();
    let folder_path = folder.to_str().unwrap();
    let server = scene.python_server(include_str!("ftp_server.py"), &["2121", folder_path]);
    let watch = scene.watch();
    for file in files(&SIZES) {
        let mut curl = scene.client("curl");
        curl.args(["--silent", "--show-error", "--upload-file", &file]);
        run(curl.args(arguments).arg("ftp://127.0.0.1:2121/"));
    }
    let mut curl = scene.client("curl");
    curl.args(["--silent", "--show-error", "--output", "/dev/null"]);
    run(curl.args(arguments).arg("ftp://127.0.0.1:2121/f-5000000"));
    let lines = server.end();
    let story = watch.stop(&scene);
    assert_eq!(lines.len(), SIZES.len(), "{lines:?}");
    assert_stored(&folder, &SIZES);
    // The download is none.
    story.assert_puts(client, &SIZES, 226);
}

/// Uploads, downloads and lists over one control connection, those in passive mode all to one port.
#[test]
fn ftp_in_every_way() {
    let client = "FTP in every way, ftplib";
    let Some(scene) = Scene::new(client, &["python"]) else {
        return;
    };
    let folder = scene.lab.dir.path().join("stored");
    fs::create_dir(&folder).unwrap();
    let folder = folder.to_str().unwrap();
    let server = scene.python_server(include_str!("ftp_server.py"), &["2121", folder]);
    let watch = scene.watch();
    scene.python_client(include_str!("ftp_client.py"), &["2121"], &files(&SIZES));
    let lines = server.end();
    let story = watch.stop(&scene);
    assert_eq!(lines.len(), SIZES.len() + 8, "{lines:?}");
    story.assert_files(client, &lines, 226);
}

/// Data connections whose control connection nobody saw: the port tells what the server opened.
#[test]
fn ftp_from_the_data_port_alone() {
    let client = "FTP, active, from port 20";
    let Some(scene) = Scene::new(client, &["python"]) else {
        return;
    };
    let watch = scene.watch();
    scene.python_client(
        "
import socket
for sends in ['the client', 'the server']:
    client = socket.create_server(('127.0.0.1', 0))
    server = socket.create_connection(client.getsockname(), source_address=('127.0.0.1', 20))
    data, _ = client.accept()
    one, other = (data, server) if sends == 'the client' else (server, data)
    for _ in range(10):
        one.sendall(b'x' * 10_000)
        assert len(other.recv(10_000, socket.MSG_WAITALL)) == 10_000
    one.close()
    assert other.recv(1) == b''
    other.close()
",
        &[],
        &[],
    );
    watch.stop(&scene).assert_inferred(client, &[100_000]);
}

#[test]
fn ftp_passive() {
    check_ftp("FTP, passive", &[]);
}

#[test]
fn ftp_active() {
    check_ftp("FTP, active", &["--ftp-port", "-"]);
}
