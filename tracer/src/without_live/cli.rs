//! The command line where live tracing is not built in. Its options are understood all the same, so that whoever types
//! them reads why they do nothing; the help shows only what works.

use clap::Command;

const ABOUT: &str =
    "Show what TCP did for an upload: how its connection was opened, used and closed

This build reads captures and recordings. Live tracing needs Linux.";

const EXAMPLES: &str = "Examples:
  tracer read upload.pcapng                   Show a capture of tcpdump or Wireshark
  tracer read a.pcap --explain --port 443     Explain each step of HTTPS connections
  tracer replay upload.trace                  Show a recording";

/// The commands that need the kernel.
const LIVE: [&str; 2] = ["record", "doctor"];

/// The option for a collector.
const OTLP: &str = "otlp";

/// The command line, with a help that has only what works.
pub fn shown(tracer: Command) -> Command {
    tracer
        .about(ABOUT)
        .long_about(ABOUT)
        .override_usage("tracer [OPTIONS] <COMMAND>")
        .after_help(EXAMPLES)
        .mut_args(|argument| {
            let is_global = argument.is_global_set();
            argument.hide(!is_global)
        })
        .mut_arg("verbose", |verbose| verbose.help("Log more on stderr"))
        .mut_subcommands(|command| {
            let is_live = LIVE.contains(&command.get_name());
            let shows = !is_live && command.get_arguments().any(|one| one.get_id() == OTLP);
            let command = command.hide(is_live);
            if shows {
                command.mut_arg(OTLP, |otlp| otlp.hide(true))
            } else {
                command
            }
        })
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser as _};

    use super::shown;
    use crate::cli::Cli;

    #[test]
    fn the_help_has_what_works() {
        let help = shown(Cli::command()).render_long_help().to_string();
        for works in ["read ", "replay ", "--verbose", "--help", "--version"] {
            assert!(help.contains(works), "{works}: {help}");
        }
        for live in [
            "record ",
            "doctor",
            "--pid",
            "--duration",
            "COMMAND...",
            "eBPF",
        ] {
            assert!(!help.contains(live), "{live}: {help}");
        }
    }

    #[test]
    fn whoever_types_a_live_option_reads_why_it_does_nothing() {
        for line in [
            &["tracer"][..],
            &["tracer", "--port", "443"],
            &["tracer", "doctor"],
        ] {
            let cli = Cli::try_parse_from(line).unwrap();
            let error = crate::live(&cli).unwrap_err().to_string();
            assert!(error.contains("tracer read FILE"), "{error}");
        }
    }
}
