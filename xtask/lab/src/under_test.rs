//! What the verbs need that run the programs of this source: the binaries, a folder in memory, a certificate.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};
use tempfile::TempDir;
use xtask::command::{cargo, run, target_dir};

/// The folder with `tracer` and `upload-server`: this one, or that of the source, built with --release.
pub(crate) fn binaries(folder: Option<&Path>) -> Result<PathBuf> {
    if let Some(folder) = folder {
        return fs::canonicalize(folder).with_context(|| folder.display().to_string());
    }
    let mut build = cargo();
    build.args(["build", "--release", "--locked", "--bins"]);
    run(build.args(["--package", "tracer", "--package", "upload-server"]))?;
    Ok(target_dir().join("release"))
}

/// A folder for what the programs store, in memory where that is possible: an upload that nothing holds back
/// would else wait for a disk on which other uploads are written.
pub(crate) fn scratch(prefix: &str) -> Result<TempDir> {
    let memory = Path::new("/dev/shm");
    let parent = match memory.is_dir() {
        true => memory.to_owned(),
        false => std::env::temp_dir(),
    };
    let made = tempfile::Builder::new().prefix(prefix).tempdir_in(&parent);
    made.with_context(|| format!("no folder can be made in {}", parent.display()))
}

/// Makes `certificate`, `key` and both in one, `pem`, in a folder.
pub(crate) fn certify(folder: &Path, host: &str) -> Result<()> {
    let mut openssl = Command::new("openssl");
    openssl
        .args([
            "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
        ])
        .args(["-out", "certificate", "-keyout", "key"])
        .args(["-subj", &format!("/CN={host}")])
        .current_dir(folder);
    let made = openssl.output().context("openssl cannot be started")?;
    if !made.status.success() {
        bail!("openssl made no certificate");
    }
    let mut both = fs::read(folder.join("certificate"))?;
    both.extend(fs::read(folder.join("key"))?);
    fs::write(folder.join("pem"), both)?;
    Ok(())
}
