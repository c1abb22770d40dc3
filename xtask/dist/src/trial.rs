//! The packages as people have them: what lintian reports of them, installed and used in containers and in a virtual
//! machine, run as another processor would, and built from the source that is shipped. Each trial is a command whose
//! failure is the trial's.

mod container;
mod debian_12;
mod lintian;
mod machine;
mod processors;
mod stable_rust;
mod steps;

use std::path::Path;

use anyhow::Result;
use xtask::{command::log, setup};

use self::steps::Steps;
use crate::{
    debian,
    program::{Architecture, PROGRAMS, Program},
    release::Release,
    rpm,
};

/// Packages of both kinds in containers, those of Debian's by lintian, programs of another architecture, and the source.
pub(crate) fn of_packages(
    release: &Release,
    architectures: &[Architecture],
    out: &Path,
) -> Result<()> {
    setup::dist::for_trial()?;
    lintian::check(release, architectures, out)?;
    let here = Architecture::of_this_machine()?;
    if architectures.contains(&here) {
        let root = debian_12::container()?;
        let steps = Steps::new("debian.sh", include_str!("trial/debian.sh"))?;
        add_packages(&steps, out, "deb", |program| {
            debian::file_name(program, release, here)
        })?;
        container::run(&root, &steps)?;
        let steps = Steps::new("rpm.sh", include_str!("trial/rpm.sh"))?;
        add_packages(&steps, out, "rpm", |program| {
            rpm::file_name(program, release, here)
        })?;
        container::run(&root, &steps)?;
    }
    processors::check(release, architectures, out)?;
    stable_rust::build(release, out)?;
    log("the packages were installed, used, upgraded and removed");
    Ok(())
}

/// Packages of Debian's in a virtual machine with Debian's own kernel.
pub(crate) fn in_machine(release: &Release, out: &Path) -> Result<()> {
    let architecture = Architecture::of_this_machine()?;
    setup::dist::for_machine()?;
    let steps = Steps::new("machine.sh", include_str!("trial/machine.sh"))?;
    add_packages(&steps, out, "deb", |program| {
        debian::file_name(program, release, architecture)
    })?;
    let disk = debian_12::disk(steps.script)?;
    machine::run_steps(&disk, &steps)
}

/// Adds the packages under short names.
fn add_packages(
    steps: &Steps,
    out: &Path,
    kind: &str,
    file_name: impl Fn(&Program) -> String,
) -> Result<()> {
    PROGRAMS.iter().try_for_each(|program| {
        let package = out.join(file_name(program));
        steps.add(&package, &format!("{}.{kind}", program.name))
    })
}
