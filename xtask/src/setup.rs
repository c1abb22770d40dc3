//! Installs what is missing, and says what and why.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use crate::command::{as_root, is_installed, log, output, run, target_dir, tool};

/// bpf-linker takes the bitcode that rustc makes: it must know that LLVM.
const BPF_LINKER: &str = "0.13.0";
/// The cargo-fuzz that is installed where there is none.
const CARGO_FUZZ: &str = "0.13.2";

/// What the tests take from npm, by version and by what for.
const NODE_PACKAGES: [(&str, &str, &str); 3] = [
    ("tus-js-client", "4.3.1", "uploads as others do"),
    ("playwright-core", "1.65.1", "drives the browser"),
    ("axe-core", "4.14.1", "looks for what hinders people"),
];

/// What building needs: make for the upload server's allocator, and for the eBPF programs rust-src
/// on the nightly toolchain, and a bpf-linker that matches the nightly's LLVM.
pub fn for_build() -> Result<()> {
    packages(&[("make", "make")])?;
    let llvm = nightly_llvm()?;
    rust_src()?;
    bpf_linker(llvm)
}

/// What the tests on a kernel call, by Debian package.
pub const KERNEL_TEST_TOOLS: &[(&str, &str)] = &[
    ("capsh", "libcap2-bin"),
    ("setcap", "libcap2-bin"),
    ("curl", "curl"),
    ("ip", "iproute2"),
    ("ss", "iproute2"),
    ("nft", "nftables"),
    ("nsenter", "util-linux"),
    ("openssl", "openssl"),
    ("python3", "python3"),
    ("tcpdump", "tcpdump"),
    ("tshark", "tshark"),
];

/// What the tests call, by Debian package.
pub fn for_tests() -> Result<()> {
    packages(KERNEL_TEST_TOOLS)?;
    packages(&[
        ("chromium", "chromium"),
        ("ethtool", "ethtool"),
        ("node", "nodejs"),
        ("npm", "npm"),
    ])?;
    NODE_PACKAGES
        .iter()
        .try_for_each(|(name, version, purpose)| node_package(name, version, purpose))
}

/// What `cargo xtask kernels` calls.
pub fn for_kernels() -> Result<()> {
    for_build()?;
    packages(KERNEL_TEST_TOOLS)?;
    packages(&[
        ("qemu-system-x86_64", "qemu-system-x86"),
        ("kmod", "kmod"),
        ("strip", "binutils"),
    ])
}

/// Each has a folder of its own in cargo's.
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

/// What `cargo xtask run --upload` calls.
pub fn for_upload() -> Result<()> {
    packages(&[("curl", "curl")])
}

/// What `cargo xtask bench` calls: the load, and the peers that Debian has. Without a peer it goes on,
/// and names it as absent.
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
    ]);
    if let Err(error) = peers {
        log(&format!("not every peer could be installed: {error:#}"));
    }
    Ok(())
}

/// What `cargo xtask fuzz` calls; libFuzzer is C++.
pub fn for_fuzzing() -> Result<()> {
    for_build()?;
    packages(&[("c++", "g++")])?;
    cargo_fuzz()
}

fn cargo_fuzz() -> Result<()> {
    if output(tool("cargo-fuzz").arg("--version")).is_some() {
        return Ok(());
    }
    log(&format!(
        "cargo-fuzz {CARGO_FUZZ} is missing: it builds and runs the fuzz targets"
    ));
    run(&mut cargo_install("cargo-fuzz", CARGO_FUZZ))
}

/// Major version of the LLVM within the nightly rustc.
fn nightly_llvm() -> Result<u32> {
    let version = match nightly_rustc(&["-vV"]) {
        Some(version) => version,
        None => {
            log("the nightly toolchain builds the eBPF programs");
            run(Command::new("rustup").args([
                "toolchain",
                "install",
                "nightly",
                "--profile",
                "minimal",
            ]))?;
            nightly_rustc(&["-vV"]).context("the nightly toolchain does not run")?
        }
    };
    version
        .lines()
        .find_map(|line| line.strip_prefix("LLVM version: "))
        .and_then(|version| version.split('.').next()?.parse().ok())
        .context("the nightly rustc does not say which LLVM it has")
}

fn rust_src() -> Result<()> {
    let sysroot =
        nightly_rustc(&["--print", "sysroot"]).context("the nightly rustc does not run")?;
    let library = Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library/core");
    if library.exists() {
        return Ok(());
    }
    log("rust-src is missing: the eBPF programs are built with their own `core`");
    run(Command::new("rustup").args(["component", "add", "rust-src", "--toolchain", "nightly"]))
}

/// A bpf-linker of the version above is taken to match: this installed it, or somebody who knew.
fn bpf_linker(llvm: u32) -> Result<()> {
    let found = output(tool("bpf-linker").arg("--version"));
    if found.is_some_and(|version| version.contains(BPF_LINKER)) {
        return Ok(());
    }
    log(&format!(
        "bpf-linker {BPF_LINKER} is missing: it links the eBPF programs, built against LLVM {llvm} as the nightly rustc is"
    ));
    let prefix = llvm_library(llvm)?;
    let llvm_feature = format!("llvm-{llvm}");
    run(cargo_install("bpf-linker", BPF_LINKER)
        .env("LLVM_PREFIX", prefix)
        .args(["--force", "--no-default-features", "--features"])
        .arg(llvm_feature))?;
    output(tool("bpf-linker").arg("--version"))
        .map(drop)
        .context("bpf-linker was installed and does not run")
}

fn cargo_install(package: &str, version: &str) -> Command {
    let mut command = tool("cargo");
    command
        .env_remove("CARGO_TERM_QUIET")
        .current_dir(env::temp_dir())
        .args(["install", package, "--locked", "--version", version]);
    command
}

fn llvm_library(llvm: u32) -> Result<PathBuf> {
    let prefix = PathBuf::from(format!("/usr/lib/llvm-{llvm}"));
    if !prefix.join("bin/llvm-config").exists() {
        log(&format!("LLVM {llvm}'s library is missing"));
        let package = format!("llvm-{llvm}-dev");
        install(&[&package]).with_context(|| {
            format!(
                "bpf-linker needs LLVM {llvm}: install it, then `LLVM_PREFIX=… cargo install bpf-linker --no-default-features --features llvm-{llvm}`; or install a prebuilt bpf-linker with `cargo binstall bpf-linker`"
            )
        })?;
    }
    Ok(prefix)
}

fn nightly_rustc(arguments: &[&str]) -> Option<String> {
    output(
        Command::new("rustup")
            .args(["run", "nightly", "rustc"])
            .args(arguments),
    )
}

fn packages(wanted: &[(&str, &str)]) -> Result<()> {
    let mut missing: Vec<&str> = wanted
        .iter()
        .filter(|(program, _)| !is_installed(program))
        .map(|(_, package)| *package)
        .collect();
    missing.dedup();
    if missing.is_empty() {
        return Ok(());
    }
    log(&format!("missing: {}", missing.join(", ")));
    install(&missing)
}

fn install(packages: &[&str]) -> Result<()> {
    if !is_installed("apt-get") {
        bail!(
            "this is not a Debian system: install {} by hand",
            packages.join(", ")
        );
    }
    run(as_root("apt-get").args(["-qq", "update"]))?;
    run(as_root("env")
        .args([
            "DEBIAN_FRONTEND=noninteractive",
            "apt-get",
            "-qq",
            "install",
            "--yes",
        ])
        .arg("--no-install-recommends")
        .args(packages))
}
