//! Access options of the command line.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::Path,
};

use tokio::process::Command;

use crate::{
    client::{Client, content},
    process::{PROGRAM, Running, curl, refusal, refusal_and_status, stderr, tempdir},
};

const TOKEN: &str = "kX1vQ8m2Zr7Lp4Wd";

fn token_file(root: &Path) -> String {
    let path = root.join("token");
    fs::write(&path, format!("{TOKEN}\n")).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    path.to_str().unwrap().to_owned()
}

#[tokio::test]
async fn other_machines_need_a_token_or_public() {
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:5000"] {
        let (status, stderr) = refusal_and_status(&["--listen", address]).await;
        assert_eq!(status, Some(2), "{stderr}");
        assert!(
            stderr.starts_with(&format!(
                "upload-server: {address} can be reached from other"
            )),
            "{stderr}"
        );
        assert!(
            stderr.contains("--token-file") && stderr.contains("--public"),
            "{stderr}"
        );
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
    }
    let root = tempdir();
    let token = token_file(root.path());
    let both = ["--public", "--token-file", &token];
    assert_eq!(refusal_and_status(&both).await.0, Some(2));

    let server = Running::start_with(&["--listen", "0.0.0.0:0", "--public"], root.path()).await;
    let address = ([127, 0, 0, 1], server.address.port()).into();
    let mut client = Client::connect(address).await;
    assert_eq!(client.put("file", b"content").await.status, 201);
    assert!(!stderr(root.path()).contains("clear text"));
}

#[tokio::test]
async fn the_token_is_a_file_of_its_own() {
    let root = tempdir();
    let token = token_file(root.path());
    let check = async |expected: &str| {
        let stderr = refusal(&["--token-file", &token]).await;
        assert!(
            stderr.contains(expected) && stderr.contains(&token),
            "{stderr}"
        );
        assert!(!stderr.contains(TOKEN), "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
    };
    for mode in [0o604, 0o644, 0o602] {
        fs::set_permissions(&token, Permissions::from_mode(mode)).unwrap();
        check("chmod 600").await;
    }
    fs::set_permissions(&token, Permissions::from_mode(0o600)).unwrap();
    fs::write(&token, "short").unwrap();
    check("at least 16 characters").await;
    fs::write(&token, format!("{TOKEN}\n{TOKEN}\n")).unwrap();
    check("one line").await;
}

/// Even at the most verbose level.
#[tokio::test]
async fn curl_shows_the_token_and_no_log_does() {
    let root = tempdir();
    let token = token_file(root.path());
    let mut command = Command::new(PROGRAM);
    command
        .args(["--listen", "0.0.0.0:0", "--http2", "--token-file", &token])
        .env("RUST_LOG", "trace");
    let server = Running::start_as(command, root.path()).await;
    let file = root.path().join("sent.bin");
    fs::write(&file, content(100_000)).unwrap();
    let file = file.to_str().unwrap();
    let url = format!("http://127.0.0.1:{}/", server.address.port());

    let user = format!(":{TOKEN}");
    let bearer = format!("Authorization: Bearer {TOKEN}");
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        curl(&["--fail", version, "-u", &user, "-T", file, &url]).await;
        curl(&["--fail", version, "-H", &bearer, "-T", file, &url]).await;
        curl(&["--fail", version, "-u", &user, &url]).await;
    }
    let refused = Command::new("curl")
        .args(["--fail", "-T", file, &url])
        .output();
    assert!(!refused.await.unwrap().status.success());

    let stderr = stderr(root.path());
    assert!(
        stderr.contains("the token crosses the network in clear text"),
        "{stderr}"
    );
    assert!(stderr.contains("TRACE"));
    // In plain text, and in base64 after a colon.
    assert!(!stderr.contains(TOKEN) && !stderr.contains("OmtYMXZROG0yWnI3THA0V2Q"));
}

#[tokio::test]
async fn a_proxy_may_call_the_server_by_its_name() {
    let root = tempdir();
    let server = Running::start_with(&["--host", "files.example"], root.path()).await;
    for (host, expected) in [("files.example", 200), ("other.example", 421)] {
        let mut client = Client::connect(server.address).await;
        client
            .send(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"))
            .await;
        assert_eq!(client.response().await.status, expected, "{host}");
    }
    for host in [
        "",
        "two words",
        "http://files.example",
        "files.example:5000",
    ] {
        let (status, _) = refusal_and_status(&["--host", host]).await;
        assert_eq!(status, Some(2), "{host}");
    }
}
