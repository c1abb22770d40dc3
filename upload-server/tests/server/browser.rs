//! The page in a real browser: Chromium, driven by `tests/browser/page.mjs`.

use std::{fs, net::SocketAddr, path::Path, time::Duration};

use tokio::{process::Command, sync::Mutex, time::timeout};
use upload_server::server::{OnDuplicate, Token};

use crate::{programs::script, proxy::Proxy, test_server::TestServer};

/// Longer than any scenario takes.
pub(crate) const LIMIT: Duration = Duration::from_secs(120);

/// Browsers take much memory.
pub(crate) static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

/// Runs one of the script's scenarios against the server at this address. Its screenshots go to
/// `browser` in cargo's target folder.
pub(crate) async fn browse(address: SocketAddr, scenario: &str) {
    let files = tempfile::tempdir().unwrap();
    browse_with(address, scenario, files.path()).await;
}

/// The same with the files of a folder.
pub(crate) async fn browse_with(address: SocketAddr, scenario: &str, files: &Path) {
    let url = format!("http://{address}/");
    drive("browser/page.mjs", files, &[&url, scenario]).await;
}

/// Runs a script that drives Chromium.
pub(crate) async fn drive(path: &str, files: &Path, arguments: &[&str]) {
    let _turn = ONE_AT_A_TIME.lock().await;
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    assert!(
        target.join("playwright-core").exists() && target.join("axe-core").exists(),
        "playwright-core and axe-core are missing: `cargo xtask test` installs them"
    );
    let running = Command::new("node")
        .arg(script(path))
        .arg(target)
        .arg(target.join("browser"))
        .arg(files)
        .args(arguments)
        .kill_on_drop(true)
        .output();
    let output = timeout(LIMIT, running).await.unwrap().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{path} {arguments:?}: {stderr}");
}

#[tokio::test]
async fn drops_three_files() {
    let server = TestServer::start().await;
    browse(server.address, "drops_three_files").await;
    let bytes = |name: &str| fs::metadata(server.path(name)).unwrap().len();
    let stored = ["large.bin", "<b>&.txt", "none", "none (1)"].map(bytes);
    assert_eq!(stored, [100_000_000, 5, 0, 0]);
}

#[tokio::test]
async fn cancels_and_retries() {
    let server = TestServer::start().await;
    browse(server.address, "cancels_and_retries").await;
    let names = server.names();
    let shown = names.iter().filter(|name| !name.starts_with('.'));
    assert_eq!(shown.collect::<Vec<_>>(), ["large.bin", "small.bin"]);
}

#[tokio::test]
async fn goes_on_where_it_broke_off() {
    let server = TestServer::start().await;
    let proxy = Proxy::start(server.address, [15_000_000; 20]).await;
    let mut feed = server.feed().await;
    browse(proxy.address, "goes_on_where_it_broke_off").await;
    let upload = feed.next_upload().await;
    assert_eq!(upload.bytes, 40_000_000);
    assert!(upload.connections.len() > 1, "{upload:?}");
}

#[tokio::test]
async fn goes_on_after_a_reload() {
    let server = TestServer::start().await;
    browse(server.address, "goes_on_after_a_reload").await;
    assert_eq!(
        fs::metadata(server.path("large.bin")).unwrap().len(),
        40_000_000
    );
}

#[tokio::test]
async fn shows_why_an_upload_failed() {
    let server = TestServer::start_with(|config| {
        config.on_duplicate = OnDuplicate::Error;
        config.limits.max_size = Some(1_000_000);
    });
    browse(server.await.address, "shows_why_an_upload_failed").await;
}

#[tokio::test]
async fn shows_that_no_tracer_is_attached() {
    browse(
        TestServer::start().await.address,
        "shows_that_no_tracer_is_attached",
    )
    .await;
}

#[tokio::test]
async fn needs_no_script() {
    browse(TestServer::start().await.address, "needs_no_script").await;
}

/// Nor do downloads and refusals, which it shows as pages.
#[tokio::test]
async fn downloads_and_is_refused() {
    let server = TestServer::start_with(|config| config.limits.max_size = Some(50_000_000)).await;
    for name in ["naïve 猫.png", "100% (1); x='y'.txt"] {
        fs::write(server.path(name), name).unwrap();
    }
    let (files, url) = (
        tempfile::tempdir().unwrap(),
        format!("http://{}/", server.address),
    );
    drive("browser/downloads.mjs", files.path(), &[&url]).await;
}

#[tokio::test]
async fn needs_no_mouse() {
    browse(TestServer::start().await.address, "needs_no_mouse").await;
}

#[tokio::test]
async fn knows_the_token() {
    let server = TestServer::start_with(|config| {
        config.access.token = Some(Token::new("0123456789abcdef").unwrap());
    });
    browse(server.await.address, "knows_the_token").await;
}
