//! All machines of a run: what each gets, and which run beside each other.

use std::{
    sync::{
        Mutex, PoisonError,
        mpsc::{Sender, channel},
    },
    thread,
};

use anyhow::Result;

use super::{
    SLOWNESS,
    binaries::Binaries,
    debian::{Kernel, Kernels},
    folder,
    image::{self, Tools},
    job,
    kernel_name::KernelName,
    machine::Machine,
    report::{Job, Report},
};
use xtask::{architecture::Architecture, command::log};

/// Machines to be run.
pub(super) struct Machines {
    provisions: Vec<Provisions>,
    /// Each kernel, and the place of what its machine gets.
    kernels: Vec<(Kernel, usize)>,
}

/// What all machines of an architecture get.
struct Provisions {
    architecture: Architecture,
    binaries: Binaries,
    tools: Tools,
    job: Job,
}

impl Machines {
    /// Fetches kernels, and builds what runs on them. `binaries` are those for this machine's architecture.
    pub(super) fn prepare(
        names: Vec<KernelName>,
        binaries: Binaries,
        tests: &[String],
    ) -> Result<Self> {
        let mut machines = Self {
            provisions: Vec::new(),
            kernels: Vec::new(),
        };
        let own = Architecture::of_this_machine()?;
        let mut binaries = Some(binaries);
        let mut kernels = Kernels::kept_in(folder());
        for name in names {
            let architecture = name.architecture;
            let mut known = machines.provisions.iter();
            let known = known.position(|known| known.architecture == architecture);
            let place = match known {
                Some(place) => place,
                None => {
                    let binaries = match binaries.take_if(|_| architecture == own) {
                        Some(binaries) => binaries,
                        None => Binaries::build_for(architecture)?,
                    };
                    machines.provisions.push(Provisions {
                        architecture,
                        tools: Tools::of(architecture, &folder())?,
                        job: job(&binaries, tests, SLOWNESS),
                        binaries,
                    });
                    machines.provisions.len() - 1
                }
            };
            machines.kernels.push((kernels.kernel(name)?, place));
        }
        Ok(machines)
    }

    /// Runs as many at a time as there are processors: each has one. Hands every report to `each`, with the name of its
    /// kernel.
    pub(super) fn run(self, mut each: impl FnMut(&str, Report)) {
        let Self {
            provisions,
            kernels,
        } = self;
        let at_once = thread::available_parallelism().map_or(1, Into::into);
        let at_once = at_once.min(kernels.len());
        let waiting = Mutex::new(kernels.into_iter());
        let next = || {
            let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.next()
        };
        let (to, reports) = channel();
        thread::scope(|scope| {
            for _ in 0..at_once {
                let (to, next, provisions) = (to.clone(), &next, &provisions);
                scope.spawn(move || {
                    while let Some((kernel, place)) = next() {
                        run_machine(kernel, &provisions[place], &to);
                    }
                });
            }
            drop(to);
            for (kernel, report) in reports {
                each(&kernel, report);
            }
        });
    }
}

fn run_machine(kernel: Kernel, provisions: &Provisions, to: &Sender<(String, Report)>) {
    let name = kernel.name.to_string();
    let Provisions {
        binaries,
        tools,
        job,
        ..
    } = provisions;
    let outcome = image::build(&kernel, tools, binaries, job).and_then(|image| {
        Machine::new(kernel, image).run(|report| {
            let _ = to.send((name.clone(), report));
        })
    });
    if let Err(error) = outcome {
        log(&format!("{name}: {error:#}"));
    }
}
