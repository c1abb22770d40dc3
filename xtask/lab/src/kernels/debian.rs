//! Debian's kernels: fetched by apt, unpacked and kept.

pub(super) mod apt;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use self::apt::Apt;
use super::kernel_name::KernelName;
use xtask::{
    architecture::Architecture,
    command::{log, run},
};

/// Folders of the modules that the tests need: the network's, and their dependencies. A kernel may lack one.
const MODULES: [&str; 6] = [
    "net",
    "lib",
    "crypto",
    "arch/x86/crypto",
    "arch/arm64/crypto",
    NETWORK_DEVICES,
];

/// Those of devices that are programs alone. Those of cards are in folders within it.
const NETWORK_DEVICES: &str = "drivers/net";

/// An unpacked kernel.
pub(super) struct Kernel {
    pub(super) name: KernelName,
    /// The folder it is kept in.
    pub(super) folder: PathBuf,
    /// The compressed kernel.
    pub(super) image: PathBuf,
    /// The kernel's modules: `/lib/modules` of the virtual machine.
    pub(super) modules: PathBuf,
}

/// Fetches kernels into a folder, where one that is kept is taken as it is.
pub(super) struct Kernels {
    folder: PathBuf,
    /// Whether this machine's lists of packages are fresh.
    is_updated: bool,
    /// Sources beyond this machine's, once they are needed.
    all_releases: Vec<(Architecture, Apt)>,
}

impl Kernels {
    pub(super) const fn kept_in(folder: PathBuf) -> Self {
        Self {
            folder,
            is_updated: false,
            all_releases: Vec::new(),
        }
    }

    /// The newest kernel of a series.
    pub(super) fn kernel(&mut self, name: KernelName) -> Result<Kernel> {
        let kept = self.folder.join(name.folder());
        if !kept.exists() {
            self.fetch(&name, &kept)?;
        }
        let image = only_file(&kept.join("boot"), "vmlinuz-")?;
        Ok(Kernel {
            name,
            image,
            modules: kept.join("modules"),
            folder: kept,
        })
    }

    fn fetch(&mut self, name: &KernelName, kept: &Path) -> Result<()> {
        fs::create_dir_all(&self.folder)?;
        let unpacked = tempfile::tempdir_in(&self.folder)?;
        self.download(name, unpacked.path())?;
        while let Ok(archive) = only_file(unpacked.path(), "linux-") {
            run(Command::new("dpkg-deb")
                .arg("--extract")
                .arg(&archive)
                .arg(unpacked.path()))?;
            fs::remove_file(archive)?;
        }
        keep_needed(unpacked.path())?;
        fs::rename(unpacked.keep(), kept).context("the kernel cannot be kept")
    }

    fn download(&mut self, name: &KernelName, into: &Path) -> Result<()> {
        if name.architecture == Architecture::of_this_machine()? {
            let apt = Apt::OfThisMachine;
            let found = releases(&apt, name);
            // The lists may name a package that was replaced since.
            if download_first(&apt, &found[..found.len().min(1)], into).unwrap_or(false) {
                return Ok(());
            }
            if !self.is_updated {
                apt.update()?;
                self.is_updated = true;
            }
            if download_first(&apt, &releases(&apt, name), into)? {
                return Ok(());
            }
        }
        let apt = self.all_releases(name.architecture)?;
        if download_first(apt, &releases(apt, name), into)? {
            return Ok(());
        }
        let series = series(&apt.search(&packages("[0-9.]+", &name.build())));
        bail!(
            "no release of Debian has Linux {name}; they have {}",
            series.join(", ")
        )
    }

    fn all_releases(&mut self, architecture: Architecture) -> Result<&Apt> {
        let of_it = |(known, _): &(Architecture, Apt)| *known == architecture;
        let place = match self.all_releases.iter().position(of_it) {
            Some(place) => place,
            None => {
                let apt = Apt::of_all_releases(architecture, &self.folder)?;
                self.all_releases.push((architecture, apt));
                self.all_releases.len() - 1
            }
        };
        Ok(&self.all_releases[place].1)
    }
}

/// The packages of each release of a series, the newest first.
fn releases(apt: &Apt, name: &KernelName) -> Vec<Vec<String>> {
    let series = format!("{}\\.", name.series.replace('.', "\\."));
    newest_first(apt.search(&packages(&series, &name.build())))
}

/// Whether there is one. A release that the lists name and the mirror has no longer is passed over.
fn download_first(apt: &Apt, releases: &[Vec<String>], into: &Path) -> Result<bool> {
    let mut downloaded = Ok(false);
    for packages in releases {
        log(&format!("fetching {}", packages.join(", ")));
        downloaded = apt.download(packages, into).map(|()| true);
        if downloaded.is_ok() {
            break;
        }
        while let Ok(archive) = only_file(into, "linux-") {
            fs::remove_file(archive)?;
        }
    }
    downloaded
}

/// From Linux 7.0 on, kernel, modules and their index are packages of their own, which that of the image depends on.
fn packages(series: &str, build: &str) -> String {
    format!("^linux-(image|binary|modules|base)-{series}.*[0-9]-{build}$")
}

/// The packages of each release, by the numbers in their names.
fn newest_first(names: Vec<String>) -> Vec<Vec<String>> {
    let mut releases: BTreeMap<Vec<u32>, Vec<String>> = BTreeMap::new();
    for name in names {
        releases.entry(numbers(&name)).or_default().push(name);
    }
    releases.into_values().rev().collect()
}

/// `6.12`, for one, of each name, from the oldest to the newest.
fn series(names: &[String]) -> Vec<String> {
    let mut found: Vec<[u32; 2]> = names
        .iter()
        .filter_map(|name| numbers(name).first_chunk().copied())
        .collect();
    found.sort_unstable();
    found.dedup();
    found
        .iter()
        .map(|[major, minor]| format!("{major}.{minor}"))
        .collect()
}

/// Up to the architecture, which may have digits.
fn numbers(name: &str) -> Vec<u32> {
    let release = name.rsplit_once('-').map_or(name, |(release, _)| release);
    release
        .split(|c: char| !c.is_ascii_digit())
        .filter_map(|digits| digits.parse().ok())
        .collect()
}

/// Keeps the kernel in `boot` and the needed modules in `modules`, with an index of their dependencies.
fn keep_needed(unpacked: &Path) -> Result<()> {
    let places = ["lib/modules", "usr/lib/modules"].map(|place| unpacked.join(place));
    let all = places.into_iter().find(|place| place.exists());
    let all = all.context("a kernel without modules")?;
    let release = only_file(&all, "")?;
    let release = release.file_name().context("a kernel without modules")?;
    let from = all.join(release);
    let image = from.join("vmlinuz");
    if image.exists() {
        let boot = unpacked.join("boot");
        fs::create_dir_all(&boot)?;
        fs::rename(image, boot.join("vmlinuz-")).context("vmlinuz")?;
    }
    let to = unpacked.join("modules/lib/modules").join(release);
    fs::create_dir_all(&to)?;
    for index in [
        "modules.order",
        "modules.builtin",
        "modules.builtin.modinfo",
    ] {
        fs::rename(from.join(index), to.join(index)).context(index)?;
    }
    for folder in MODULES {
        let (from, place) = (
            from.join("kernel").join(folder),
            to.join("kernel").join(folder),
        );
        fs::create_dir_all(place.parent().unwrap_or(&to))?;
        if from.exists() {
            fs::rename(from, place).context(folder)?;
        }
    }
    remove_folders_in(&to.join("kernel").join(NETWORK_DEVICES))?;
    for folder in ["lib", "usr"] {
        if unpacked.join(folder).exists() {
            fs::remove_dir_all(unpacked.join(folder))?;
        }
    }
    run(Command::new("depmod")
        .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
        .arg("--basedir")
        .arg(unpacked.join("modules"))
        .arg(release))
}

fn remove_folders_in(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

fn only_file(folder: &Path, start: &str) -> Result<PathBuf> {
    let mut files = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    files
        .find_map(|file| {
            let file = file.ok()?;
            let name = file.file_name().into_string().ok()?;
            name.starts_with(start).then(|| file.path())
        })
        .with_context(|| format!("nothing called {start}… is in {}", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::{newest_first, series};

    fn names(all: &[&str]) -> Vec<String> {
        all.iter().map(|name| format!("linux-{name}")).collect()
    }

    #[test]
    fn the_newest_has_the_largest_numbers() {
        let check = |all: &[&str], expected: &[&[&str]]| {
            let expected: Vec<Vec<String>> = expected.iter().map(|one| names(one)).collect();
            assert_eq!(newest_first(names(all)), expected);
        };
        check(&[], &[]);
        check(
            &[
                "image-6.1.0-9-cloud-amd64",
                "image-6.1.0-56-cloud-amd64",
                "image-6.1.0-48-cloud-amd64",
            ],
            &[
                &["image-6.1.0-56-cloud-amd64"],
                &["image-6.1.0-48-cloud-amd64"],
                &["image-6.1.0-9-cloud-amd64"],
            ],
        );
        check(
            &[
                "image-6.12.99+deb12-rt-arm64",
                "image-6.12.117+deb12-rt-arm64",
            ],
            &[
                &["image-6.12.117+deb12-rt-arm64"],
                &["image-6.12.99+deb12-rt-arm64"],
            ],
        );
        check(
            &[
                "binary-7.3.4+deb13-rt-amd64",
                "image-7.3.3+deb14-rt-amd64",
                "image-7.3.4+deb13-rt-amd64",
                "modules-7.3.4+deb13-rt-amd64",
            ],
            &[
                &[
                    "binary-7.3.4+deb13-rt-amd64",
                    "image-7.3.4+deb13-rt-amd64",
                    "modules-7.3.4+deb13-rt-amd64",
                ],
                &["image-7.3.3+deb14-rt-amd64"],
            ],
        );
    }

    #[test]
    fn series_are_in_order() {
        let all = names(&[
            "image-6.12.117+deb12-cloud-arm64",
            "image-6.1.0-56-cloud-arm64",
            "image-6.1.0-57-cloud-arm64",
            "image-5.10.0-46-cloud-arm64",
        ]);
        assert_eq!(series(&all), ["5.10", "6.1", "6.12"]);
    }
}
