//! Which kernel: a series, one of Debian's builds of it, and an architecture.

use std::fmt;

use anyhow::{Result, bail};

use xtask::architecture::Architecture;

/// Ends the name of a build with PREEMPT_RT.
const REAL_TIME: &str = "-rt";

/// As the table names it: `6.12`, `6.12-rt`, `6.12-rt aarch64`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KernelName {
    /// `6.12`, for one.
    pub(super) series: String,
    pub(super) is_real_time: bool,
    pub(super) architecture: Architecture,
}

impl KernelName {
    pub(super) fn parse(name: &str, architecture: Architecture) -> Result<Self> {
        let series = name.strip_suffix(REAL_TIME).unwrap_or(name);
        let numbers: Vec<&str> = series.split('.').collect();
        if numbers.len() != 2 || numbers.iter().any(|number| number.parse::<u32>().is_err()) {
            bail!("{name} is no series of kernels: name one like 6.12, or 6.12-rt, or `running`");
        }
        Ok(Self {
            series: series.to_owned(),
            is_real_time: series != name,
            architecture,
        })
    }

    /// How Debian's packages end: the build for machines of a cloud is the smallest.
    pub(super) fn build(&self) -> String {
        let kind = if self.is_real_time { "rt" } else { "cloud" };
        format!("{kind}-{}", self.architecture.of_debian())
    }

    /// The folder that it is kept in.
    pub(super) fn folder(&self) -> String {
        format!("{}-{}", self.series, self.build())
    }
}

impl fmt::Display for KernelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.series)?;
        if self.is_real_time {
            f.write_str(REAL_TIME)?;
        }
        if self.architecture == Architecture::X86_64 {
            return Ok(());
        }
        write!(f, " {}", self.architecture)
    }
}

#[cfg(test)]
mod tests {
    use super::{Architecture, KernelName};

    #[test]
    fn names_lead_to_packages() {
        let check = |name: &str, architecture, shown: &str, folder: &str| {
            let name = KernelName::parse(name, architecture).unwrap();
            assert_eq!((&*name.to_string(), &*name.folder()), (shown, folder));
        };
        check("6.1", Architecture::X86_64, "6.1", "6.1-cloud-amd64");
        check("6.12-rt", Architecture::X86_64, "6.12-rt", "6.12-rt-amd64");
        check(
            "5.10-rt",
            Architecture::Aarch64,
            "5.10-rt aarch64",
            "5.10-rt-arm64",
        );
    }

    #[test]
    fn other_words_are_refused() {
        for name in ["6", "6.1.2", "6.x", "-rt", "6.1rt", "rt-6.1"] {
            assert!(
                KernelName::parse(name, Architecture::X86_64).is_err(),
                "{name}"
            );
        }
    }
}
