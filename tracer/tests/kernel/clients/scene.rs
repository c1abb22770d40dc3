//! A namespace for servers and clients, each side in a cgroup of its own, so that a tracer can watch
//! both ends or one.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use rustix::fs::{Access, access};
use tracer::internals::kernel::cgroups::cgroup2_root;

use super::story::Story;
use crate::lab::{Lab, Script, Tracer, is_emulated, run, skip, wait_until};

/// The sizes of each client's uploads.
pub(super) const SIZES: [usize; 20] = [
    1_000, 2_000, 4_000, 8_000, 12_000, 17_000, 40_000, 80_000, 120_000, 160_000, 220_000, 300_000,
    400_000, 600_000, 1_000_000, 1_500_000, 2_500_000, 5_000_000, 10_000_000, 20_000_000,
];

/// Those of a client that starts slowly, unless `cargo xtask clients` asks for all.
const FEW_SIZES: [usize; 7] = [
    1_000, 12_000, 17_000, 160_000, 1_000_000, 5_000_000, 20_000_000,
];

pub(super) fn sizes_of_slow_clients() -> &'static [usize] {
    match std::env::var_os("CLIENTS_ALL_SIZES") {
        Some(_) => &SIZES,
        None => &FEW_SIZES,
    }
}

pub(super) struct Scene {
    pub(super) lab: Lab,
    cgroups: Cgroups,
}

impl Scene {
    /// Nothing where one of these programs is missing, which is said.
    pub(super) fn new(client: &str, programs: &[&str]) -> Option<Self> {
        if is_emulated() {
            skip(&format!("{client}: the emulated machine does not have it"));
            return None;
        }
        if let Some(missing) = programs.iter().find(|program| !is_there(program)) {
            skip(&format!(
                "{client}: this machine has no {missing}; `cargo xtask test` installs it"
            ));
            return None;
        }
        let lab = Lab::new();
        Some(Self {
            cgroups: Cgroups::new(),
            lab,
        })
    }

    /// A program on the client's side.
    pub(super) fn client(&self, program: impl AsRef<Path>) -> Command {
        self.within(&self.cgroups.clients, program.as_ref())
    }

    /// A program on the server's side.
    pub(super) fn server(&self, program: impl AsRef<Path>) -> Command {
        self.within(&self.cgroups.servers, program.as_ref())
    }

    fn within(&self, cgroup: &Path, program: &Path) -> Command {
        let enter = format!(r#"echo $$ >{}/cgroup.procs; exec "$@""#, cgroup.display());
        let mut command = self.lab.inside("sh");
        command.args(["-c", &enter, "sh"]).arg(program);
        // What a machine's user has set must not reach the clients.
        for variable in [
            "AWS_CA_BUNDLE",
            "http_proxy",
            "https_proxy",
            "all_proxy",
            "no_proxy",
        ] {
            command.env_remove(variable);
            command.env_remove(variable.to_uppercase());
        }
        command
    }

    /// A server in Python.
    pub(super) fn python_server(&self, text: &str, arguments: &[&str]) -> Script {
        Script::start_with(self.server(python()), text, arguments)
    }

    /// Runs a client in Python to its end.
    pub(super) fn python_client(&self, text: &str, arguments: &[&str], files: &[String]) {
        let mut python = self.client(python());
        run(python.args(["-c", text]).args(arguments).args(files));
    }

    /// A server of another kind, once it listens.
    pub(super) fn listening(&self, mut command: Command, port: u16) -> Running {
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn();
        let running = Running(child.unwrap());
        let filter = format!("sport = :{port}");
        wait_until(|| !run(self.lab.inside("ss").args(["-ltnH", &filter])).is_empty());
        running
    }

    /// Three tracers: of both ends, of the client's, of the server's.
    pub(super) fn watch(&self) -> Watch {
        let of = |cgroup: &Path| {
            let path = cgroup.to_str().unwrap();
            self.lab
                .tracer_alone(&["-o", "ndjson", "--ring-size", "33554432", "--cgroup", path])
        };
        Watch {
            both: of(&self.cgroups.both),
            client: of(&self.cgroups.clients),
            server: of(&self.cgroups.servers),
        }
    }
}

/// The tracers of a scene.
pub(super) struct Watch {
    both: Tracer,
    client: Tracer,
    server: Tracer,
}

impl Watch {
    /// Once no connection is open.
    pub(super) fn stop(self, scene: &Scene) -> Story {
        wait_until(|| run(scene.lab.inside("ss").arg("-tnH")).is_empty());
        Story {
            both: self.both.stop(),
            client: self.client.stop(),
            server: self.server.stop(),
        }
    }
}

/// A server that ends with this.
pub(super) struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A cgroup, and one below it for each side. What still runs in them ends with this.
struct Cgroups {
    both: PathBuf,
    clients: PathBuf,
    servers: PathBuf,
}

impl Cgroups {
    fn new() -> Self {
        let root = cgroup2_root().unwrap().expect("no cgroup2 is mounted");
        let both = root.join(format!("tracer-clients-{}", std::process::id()));
        let cgroups = Self {
            clients: both.join("clients"),
            servers: both.join("servers"),
            both,
        };
        fs::create_dir_all(&cgroups.clients).unwrap();
        fs::create_dir_all(&cgroups.servers).unwrap();
        cgroups
    }
}

impl Drop for Cgroups {
    fn drop(&mut self) {
        let _ = fs::write(self.both.join("cgroup.kill"), "1");
        for directory in [&self.clients, &self.servers, &self.both] {
            wait_until(|| fs::remove_dir(directory).is_ok());
        }
    }
}

/// A Python that has the clients' packages.
pub(crate) fn python() -> PathBuf {
    target().join("clients-python/bin/python")
}

fn target() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap()
}

/// Whether the program is installed.
pub(crate) fn is_there(program: &str) -> bool {
    let is_executable = |path: &Path| access(path, Access::EXEC_OK).is_ok();
    if program == "python" {
        return is_executable(&python());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| is_executable(&directory.join(program)))
}

/// Where [`files`] are.
pub(super) fn folder() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("clients")
}

/// Paths of files of these sizes, which do not compress. They are made once.
pub(super) fn files(sizes: &[usize]) -> Vec<String> {
    let directory = folder();
    fs::create_dir_all(&directory).unwrap();
    let largest = *SIZES.last().unwrap();
    let mut content = None;
    sizes
        .iter()
        .map(|size| {
            let path = directory.join(format!("f-{size}"));
            let is_whole = fs::metadata(&path).is_ok_and(|file| file.len() == *size as u64);
            if !is_whole {
                let content = content.get_or_insert_with(|| noise(largest));
                fs::write(&path, &content[..*size]).unwrap();
            }
            path.to_str().unwrap().to_owned()
        })
        .collect()
}

/// Marsaglia's xorshift.
fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    (0..bytes.div_ceil(8))
        .flat_map(|_| next().to_le_bytes())
        .take(bytes)
        .collect()
}
