//! `cargo xtask dist`: what people install, built from a clone into `target/dist`. The same commit gives the same bytes.
//! It publishes nothing.

mod archive;
mod binaries;
mod debian;
mod ebpf_object;
mod image;
mod licences;
mod manifest;
#[path = "../../../tracer/build/packed.rs"]
mod packed;
mod pages;
mod program;
mod release;
mod rpm;
mod source_package;
mod tree;
mod trial;
mod twice;

use std::{fs, path::Path, process::ExitCode};

use anyhow::{Context as _, Result};
use clap::{Args, Parser, Subcommand};
use xtask::{
    command::{log, target_dir},
    setup,
};

use crate::{
    program::{Architecture, Built, PROGRAMS},
    release::Release,
};

/// The digests of all other files, as sha256sum(1) reads them.
const SUMS: &str = "SHA256SUMS";

#[derive(Parser)]
#[command(bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Build archives, packages and container images of both programs, and the source that needs no nightly toolchain
    Dist(Arguments),
}

#[derive(Args)]
#[command(after_help = "Examples:
  cargo xtask dist                            everything, into target/dist
  cargo xtask dist --architecture x86_64      for one architecture
  cargo xtask dist --quick --trial            as a test of the packages: the programs are not optimised
  cargo xtask dist --machine                  and install them in a virtual machine with Debian 12
  cargo xtask dist --twice                    and again from another clone: are the bytes the same?")]
struct Arguments {
    /// Build for this architecture alone; repeatable [default: all]
    #[arg(long, value_enum)]
    architecture: Vec<Architecture>,
    /// Do not optimise the programs
    #[arg(long)]
    quick: bool,
    /// Check the packages with lintian, use them in containers with systemd, and build the source; needs root
    #[arg(long)]
    trial: bool,
    /// Install, use and purge the packages in a virtual machine with Debian 12 and its own kernel; needs root
    #[arg(long)]
    machine: bool,
    /// Build everything again, from a clone in another folder, and compare the digests
    #[arg(long)]
    twice: bool,
}

fn main() -> ExitCode {
    let Verb::Dist(arguments) = Cli::parse().verb;
    match dist(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dist(arguments: &Arguments) -> Result<()> {
    let tools = setup::dist::for_dist()?;
    let release = Release::of_this_clone()?;
    let out = target_dir().join("dist");
    if out.exists() {
        fs::remove_dir_all(&out).with_context(|| out.display().to_string())?;
    }
    fs::create_dir_all(&out).with_context(|| out.display().to_string())?;
    ebpf_object::build()?;
    source_package::write(&release, &out)?;
    let architectures = match arguments.architecture.as_slice() {
        [] => Architecture::ALL.as_slice(),
        chosen => chosen,
    };
    for &architecture in architectures {
        let folder = binaries::build(&tools, &release, architecture, arguments.quick)?;
        for program in &PROGRAMS {
            let licences = licences::text(program, architecture)?;
            let built = Built {
                program,
                release: &release,
                architecture,
                tree: program.tree(&release, &folder.join(program.name), licences)?,
            };
            archive::write(&built, &out)?;
            debian::write(&built, &tools, &out)?;
            rpm::write(&built, &tools, &out)?;
            image::write(&built, &out)?;
        }
    }
    list(&out)?;
    if arguments.twice {
        twice::compare(arguments, &out)?;
    }
    if arguments.trial {
        trial::of_packages(&release, architectures, &out)?;
    }
    if arguments.machine {
        trial::in_machine(&release, &out)?;
    }
    Ok(())
}

/// Writes the digests of all files, and prints their sizes.
fn list(out: &Path) -> Result<()> {
    let mut names = Vec::new();
    for entry in fs::read_dir(out)? {
        names.push(entry?.file_name());
    }
    names.sort();
    let mut sums = String::new();
    for name in names {
        let content = fs::read(out.join(&name))?;
        let name = name.display();
        sums.push_str(&format!("{}  {name}\n", release::sha256(&content)));
        log(&format!("{:>10} bytes  {name}", content.len()));
    }
    fs::write(out.join(SUMS), sums)?;
    log(&format!("everything is in {}", out.display()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;
    use xtask::documents::{check, commands};

    use super::Cli;

    #[test]
    fn the_commands_in_the_documents_are_understood() {
        let mut commands = commands("cargo xtask").unwrap();
        commands.retain(|command| {
            let verb = command.words.get(1);
            verb.is_some_and(|verb| Cli::command().find_subcommand(verb).is_some())
        });
        check::<Cli>(&commands).unwrap();
    }
}
