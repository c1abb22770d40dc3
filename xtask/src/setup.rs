//! Installs what is missing; prints what it installs, and why.

mod debian;
pub mod dist;
mod hops;
mod kernels;
mod programs;

use std::{
    env,
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use self::debian::packages;
pub use self::{
    hops::for_hops,
    kernels::{KERNEL_TEST_TOOLS, for_kernels},
    programs::{for_programs, host},
};
use crate::{
    command::{log, output, run, target_dir, tool, workspace},
    ebpf_source,
};

/// The versions to install if there is none.
const CARGO_DENY: &str = "0.20.2";
const CARGO_FUZZ: &str = "0.13.2";

/// npm packages of the tests: name, version, purpose.
const NODE_PACKAGES: [(&str, &str, &str); 6] = [
    ("tus-js-client", "4.3.1", "uploads as other programs do"),
    ("axios", "1.21.1", "uploads as other programs do"),
    ("uppy", "6.0.1", "uploads from a page of another origin"),
    ("esbuild", "0.28.2", "bundles Uppy for that page"),
    ("playwright-core", "1.65.1", "drives the browser"),
    ("axe-core", "4.14.1", "checks accessibility"),
];

/// Python packages of the upload clients and of their servers, what checks manifests of Kubernetes and metrics, and an
/// OpenTelemetry collector (rotel), installed into [`CLIENTS_PYTHON`].
const CLIENT_PACKAGES: [&str; 13] = [
    "aiohttp==3.14.5",
    "boto3==1.44.8",
    "flask==3.1.3",
    "flask-cors==6.0.5",
    "httpx==0.28.1",
    "kubernetes-validate==1.37.0",
    "moto[s3]==5.2.5",
    "prometheus-client==0.26.0",
    "pyftpdlib==2.2.0",
    "requests==2.34.2",
    "rotel==0.0.1a15",
    "tuspy==1.1.0",
    "websockets==17.4",
];
/// The virtual environment, in cargo's target directory.
const CLIENTS_PYTHON: &str = "clients-python";

/// The last of those clients that send names of other than ASCII letters as `filename*` alone,
/// installed into [`OLD_CLIENTS`].
const OLD_CLIENT_PACKAGES: [&str; 2] = ["requests==2.20.1", "urllib3==1.24.3"];
/// The folder for `PYTHONPATH`, in cargo's target directory.
const OLD_CLIENTS: &str = "old-clients-python";

/// What building needs: nothing where the eBPF programs of this very source are prebuilt.
pub fn for_build() -> Result<()> {
    if has_prebuilt_programs() {
        return Ok(());
    }
    for_programs()
}

/// Whether `for_build` has nothing to install.
pub fn is_ready_to_build() -> bool {
    has_prebuilt_programs() || programs::are_ready_to_build()
}

fn has_prebuilt_programs() -> bool {
    ebpf_source::prebuilt(&workspace()).is_ok_and(|object| object.is_some())
}

/// What the tests need beyond building.
pub fn for_tests() -> Result<()> {
    packages(KERNEL_TEST_TOOLS)?;
    packages(&[
        ("chromium", "chromium"),
        ("ethtool", "ethtool"),
        ("jq", "jq"),
        ("node", "nodejs"),
        ("npm", "npm"),
        ("sudo", "sudo"),
        ("strace", "strace"),
        ("tmux", "tmux"),
    ])?;
    node_packages(|_| true)?;
    for_clients();
    Ok(())
}

/// The clients that people upload with, and their servers. The tests name a client that is missing.
fn for_clients() {
    let programs = packages(&[
        ("caddy", "caddy"),
        ("faketime", "faketime"),
        ("git", "git"),
        ("h2load", "nghttp2-client"),
        ("haproxy", "haproxy"),
        ("microsocks", "microsocks"),
        ("nginx", "nginx-light"),
        ("rclone", "rclone"),
        ("rsync", "rsync"),
        ("ssh", "openssh-client"),
        ("sshd", "openssh-server"),
        ("tinyproxy", "tinyproxy"),
        ("wget", "wget"),
        ("zstd", "zstd"),
    ]);
    if let Err(error) = programs {
        log(&format!("not every client could be installed: {error:#}"));
    }
    if let Err(error) = client_packages() {
        log(&format!(
            "no client in Python could be installed: {error:#}"
        ));
    }
}

fn client_packages() -> Result<()> {
    let directory = target_dir().join(CLIENTS_PYTHON);
    let python = directory.join("bin/python");
    if !directory.join("bin/pip").exists() {
        log("Python packages are missing: the tests upload with them");
        dist::environment(&directory)?;
    }
    python_packages(&python, &directory, &CLIENT_PACKAGES, &[])?;
    let old = target_dir().join(OLD_CLIENTS);
    let into_folder = [OsStr::new("--target"), old.as_os_str()];
    python_packages(&python, &old, &OLD_CLIENT_PACKAGES, &into_folder)
}

/// The program of the collector that the benchmarks send to.
pub fn collector() -> Result<PathBuf> {
    client_packages()?;
    let python = target_dir().join(CLIENTS_PYTHON).join("bin/python");
    let folder = output(Command::new(python).args(["-c", "import rotel; print(*rotel.__path__)"]));
    let folder = folder.context("rotel cannot be imported")?;
    Ok(Path::new(folder.trim()).join("rotel-agent"))
}

/// Installs packages, and remembers in `directory` which.
fn python_packages(
    python: &Path,
    directory: &Path,
    wanted: &[&str],
    options: &[&OsStr],
) -> Result<()> {
    let installed = directory.join("installed.txt");
    let list = wanted.join("\n");
    if fs::read_to_string(&installed).is_ok_and(|installed| installed == list) {
        return Ok(());
    }
    log(&format!("missing: {}", wanted.join(", ")));
    run(Command::new(python)
        .args(["-m", "pip", "install", "--upgrade"])
        .args(["--quiet", "--disable-pip-version-check"])
        .args(options)
        .args(wanted))?;
    fs::write(installed, list)?;
    Ok(())
}

/// The targets of `cargo xtask portable`.
pub const MACOS: &str = "aarch64-apple-darwin";
pub const WINDOWS: &str = "x86_64-pc-windows-gnu";
/// The compiler and linker for Windows.
pub const MINGW: &str = "x86_64-w64-mingw32-gcc";

/// What `cargo xtask portable` needs. Without wine, its tests are skipped.
pub fn for_portable() -> Result<()> {
    rust_targets(&[MACOS, WINDOWS])?;
    let wine = [(MINGW, "gcc-mingw-w64-x86-64-posix"), ("wine", "wine")];
    packages(&wine[..1])?;
    if let Err(error) = packages(&wine) {
        log(&format!("wine could not be installed: {error:#}"));
    }
    Ok(())
}

fn rust_targets(targets: &[&str]) -> Result<()> {
    let installed = output(Command::new("rustup").args(["target", "list", "--installed"]))
        .context("rustup does not list its targets")?;
    for target in targets {
        if !installed.lines().any(|line| line == *target) {
            log(&format!("{target} is missing: the tracer is built for it"));
            run(Command::new("rustup").args(["target", "add", target]))?;
        }
    }
    Ok(())
}

/// What `cargo xtask captures --make` needs.
pub fn for_captures() -> Result<()> {
    packages(KERNEL_TEST_TOOLS)?;
    packages(&[("mergecap", "wireshark-common"), ("zstd", "zstd")])
}

/// Who uploads, and to whom, while `cargo xtask held-back` makes it slow.
pub fn for_held_back() -> Result<()> {
    packages(KERNEL_TEST_TOOLS)?;
    packages(&[
        ("chromium", "chromium"),
        ("nginx", "nginx"),
        ("node", "nodejs"),
        ("strace", "strace"),
        ("wget", "wget"),
    ])?;
    node_packages(|name| name == "playwright-core")
}

fn node_packages(is_needed: impl Fn(&str) -> bool) -> Result<()> {
    let mut needed = NODE_PACKAGES.iter().filter(|(name, ..)| is_needed(name));
    needed.try_for_each(|(name, version, purpose)| node_package(name, version, purpose))
}

/// Installed into a folder of its own in cargo's target directory.
fn node_package(name: &str, version: &str, purpose: &str) -> Result<()> {
    let directory = target_dir().join(name);
    let package = format!("{name}@{version}");
    let manifest = directory.join(format!("node_modules/{name}/package.json"));
    let version = format!("\"version\": \"{version}\"");
    if fs::read_to_string(manifest).is_ok_and(|manifest| manifest.contains(&version)) {
        return Ok(());
    }
    log(&format!("{package} is missing: it {purpose} in the tests"));
    fs::create_dir_all(&directory)?;
    run(Command::new("npm")
        .args([
            "install",
            "--no-save",
            "--no-audit",
            "--no-fund",
            "--ignore-scripts",
        ])
        .arg("--prefix")
        .arg(&directory)
        .arg(package))
}

/// What `cargo xtask run --upload` needs.
pub fn for_upload() -> Result<()> {
    packages(&[("curl", "curl")])
}

/// What `cargo xtask bench` needs: the load generator, and the peers that Debian has. A missing
/// peer is named in the results and no error.
pub fn for_bench() -> Result<()> {
    packages(&[
        ("curl", "curl"),
        ("ethtool", "ethtool"),
        ("ip", "iproute2"),
        ("nginx", "nginx-light"),
        ("wrk", "wrk"),
    ])?;
    let peers = packages(&[
        ("tcpstates", "libbpf-tools"),
        ("tcplife", "libbpf-tools"),
        ("tcplife.bt", "bpftrace"),
        ("tcpdump", "tcpdump"),
        ("tcptrace", "tcptrace"),
        ("tshark", "tshark"),
    ]);
    if let Err(error) = peers {
        log(&format!("not every peer could be installed: {error:#}"));
    }
    Ok(())
}

/// What `cargo xtask check` needs.
pub fn for_check() -> Result<()> {
    for_build()?;
    cargo_tool("cargo-deny", CARGO_DENY, "checks the dependencies")
}

/// What `cargo xtask fuzz` needs. libFuzzer is C++.
pub fn for_fuzzing() -> Result<()> {
    for_programs()?;
    packages(&[("c++", "g++")])?;
    cargo_tool("cargo-fuzz", CARGO_FUZZ, "builds and runs the fuzz targets")
}

fn cargo_tool(name: &str, version: &str, purpose: &str) -> Result<()> {
    if output(tool(name).arg("--version")).is_some() {
        return Ok(());
    }
    log(&format!("{name} {version} is missing: it {purpose}"));
    run(&mut cargo_install(name, version))
}

/// These tools run for seconds and are built for minutes: without optimisation they are ready
/// sooner.
fn cargo_install(package: &str, version: &str) -> Command {
    let mut command = tool("cargo");
    command
        .env_remove("CARGO_TERM_QUIET")
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0")
        .env("CARGO_PROFILE_RELEASE_LTO", "off")
        .current_dir(env::temp_dir())
        .args(["install", package, "--locked", "--version", version]);
    command
}
