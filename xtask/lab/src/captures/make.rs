//! Makes the captures that the repository has, `tracer/tests/captures`: tcpdump's, of real programs in network
//! namespaces of their own.

mod rewritten;
mod scene;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use slow_wire::{Way, addresses};
use xtask::{command::log, setup};

use self::{
    rewritten::{in_one, tagged, with},
    scene::{ETHERNET, IPV6, Scene, Watched},
};

/// Makes the captures in a folder, with the `upload-server` of `binaries`.
pub(super) fn make(folder: &Path, binaries: &Path) -> Result<()> {
    setup::for_captures()?;
    fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let scene = Scene::new(binaries)?;
    for (name, making) in CAPTURES {
        log(&format!("{name} …"));
        making(&scene, folder).with_context(|| format!("{name} cannot be made"))?;
    }
    Ok(())
}

type Making = fn(&Scene, &Path) -> Result<()>;

const CAPTURES: [(&str, Making); 9] = [
    ("uploads by PUT and as a form", put),
    ("TLS", tls),
    ("HTTP/2", http2),
    ("tus", tus),
    ("a reset, and a refused connection", reset),
    ("a window of zero", zero_window),
    ("IPv6", ipv6),
    ("cooked frames", cooked),
    ("losses", lost),
];

const WHOLE: &[&str] = &[];

/// On one connection one after another, with `100 Continue`, chunked, and as a form.
fn put(scene: &Scene, folder: &Path) -> Result<()> {
    let server = scene.upload_server(&[])?;
    let url = format!("http://{}:{}", ETHERNET.1, server.port);
    let [a, b, c] = ["a", "b", "c"].map(|name| format!("{url}/{name}"));
    let form = format!("file=@{};filename=form.txt", scene.file());
    let put = scene.capture(Watched::Client, WHOLE, |scene| {
        scene.curl(&["-T", &scene.file(), &a, "-T", &scene.file(), &b])?;
        scene.curl(&["-T", &scene.file(), "-H", "Expect: 100-continue", &c])?;
        scene.curl(&["-T", "-", &c])?;
        scene.curl(&["-F", &form, &url])
    })?;
    fs::copy(&put, folder.join("put.pcap"))?;
    tagged(&put, &folder.join("vlan.pcap"))
}

/// With and without trust in the server: an alert.
fn tls(scene: &Scene, folder: &Path) -> Result<()> {
    let server = scene.upload_server(&["--cert", &scene.certificate(), "--key", &scene.key()])?;
    let url = format!("https://upload.test:{}/file", server.port);
    let resolve = format!("upload.test:{}:{}", server.port, ETHERNET.1);
    // The server believes in addresses and its own names.
    let host = format!("Host: {}", ETHERNET.1);
    let tls = scene.capture(Watched::Client, WHOLE, |scene| {
        scene.curl(&[
            "-k",
            "-H",
            &host,
            "--resolve",
            &resolve,
            "-T",
            &scene.file(),
            &url,
        ])?;
        // It gives up.
        let _ = scene.curl(&["--resolve", &resolve, "-T", &scene.file(), &url]);
        Ok(())
    })?;
    in_one(&[&tls], &folder.join("tls.pcapng"))
}

fn http2(scene: &Scene, folder: &Path) -> Result<()> {
    let server = scene.upload_server(&["--http2"])?;
    let url = format!("http://{}:{}/file", ETHERNET.1, server.port);
    let http2 = scene.capture(Watched::Client, WHOLE, |scene| {
        scene.curl(&["--http2-prior-knowledge", "-T", &scene.file(), &url])
    })?;
    with("gzip", &["-9", "-n"], &http2, &folder.join("http2.pcap.gz"))
}

/// Two parts of one upload, on a connection each.
fn tus(scene: &Scene, folder: &Path) -> Result<()> {
    let server = scene.upload_server(&[])?;
    let url = format!("http://{}:{}/tus/", ETHERNET.1, server.port);
    let length = format!("Upload-Length: {}", 2 * scene.length());
    let resumable = ["-H", "Tus-Resumable: 1.0.0"];
    let tus = scene.capture(Watched::Client, WHOLE, |scene| {
        let mut create = vec![
            "-X",
            "POST",
            "-H",
            &length,
            "-H",
            "Upload-Metadata: filename ZmlsZS50eHQ=",
        ];
        create.extend(resumable);
        create.extend(["-w", "%header{location}", &url]);
        let location = scene.printed_by_curl(&create)?;
        // It is relative to where the upload was created.
        let upload = format!("{url}{location}");
        for part in 0..2 {
            let offset = format!("Upload-Offset: {}", part * scene.length());
            let body = format!("@{}", scene.file());
            let mut patch = vec!["-X", "PATCH", "--data-binary", &body, "-H", &offset];
            patch.extend(resumable);
            patch.extend([
                "-H",
                "Content-Type: application/offset+octet-stream",
                &upload,
            ]);
            scene.curl(&patch)?;
        }
        Ok(())
    })?;
    with("zstd", &["-19", "-q"], &tus, &folder.join("tus.pcap.zst"))
}

fn reset(scene: &Scene, folder: &Path) -> Result<()> {
    let reset = scene.capture(Watched::Client, WHOLE, |scene| {
        scene.ends(
            &["give_up=0.05", "receive_buffer=8192"],
            &["bytes=60000", "piece=3000", "rate=100000"],
        )?;
        // Nobody listens.
        let _ = scene.curl(&[&format!("http://{}:1/", ETHERNET.1)]);
        Ok(())
    })?;
    fs::copy(reset, folder.join("reset.pcap"))
        .map(drop)
        .map_err(Into::into)
}

fn zero_window(scene: &Scene, folder: &Path) -> Result<()> {
    let zero = scene.capture(Watched::Client, WHOLE, |scene| {
        scene.ends(
            &["receive_buffer=4096", "pause=1", "pause_at=1"],
            &["bytes=40000"],
        )
    })?;
    fs::copy(zero, folder.join("zero-window.pcap"))
        .map(drop)
        .map_err(Into::into)
}

/// With timestamps in nanoseconds.
fn ipv6(scene: &Scene, folder: &Path) -> Result<()> {
    let server = scene.upload_server(&[])?;
    let url = format!("http://[{}]:{}/file", IPV6.1, server.port);
    let ipv6 = scene.capture(Watched::Client, &["--time-stamp-precision=nano"], |scene| {
        scene.curl(&["-T", &scene.file(), &url])
    })?;
    fs::copy(ipv6, folder.join("ipv6-nanoseconds.pcap"))
        .map(drop)
        .map_err(Into::into)
}

/// Of the device `any`: versions 1 and 2.
fn cooked(scene: &Scene, folder: &Path) -> Result<()> {
    let server = scene.upload_server(&[])?;
    let url = format!("http://{}:{}/file", ETHERNET.1, server.port);
    for (version, name) in [
        ("LINUX_SLL", "cooked-1.pcap"),
        ("LINUX_SLL2", "cooked-2.pcap"),
    ] {
        let cooked = scene.capture(Watched::Any, &["-y", version], |scene| {
            scene.curl(&["-T", &scene.file(), &url])
        })?;
        fs::copy(cooked, folder.join(name))?;
    }
    Ok(())
}

/// Over a slow wire, captured at both ends: raw IP, and of each packet the first 96 bytes.
fn lost(scene: &Scene, folder: &Path) -> Result<()> {
    let wire: (Way, Way) = ("delay=10 lose=17 reorder=13".parse()?, "delay=10".parse()?);
    let _wire = scene.lay(1, wire)?;
    let server = scene.upload_server(&[])?;
    let url = format!("http://{}:{}/file", addresses(1).1, server.port);
    let cut = ["-s", "96"];
    let mut at_server = PathBuf::new();
    let at_client = scene.capture(Watched::WireAtClient, &cut, |scene| {
        at_server = scene.capture(Watched::WireAtServer, &cut, |scene| {
            scene.curl(&["-T", &scene.large_file(), &url])
        })?;
        Ok(())
    })?;
    fs::copy(&at_client, folder.join("lost-client.pcap"))?;
    fs::copy(at_server, folder.join("lost-server.pcap"))?;
    in_one(
        &[&folder.join("ipv6-nanoseconds.pcap"), &at_client],
        &folder.join("interfaces.pcapng"),
    )
}
