//! Manual pages and completions, from the command lines of the programs.

use anyhow::Result;
use clap::{Command, CommandFactory as _};
use clap_complete::Shell;
use clap_mangen::{
    Man,
    roff::{Roff, roman},
};

use crate::release::Release;

/// The tracer's command line.
pub(crate) fn tracer() -> Command {
    tracer::cli::Cli::command()
}

/// The server's. The default of `--state` depends on who starts it.
pub(crate) fn upload_server() -> Command {
    upload_server::options::Options::command().mut_arg("state", |state| {
        state.default_value("~/.local/state/upload-server")
    })
}

/// A page for the program and for each of its subcommands: the file's name and its text.
pub(crate) fn manual(command: &Command, release: &Release) -> Result<Vec<(String, Vec<u8>)>> {
    // `help` is no page of its own.
    let mut command = command.clone().disable_help_subcommand(true);
    command.build();
    let mut pages = vec![page(&command, release)?];
    for subcommand in command
        .get_subcommands()
        .filter(|found| !found.is_hide_set())
    {
        pages.push(page(subcommand, release)?);
    }
    Ok(pages)
}

fn page(command: &Command, release: &Release) -> Result<(String, Vec<u8>)> {
    let examples = command.get_after_help().map(ToString::to_string);
    let command = command.clone().after_help("").version(release.version);
    let name = command
        .get_display_name()
        .unwrap_or_else(|| command.get_name())
        .to_owned();
    let has_subcommands = command.has_subcommands();
    let man = Man::new(command)
        .source(format!("upload tracer {}", release.version))
        .manual("User Commands");
    let mut text = Vec::new();
    man.render_title(&mut text)?;
    man.render_name_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    man.render_options_section(&mut text)?;
    if has_subcommands {
        man.render_subcommands_section(&mut text)?;
    }
    if let Some(examples) = examples {
        let lines: Vec<&str> = examples
            .lines()
            .filter(|line| *line != "Examples:")
            .collect();
        let mut section = Roff::new();
        section
            .control("SH", ["EXAMPLES"])
            .control("nf", [])
            .text([roman(lines.join("\n"))])
            .control("fi", []);
        section.to_writer(&mut text)?;
    }
    Ok((format!("{name}.1"), text))
}

/// Where each shell looks for completions, beneath `/usr`, and what it finds there.
pub(crate) fn completions(command: &Command) -> Vec<(String, Vec<u8>)> {
    let name = command.get_name();
    let places = [
        (
            Shell::Bash,
            format!("share/bash-completion/completions/{name}"),
        ),
        (Shell::Zsh, format!("share/zsh/site-functions/_{name}")),
        (
            Shell::Fish,
            format!("share/fish/vendor_completions.d/{name}.fish"),
        ),
    ];
    let written = places.map(|(shell, place)| {
        let mut text = Vec::new();
        clap_complete::generate(shell, &mut command.clone(), name, &mut text);
        (place, text)
    });
    written.into()
}

#[cfg(test)]
mod tests {
    use super::{completions, manual, tracer, upload_server};
    use crate::release::Release;

    fn pages(command: &clap::Command) -> Vec<(String, String)> {
        let release = Release {
            version: "1.2.3",
            commit: "abc".to_owned(),
            epoch: 0,
            packager: String::new(),
        };
        let pages = manual(command, &release).unwrap();
        let text = |text| String::from_utf8(text).unwrap();
        pages
            .into_iter()
            .map(|(name, page)| (name, text(page)))
            .collect()
    }

    #[test]
    fn each_subcommand_has_a_page() {
        let pages = pages(&tracer());
        let names: Vec<_> = pages.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(
            names,
            [
                "tracer.1",
                "tracer-record.1",
                "tracer-doctor.1",
                "tracer-read.1",
                "tracer-replay.1"
            ]
        );
        let (_, page) = &pages[0];
        assert!(page.contains("1.2.3"), "{page}");
        assert!(page.contains(".SH EXAMPLES\n.nf\n"), "{page}");
        assert!(page.contains("\\-\\-duration"), "{page}");
    }

    #[test]
    fn no_page_depends_on_who_builds_it() {
        let (_, page) = &pages(&upload_server())[0];
        assert!(page.contains("~/.local/state/upload\\-server"), "{page}");
        let home = std::env::var("HOME").unwrap();
        assert!(!page.contains(&format!("{home}/")), "{page}");
    }

    #[test]
    fn each_shell_completes_every_option() {
        for (place, text) in completions(&tracer()) {
            let text = String::from_utf8(text).unwrap();
            assert!(text.contains("held-back-by"), "{place}: {text}");
        }
    }
}
