//! apt, with this machine's sources or with all of Debian's releases. Either way apt checks what it fetches: the lists by
//! the keys of Debian's archive, the packages by the digests in the lists.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;

use xtask::{
    architecture::Architecture,
    command::{as_root, log, output, run},
};

/// The suites that have kernels, and the label of the archive that has each. One that the mirror has no longer is left
/// out.
const SUITES: [(&str, &str); 9] = [
    ("Debian", "bullseye"),
    ("Debian-Security", "bullseye-security"),
    ("Debian", "bookworm"),
    ("Debian-Security", "bookworm-security"),
    ("Debian", "bookworm-backports"),
    ("Debian", "trixie"),
    ("Debian-Security", "trixie-security"),
    ("Debian", "trixie-backports"),
    ("Debian", "sid"),
];

/// The keys of the archive, of its past and coming releases too (`debian-archive-keyring`).
pub(in crate::kernels) const KEYS: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

pub(super) enum Apt {
    OfThisMachine,
    /// With settings, sources and lists of its own, which are removed with it.
    OfAllReleases(TempDir),
}

impl Apt {
    /// Fetches the lists: some 30 MB.
    pub(super) fn of_all_releases(architecture: Architecture, within: &Path) -> Result<Self> {
        log(&format!(
            "reading which kernels Debian's releases have for {architecture}"
        ));
        let own = tempfile::tempdir_in(within)?;
        let folder = fs::canonicalize(own.path())?;
        let mut archives = archives()?;
        if archives.is_empty() {
            Self::OfThisMachine.update()?;
            archives = self::archives()?;
        }
        let mut sources = String::new();
        for (label, suite) in SUITES {
            let found = archives.iter().find(|archive| archive.label == label);
            if let Some(Archive { address, .. }) = found {
                sources.push_str(&format!("deb [signed-by={KEYS}] {address} {suite} main\n"));
            }
        }
        ensure!(!sources.is_empty(), "apt has no source of Debian's");
        for place in ["lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(folder.join(place))?;
        }
        fs::write(folder.join("sources.list"), sources)?;
        fs::write(folder.join("status"), "")?;
        fs::write(folder.join("apt.conf"), settings(&folder, architecture))?;
        let apt = Self::OfAllReleases(own);
        // Fails where the mirror lacks a suite, and has the others.
        let _ = run(apt.command("apt-get").args(["-qq", "update"]));
        Ok(apt)
    }

    pub(super) fn update(&self) -> Result<()> {
        match self {
            Self::OfThisMachine => run(as_root("apt-get").args(["-qq", "update"])),
            Self::OfAllReleases(_) => Ok(()),
        }
    }

    /// The packages whose names match an expression.
    pub(super) fn search(&self, names: &str) -> Vec<String> {
        let mut search = self.command("apt-cache");
        let found = output(search.args(["search", "--names-only", names])).unwrap_or_default();
        let names = found
            .lines()
            .filter_map(|line| line.split_whitespace().next());
        names.map(str::to_owned).collect()
    }

    pub(super) fn download(&self, packages: &[String], into: &Path) -> Result<()> {
        run(self
            .command("apt-get")
            .args(["-qq", "download"])
            .args(packages)
            .current_dir(into))
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        if let Self::OfAllReleases(own) = self {
            command.env("APT_CONFIG", own.path().join("apt.conf"));
        }
        command
    }
}

fn settings(folder: &Path, architecture: Architecture) -> String {
    let folder = folder.display();
    let architecture = architecture.of_debian();
    format!(
        r#"Dir::Etc::sourcelist "{folder}/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::State::lists "{folder}/lists";
Dir::State::status "{folder}/status";
Dir::Cache "{folder}/cache";
APT::Architecture "{architecture}";
APT::Architectures {{ "{architecture}"; }};
APT::Sandbox::User "";
Acquire::Languages "none";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
"#
    )
}

/// Where this machine's apt finds an archive of Debian's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::kernels) struct Archive {
    /// `Debian`, for one.
    pub(in crate::kernels) label: String,
    pub(in crate::kernels) address: String,
}

/// All of them, as the sources name them that were fetched.
pub(in crate::kernels) fn archives() -> Result<BTreeSet<Archive>> {
    let mut targets = Command::new("apt-get");
    targets.args(["indextargets", "--format", "$(LABEL) $(REPO_URI)"]);
    targets.args(["Created-By: Packages", "Origin: Debian"]);
    let listed =
        output(&mut targets).context("`apt-get indextargets` does not list its sources")?;
    let archive = |line: &str| {
        let (label, address) = line.split_once(' ')?;
        Some(Archive {
            label: label.to_owned(),
            address: address.to_owned(),
        })
    };
    Ok(listed.lines().filter_map(archive).collect())
}
