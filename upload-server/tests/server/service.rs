//! What a service manager asks for, and is notified of.

use std::{fs, path::Path};

use rustix::process::Signal;
use tokio::process::Command;

use crate::process::{PROGRAM, Running, curl, stderr, tempdir};

/// Writes a certificate for localhost and its key.
fn write_identity(certificate: &Path, key: &Path) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    fs::write(certificate, made.cert.pem()).unwrap();
    fs::write(key, made.signing_key.serialize_pem()).unwrap();
}

async fn reload(server: &Running) {
    server.signal(Signal::USR1);
    let begun = server.next_notification().await;
    assert!(begun.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{begun}");
    assert_eq!(server.next_notification().await, "READY=1\n");
}

#[tokio::test]
async fn a_reload_presents_the_renewed_certificate() {
    let root = tempdir();
    let [certificate, key] = ["cert.pem", "key.pem"].map(|name| root.path().join(name));
    write_identity(&certificate, &key);
    let [cert, private] = [&certificate, &key].map(|path| path.to_str().unwrap());
    let server = Running::start_with(&["--cert", cert, "--key", private], root.path()).await;
    let url = format!("https://localhost:{}/", server.address.port());
    curl(&["--fail", "--cacert", cert, &url]).await;

    write_identity(&certificate, &key);
    reload(&server).await;
    curl(&["--fail", "--cacert", cert, &url]).await;

    let trusted = root.path().join("trusted.pem");
    fs::rename(&certificate, &trusted).unwrap();
    reload(&server).await;
    curl(&["--fail", "--cacert", trusted.to_str().unwrap(), &url]).await;
    let log = stderr(root.path());
    assert!(
        log.contains("stays as it was: cannot read a certificate from"),
        "{log}"
    );
    assert_eq!(server.stop_with(Signal::TERM).await, Some(0));
}

#[tokio::test]
async fn without_a_certificate_a_reload_changes_nothing() {
    let root = tempdir();
    let server = Running::start(root.path()).await;
    reload(&server).await;
    assert_eq!(server.stop_with(Signal::TERM).await, Some(0));
}

#[tokio::test]
async fn a_service_manager_that_watches_is_notified() {
    let root = tempdir();
    let mut command = Command::new(PROGRAM);
    command.env("WATCHDOG_USEC", "100000");
    let server = Running::start_as(command, root.path()).await;
    for _ in 0..3 {
        assert_eq!(server.next_notification().await, "WATCHDOG=1\n");
    }
    server.signal(Signal::TERM);
    loop {
        match server.next_notification().await.as_str() {
            "WATCHDOG=1\n" => (),
            last => return assert_eq!(last, "STOPPING=1\n"),
        }
    }
}
