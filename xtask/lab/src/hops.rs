//! Uploads through real proxies, and whether the tracer names for each the client that made it: the client
//! itself prints its port.

mod clients;
mod place;
mod proxy;
mod scenario;
mod table;
mod traffic;
mod watch;

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Result, bail};
use clap::Args;
use xtask::{
    command::{is_installed, is_root, log},
    setup,
};

use self::{
    clients::Files,
    place::Place,
    proxy::Between,
    scenario::{SCENARIOS, Scenario},
    table::{Outcome, Results},
    traffic::Traffic,
    watch::{Plan, Watch},
};
use crate::{
    bench::{process::Process, stop::Stop},
    under_test::{binaries, certify, scratch},
};

/// Where the server listens, and the proxies, the first one first, and their tunnels. All have a network
/// namespace of their own, but the tracer sees every namespace: on these ports, it should see nothing else.
const SERVER: u16 = 5000;
const PROXIES: u16 = 4460;
const TUNNELS: u16 = 4470;

/// Which uploads, and beside what.
#[derive(Args)]
#[command(after_help = "Examples:
  cargo xtask hops                                     200 uploads through each proxy
  cargo xtask hops --only nginx --uploads 60           those whose name contains `nginx`
  cargo xtask hops --traffic --same-size               the hardest case
  cargo xtask hops --keep wrong                        and keep what the tracer printed where it is not right")]
pub(crate) struct Arguments {
    /// Run only scenarios whose name contains NAME (repeatable)
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Make N uploads in each scenario
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    uploads: u16,
    /// Let N uploads run at once
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=200))]
    at_once: u16,
    /// Send other requests through the same proxies meanwhile, as many as they take
    #[arg(long)]
    traffic: bool,
    /// Give all uploads the same size [default: between 1 kB and 20 MB, each another]
    #[arg(long)]
    same_size: bool,
    /// Trace the server's port alone: the tracer must find the proxies' connections itself
    #[arg(long)]
    follow: bool,
    /// Print the scenarios, and end
    #[arg(long)]
    list: bool,
    /// Keep in DIR the recording and the NDJSON of scenarios in which something is wrong or missing, and what
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// Test the `tracer` and the `upload-server` in DIR [default: this source, built with --release]
    #[arg(long, value_name = "DIR")]
    binaries: Option<PathBuf>,
}

pub(crate) fn hops(arguments: &Arguments) -> Result<()> {
    let scenarios = chosen(&arguments.only)?;
    let mut stdout = io::stdout();
    if arguments.list {
        for scenario in &scenarios {
            writeln!(stdout, "{:40} {} hops", scenario.name, scenario.hops())?;
        }
        return Ok(());
    }
    let binaries = binaries(arguments.binaries.as_deref())?;
    if !is_root() {
        bail!("the tracer and the network namespaces need root");
    }
    setup::for_hops()?;
    if let Some(folder) = &arguments.keep {
        fs::create_dir_all(folder)?;
    }
    let stop = Stop::listen()?;
    let (mut results, mut failed) = (Results::default(), Vec::new());
    for scenario in scenarios {
        if let Some(program) = scenario.lacks(is_installed) {
            log(&format!("skipped: {}: no {program}", scenario.name));
            continue;
        }
        log(scenario.name);
        match run(arguments, scenario, &binaries, &stop) {
            Ok(outcome) => results.0.push((scenario.name, outcome)),
            Err(error) => {
                stop.check()?;
                log(&format!("{}: {error:#}", scenario.name));
                failed.push(scenario.name);
            }
        }
    }
    write!(stdout, "{results}")?;
    if !failed.is_empty() {
        bail!("not every upload could be made: {}", failed.join("; "));
    }
    match results.wrong() {
        0 => Ok(()),
        wrong => bail!("{wrong} uploads were joined with the client of another"),
    }
}

fn chosen(only: &[String]) -> Result<Vec<&'static Scenario>> {
    let is_chosen = |scenario: &&Scenario| {
        let mut parts = only.iter();
        only.is_empty() || parts.any(|part| scenario.name.contains(part.as_str()))
    };
    let chosen: Vec<_> = SCENARIOS.iter().filter(is_chosen).collect();
    if chosen.is_empty() {
        bail!("no scenario has such a name: see --list");
    }
    Ok(chosen)
}

/// Makes the uploads of a scenario, in a network namespace of its own.
fn run(
    arguments: &Arguments,
    scenario: &Scenario,
    binaries: &Path,
    stop: &Stop,
) -> Result<Outcome> {
    let begun = Instant::now();
    let (scratch, place) = (scratch("hops-")?, Place::new()?);
    let folder = scratch.path();
    let prefix = format!("upload-{}-", std::process::id());
    let files = fs::create_dir(folder.join("files")).map(|()| folder.join("files"))?;
    let count = usize::from(arguments.uploads);
    let files = Files::make(&files, &prefix, count, arguments.same_size)?;
    certify(folder, "localhost")?;
    let control = folder.join("control");
    let _server = server(&place, binaries, folder, &control, stop)?;
    let (_proxies, mut ports) = proxies(scenario, &place, folder, stop)?;
    if arguments.follow {
        ports.clear();
    }
    ports.push(SERVER);
    let keep = arguments.keep.as_ref();
    let keep = keep.map(|keep| keep.join(scenario.file_name()).with_extension("ndjson"));
    let plan = Plan {
        tracer: binaries.join("tracer"),
        scratch: folder,
        control: &control,
        ports: &ports,
        prefix,
        keep: keep.clone(),
    };
    let watch = Watch::start(plan, stop)?;
    let scheme = if scenario.has_tls() { "https" } else { "http" };
    let url = format!("{scheme}://localhost:{PROXIES}/");
    let traffic = match arguments.traffic {
        true => Some(Traffic::start(&place, &url, stop)?),
        false => None,
    };
    let truth = files.upload(&place, &url, usize::from(arguments.at_once), stop)?;
    if let Some(traffic) = traffic {
        let requests = traffic.end(stop)?;
        log(&format!("{}: {requests} other requests", scenario.name));
    }
    watch.wait_for(files.count(), stop)?;
    place.settle(stop)?;
    let seen = watch.end(stop)?;
    let outcome = Outcome::of(&truth, &seen, scenario.hops(), begun.elapsed());
    if let Some(keep) = keep {
        match outcome.open.is_empty() {
            true => {
                fs::remove_file(keep.with_extension("trace"))?;
                fs::remove_file(keep)?;
            }
            false => fs::write(keep.with_extension("txt"), outcome.open.join("\n") + "\n")?,
        }
    }
    Ok(outcome)
}

fn server(
    place: &Place,
    binaries: &Path,
    folder: &Path,
    control: &Path,
    stop: &Stop,
) -> Result<Process> {
    let mut command = Command::new(binaries.join("upload-server"));
    command
        .arg("--listen")
        .arg(format!("127.0.0.1:{SERVER}"))
        .arg("--dir")
        .arg(folder.join("uploads"))
        .arg("--state")
        .arg(folder.join("state"))
        .arg("--control")
        .arg(control)
        .env("RUST_LOG", "error")
        .stdout(Stdio::null());
    fs::create_dir(folder.join("uploads"))?;
    let server = place.start("upload-server", &mut command)?;
    place.wait_until_it_listens(&server, SERVER, stop)?;
    Ok(server)
}

/// Starts them, the last one first. Returns the processes, to be ended in this order, and the ports.
fn proxies(
    scenario: &Scenario,
    place: &Place,
    folder: &Path,
    stop: &Stop,
) -> Result<(Vec<Process>, Vec<u16>)> {
    let (mut processes, mut ports) = (Vec::new(), Vec::new());
    let mut to = SERVER;
    let numbered = (0..).zip(scenario.proxies);
    for (number, proxy) in numbered.collect::<Vec<(u16, _)>>().into_iter().rev() {
        let between = Between {
            listen: PROXIES + number,
            to,
            tunnel: TUNNELS + number,
        };
        let started = proxy.start(place, folder, between, stop)?;
        processes.splice(0..0, started);
        ports.extend([between.listen, between.tunnel]);
        to = between.listen;
    }
    Ok((processes, ports))
}
