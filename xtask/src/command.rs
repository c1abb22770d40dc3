//! Runs other programs; prints each command before it runs.

use std::{
    env,
    ffi::OsStr,
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail};

/// A program that cargo may just have installed: found in cargo's own `bin` even if `PATH` lacks
/// it.
pub fn tool(program: impl AsRef<OsStr>) -> Command {
    let mut dirs: Vec<PathBuf> =
        env::split_paths(&env::var_os("PATH").unwrap_or_default()).collect();
    let cargo_home = env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cargo")));
    dirs.extend(cargo_home.map(|home| home.join("bin")));
    let mut command = Command::new(program);
    if let Ok(path) = env::join_paths(dirs) {
        command.env("PATH", path);
    }
    command
}

/// The cargo that runs this, in the workspace's folder.
pub fn cargo() -> Command {
    let mut command = cargo_here();
    command.current_dir(workspace());
    command
}

/// The same in the current folder.
pub fn cargo_here() -> Command {
    let mut command = tool(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // Set for build scripts in .cargo/config.toml.
    command.env_remove("CARGO_TERM_QUIET");
    command
}

/// The workspace's folder: the one above the running package that has the lock file.
pub fn workspace() -> PathBuf {
    let package = env::var_os("CARGO_MANIFEST_DIR").map_or_else(PathBuf::new, PathBuf::from);
    package
        .ancestors()
        .find(|folder| folder.join("Cargo.lock").exists())
        .map_or_else(|| PathBuf::from("."), PathBuf::from)
}

/// Cargo's target directory.
pub fn target_dir() -> PathBuf {
    match env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => workspace().join(dir),
        None => workspace().join("target"),
    }
}

/// Prints the command, runs it, and fails if it fails.
pub fn run(command: &mut Command) -> Result<()> {
    log(&format!("$ {}", shown(command)));
    // Standard output belongs to the data of `xtask run`.
    let status = command
        .stdin(Stdio::null())
        .stdout(std::io::stderr())
        .status()
        .with_context(|| format!("`{}` cannot be started", shown(command)))?;
    if !status.success() {
        bail!("`{}` failed: {status}", shown(command));
    }
    Ok(())
}

/// What a program prints, if it succeeds.
pub fn output(command: &mut Command) -> Option<String> {
    let output = command.stderr(Stdio::null()).output().ok()?;
    if !output.status.success() {
        return None;
    }
    String::from_utf8(output.stdout).ok()
}

/// Whether `PATH` has a program of this name.
pub fn is_installed(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|dir| dir.join(program).is_file())
}

/// The command as root.
pub fn as_root(program: &str) -> Command {
    if is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("sudo");
    command.arg(program);
    command
}

pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Prints a line on stderr: stdout is for data.
pub fn log(line: &str) {
    eprintln!("xtask: {line}");
}

fn shown(command: &Command) -> String {
    let mut words = Vec::new();
    for (name, value) in command.get_envs() {
        if let Some(value) = value.filter(|_| name != "PATH") {
            words.push(format!("{}={}", name.display(), value.display()));
        }
    }
    let program = PathBuf::from(command.get_program());
    words.push(program.file_name().map_or_else(
        || program.display().to_string(),
        |name| name.display().to_string(),
    ));
    words.extend(command.get_args().map(|word| word.display().to_string()));
    words.join(" ")
}
