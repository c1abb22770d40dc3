//! Runs the kernel tests on several kernels, Debian's in virtual machines and the one that runs
//! here, with the same eBPF object, and prints one table of the outcomes.

mod binaries;
mod choice;
mod debian;
pub(crate) mod guest;
mod image;
mod machine;
mod report;
mod table;

use std::{path::Path, thread, time::Instant};

use anyhow::{Result, bail};
use clap::Args;

use self::{
    binaries::Binaries,
    report::{Job, Report},
    table::Table,
};
use xtask::{
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
  cargo xtask kernels 6.1 --test netem      tests whose name contains `netem`, on one kernel")]
pub(crate) struct Arguments {
    /// A series of Debian's kernels, such as 6.12, or `running` for this machine's kernel
    #[arg(value_name = "KERNEL", default_values = ["6.1", "6.12", RUNNING])]
    kernels: Vec<String>,
    /// Run every test, not only the ones that CI runs
    #[arg(long)]
    all: bool,
    /// Run every test whose name contains NAME (repeatable)
    #[arg(long, value_name = "NAME", conflicts_with = "all")]
    test: Vec<String>,
}

pub(crate) fn kernels(arguments: &Arguments) -> Result<()> {
    let started = Instant::now();
    setup::for_kernels()?;
    let binaries = Binaries::build()?;
    let names = binaries.tests()?;
    let tests = match arguments.test.as_slice() {
        [] if arguments.all => choice::all(&names),
        [] => choice::of_ci(&names)?,
        parts => choice::containing(&names, parts)?,
    };
    let job = Job {
        binary: binaries.kernel.clone(),
        directory: workspace().join("tracer"),
        workspace: workspace(),
        tests,
        slowness: SLOWNESS,
    };
    let mut table = Table::new(&job.tests, &arguments.kernels);
    if arguments.kernels.iter().any(|kernel| kernel == RUNNING) {
        let here = Job {
            slowness: 1,
            ..job.clone()
        };
        here.run(|report| add_report(&mut table, RUNNING, report));
    }
    let series = arguments.kernels.iter().filter(|kernel| *kernel != RUNNING);
    let machines = prepare(series, &binaries, &job)?;
    // The machines beside each other: each has one processor.
    let (to, reports) = std::sync::mpsc::channel();
    thread::scope(|scope| {
        for machine in &machines {
            let to = to.clone();
            scope.spawn(move || {
                let series = machine.series();
                let outcome = machine.run(|report| {
                    let _ = to.send((series, report));
                });
                if let Err(error) = outcome {
                    log(&format!("{series}: {error:#}"));
                }
            });
        }
        drop(to);
        for (series, report) in reports {
            add_report(&mut table, series, report);
        }
    });
    table.print();
    log(&format!(
        "{} of {} tests in {} s",
        job.tests.len(),
        names.len(),
        started.elapsed().as_secs()
    ));
    if !table.is_green() {
        bail!("not every test passed on every kernel: see the failures above");
    }
    Ok(())
}

fn prepare<'a>(
    series: impl Iterator<Item = &'a String>,
    binaries: &Binaries,
    job: &Job,
) -> Result<Vec<machine::Machine>> {
    let mut machines = Vec::new();
    for series in series {
        let kernel = debian::kernel(series, &folder())?;
        let image = image::build(&kernel, binaries, job)?;
        machines.push(machine::Machine::new(kernel, image));
    }
    Ok(machines)
}

fn add_report(table: &mut Table, kernel: &str, report: Report) {
    log(&format!("{kernel}: {report}"));
    table.add(kernel, report);
}

/// Where kernels are kept.
fn folder() -> std::path::PathBuf {
    target_dir().join("kernels")
}

/// A path without the slash at its beginning, as archives have it.
fn without_root(path: &Path) -> &Path {
    path.strip_prefix("/").unwrap_or(path)
}
