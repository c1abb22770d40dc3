//! Debian's kernels: fetched by apt, unpacked and kept.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use xtask::command::{as_root, log, output, run};

/// Folders of the modules that the tests need: the network's, and their dependencies.
const MODULES: [&str; 5] = ["net", "lib", "crypto", "arch/x86/crypto", "drivers/net"];

/// An unpacked kernel.
pub(super) struct Kernel {
    /// `6.1`, for one.
    pub(super) series: String,
    /// The folder it is kept in.
    pub(super) folder: PathBuf,
    /// The compressed kernel.
    pub(super) image: PathBuf,
    /// The kernel's modules: `/lib/modules` of the virtual machine.
    pub(super) modules: PathBuf,
}

/// The newest kernel of a series, for machines of a cloud: they are the smallest. Kept below
/// `folder`, where one of the series is taken as it is.
pub(super) fn kernel(series: &str, folder: &Path) -> Result<Kernel> {
    let numbers: Vec<&str> = series.split('.').collect();
    if numbers.len() != 2 || numbers.iter().any(|number| number.parse::<u32>().is_err()) {
        bail!("{series} is no series of kernels: name one like 6.12, or `running`");
    }
    let kept = folder.join(series);
    if !kept.exists() {
        fetch(series, folder, &kept)?;
    }
    let image = only_file(&kept.join("boot"), "vmlinuz-")?;
    Ok(Kernel {
        series: series.to_owned(),
        image,
        modules: kept.join("modules"),
        folder: kept,
    })
}

fn fetch(series: &str, folder: &Path, kept: &Path) -> Result<()> {
    fs::create_dir_all(folder)?;
    let package = match newest(series) {
        Some(package) => package,
        None => {
            run(as_root("apt-get").args(["-qq", "update"]))?;
            newest(series).with_context(|| {
                format!("Debian has no package with Linux {series} for this release: see `apt-cache search linux-image`")
            })?
        }
    };
    log(&format!("fetching {package}"));
    let unpacked = tempfile::tempdir_in(folder)?;
    let download = || {
        run(Command::new("apt-get")
            .args(["-qq", "download", &package])
            .current_dir(unpacked.path()))
    };
    if download().is_err() {
        // The list may name a package that was replaced since.
        run(as_root("apt-get").args(["-qq", "update"]))?;
        download()?;
    }
    let archive = only_file(unpacked.path(), "linux-image-")?;
    run(Command::new("dpkg-deb")
        .arg("--extract")
        .arg(&archive)
        .arg(unpacked.path()))?;
    fs::remove_file(archive)?;
    keep_modules(unpacked.path())?;
    fs::rename(unpacked.keep(), kept).context("the kernel cannot be kept")
}

/// Keeps the needed modules in `modules`, with an index of their dependencies.
fn keep_modules(unpacked: &Path) -> Result<()> {
    let all = unpacked.join("lib/modules");
    let release = only_file(&all, "")?;
    let release = release.file_name().context("a kernel without modules")?;
    let from = all.join(release);
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
        let place = to.join("kernel").join(folder);
        fs::create_dir_all(place.parent().unwrap_or(&to))?;
        fs::rename(from.join("kernel").join(folder), place).context(folder)?;
    }
    fs::remove_dir_all(unpacked.join("lib"))?;
    fs::remove_dir_all(unpacked.join("usr"))?;
    run(Command::new("depmod")
        .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
        .arg("--basedir")
        .arg(unpacked.join("modules"))
        .arg(release))
}

/// The newest package of a series, by the numbers in its name.
fn newest(series: &str) -> Option<String> {
    let names = format!(
        "^linux-image-{}\\.[0-9].*-cloud-amd64$",
        series.replace('.', "\\.")
    );
    let found = output(Command::new("apt-cache").args(["search", "--names-only", &names]))?;
    found
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .max_by_key(|name| numbers(name))
        .map(str::to_owned)
}

fn numbers(name: &str) -> Vec<u32> {
    name.split(|c: char| !c.is_ascii_digit())
        .filter_map(|digits| digits.parse().ok())
        .collect()
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
    use super::numbers;

    #[test]
    fn the_newest_has_the_largest_numbers() {
        let newest = ["6.1.0-9", "6.1.0-56", "6.1.0-48"]
            .into_iter()
            .max_by_key(|name| numbers(name));
        assert_eq!(newest, Some("6.1.0-56"));
        assert!(numbers("6.12.117+deb12") > numbers("6.12.99+deb12"));
    }
}
