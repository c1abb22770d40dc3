//! Runs the kernel tests on several kernels, Debian's in virtual machines and the one that runs
//! here, with the same eBPF object, and prints one table of the outcomes.

mod binaries;
mod choice;
mod debian;
pub(crate) mod guest;
mod image;
mod kernel_name;
mod machine;
mod machines;
mod report;
mod table;

use std::{
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::{Result, bail};
use clap::Args;

use self::{
    binaries::Binaries,
    kernel_name::KernelName,
    machines::Machines,
    report::{Job, Report},
    table::Table,
};
use xtask::{
    architecture::Architecture,
    command::{log, target_dir, workspace},
    setup,
};

/// The kernel that this machine runs.
const RUNNING: &str = "running";

/// How much slower an emulated machine is than a real one, at the most.
const SLOWNESS: u32 = 10;

/// What to test, and where.
#[derive(Args)]
#[command(after_help = "Examples:
  cargo xtask kernels                       the tests that CI runs, on each kernel
  cargo xtask kernels --all                 every test on each kernel
  cargo xtask kernels 6.1 --test netem      tests whose name contains `netem`, on one kernel
  cargo xtask kernels 6.12 6.12-rt --architecture x86_64 --architecture aarch64
                                            one series with and without PREEMPT_RT, on AMD or Intel and on ARM")]
pub(crate) struct Arguments {
    /// A series of Debian's kernels, such as 6.12, or 6.12-rt with PREEMPT_RT, or `running` for this machine's kernel
    #[arg(value_name = "KERNEL", default_values = ["6.1", "6.12", RUNNING])]
    kernels: Vec<String>,
    /// Debian's kernels for this architecture; repeatable [default: this machine's]
    #[arg(long, value_enum)]
    architecture: Vec<Architecture>,
    /// Run every test, not only the ones that CI runs
    #[arg(long)]
    all: bool,
    /// Run every test whose name contains NAME (repeatable)
    #[arg(long, value_name = "NAME", conflicts_with = "all")]
    test: Vec<String>,
}

pub(crate) fn kernels(arguments: &Arguments) -> Result<()> {
    let started = Instant::now();
    let names = names(arguments)?;
    setup::for_kernels(names.iter().map(|name| name.architecture))?;
    let binaries = Binaries::build()?;
    let tests = binaries.tests()?;
    let chosen = match arguments.test.as_slice() {
        [] if arguments.all => choice::all(&tests),
        [] => choice::of_ci(&tests)?,
        parts => choice::containing(&tests, parts)?,
    };
    let with_running = arguments.kernels.iter().any(|kernel| kernel == RUNNING);
    let columns = names.iter().map(KernelName::to_string);
    let columns = columns.chain(with_running.then(|| RUNNING.to_owned()));
    let mut table = Table::new(&chosen, columns);
    if with_running {
        let here = job(&binaries, &chosen, 1);
        here.run(|report| add_report(&mut table, RUNNING, report));
    }
    let machines = Machines::prepare(names, binaries, &chosen)?;
    machines.run(|kernel, report| add_report(&mut table, kernel, report));
    table.print();
    log(&format!(
        "{} of {} tests in {} s",
        chosen.len(),
        tests.len(),
        started.elapsed().as_secs()
    ));
    if !table.is_green() {
        bail!("not every test passed on every kernel: see the failures above");
    }
    Ok(())
}

/// Debian's kernels among those that were asked for, those of one architecture beside each other.
fn names(arguments: &Arguments) -> Result<Vec<KernelName>> {
    let architectures = match arguments.architecture.as_slice() {
        [] => vec![Architecture::of_this_machine()?],
        chosen => chosen.to_vec(),
    };
    let kernels = arguments.kernels.iter().filter(|kernel| *kernel != RUNNING);
    let of = |architecture: Architecture| {
        kernels
            .clone()
            .map(move |kernel| KernelName::parse(kernel, architecture))
    };
    architectures.into_iter().flat_map(of).collect()
}

fn job(binaries: &Binaries, tests: &[String], slowness: u32) -> Job {
    Job {
        binary: binaries.kernel.clone(),
        directory: workspace().join("tracer"),
        workspace: workspace(),
        tests: tests.to_vec(),
        slowness,
    }
}

fn add_report(table: &mut Table, kernel: &str, report: Report) {
    log(&format!("{kernel}: {report}"));
    table.add(kernel, report);
}

/// Where kernels are kept.
fn folder() -> PathBuf {
    target_dir().join("kernels")
}

/// A path without the slash at its beginning, as archives have it.
fn without_root(path: &Path) -> &Path {
    path.strip_prefix("/").unwrap_or(path)
}
